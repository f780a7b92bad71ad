"""A start, up to the early frame: who owns the cluster, what is opened, what is written before there is a screen."""

from __future__ import annotations

from collections.abc import Callable

from hettui.adapters.files.paths import last_model, user_themes
from hettui.adapters.files.resources import resource_folder
from hettui.adapters.files.theme_files import ThemeFolders
from hettui.adapters.machine.terminal_env import this_terminal
from hettui.adapters.processes.run_folder import RunFolder
from hettui.domain.config.values import Config
from hettui.domain.errors import ModelFileError
from hettui.domain.session.session import Session
from hettui.wiring.ahead import Ahead
from hettui.wiring.chosen import Asked
from hettui.wiring.early_frame import EarlyFrame
from hettui.wiring.looks import Looks
from hettui.wiring.ownership import living_record, open_runs, owned_by, sweep
from hettui.wiring.sessions import open_session, recorded_session, with_model

_PATIENCE_S = 0.1
"""The session is waited for so long before Textual is imported. While it works that costs nothing, since only one of
the two could; while a driver thinks, the whole screen comes later by it."""


def open_configured(config: Config, asked: Callable[[], Asked] | None = None) -> Session:
    """Without a configuration with the model that was chosen last, if it still can be opened."""
    session = open_session(config, asked=asked)
    model = last_model() if config.path is None else None
    if model is None:
        return session
    try:
        return with_model(session, model)
    except ModelFileError:
        return session


def run(opener: Callable[[], Session], theme: str | None, record: str | None) -> int:
    """The screen on what runs, else on what is opened meanwhile."""
    runs = open_runs()
    read_only = None if runs.acquire() else owned_by(runs)
    try:
        if read_only is None:
            for folder in runs.folders:
                sweep(folder)
        return _show(runs, opener, theme, read_only, record)
    finally:
        runs.release()


def _show(
    runs: RunFolder, opener: Callable[[], Session], theme: str | None, read_only: str | None, record: str | None
) -> int:
    shelf = ThemeFolders(resource_folder("themes"), user_themes())
    looks = Looks(shelf, shelf.read(), theme, this_terminal())
    early = EarlyFrame(looks, read_only)

    def open_what_runs() -> Session:
        found = living_record(runs)
        session = (opener() if found is None else recorded_session(found)).planned()
        if record is None:
            # Of what is recorded the header says so, and that it is recorded is not known yet.
            early.show(session)
        return session

    with early:
        # Drivers and binaries answer while the rest is being imported.
        session = Ahead(open_what_runs)
        session.wait(_PATIENCE_S)
        # The early frame says what there is; all from here on is for the screen, with which it is changed.
        from hettui.wiring.live_screen import run_live

        return run_live(runs, session.result, looks, early, read_only, record)
