"""Runs the screen over a real engine, and ends everything in order, whatever ends it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from hettui.adapters.files.config_toml import load
from hettui.adapters.files.paths import config_file, last_config, last_model, remember_config, user_themes
from hettui.adapters.files.resources import resource_folder
from hettui.adapters.files.theme_files import ThemeFolders
from hettui.adapters.machine.terminal_env import this_terminal
from hettui.adapters.processes.run_folder import RunFolder
from hettui.domain.config.values import Config
from hettui.domain.errors import HettuiError, ModelFileError, UsageError
from hettui.domain.session.session import Session
from hettui.wiring.ahead import Ahead
from hettui.wiring.first_rows import FirstRows
from hettui.wiring.looks import Looks
from hettui.wiring.ownership import living_record, open_runs, owned_by, sweep
from hettui.wiring.sessions import open_session, recorded_session, with_model

_PATIENCE_S = 0.05
"""The session is waited for so long before Textual is imported: longer, and the whole screen would come later."""


def run_screen(config_path: str | None, theme: str | None, record: str | None = None) -> int:
    """`hettui [CONFIG]`: what runs; else the named configuration, the one used last, the usual one, what is found."""
    path = Path(config_path) if config_path else last_config() or config_file()
    config = load(path) if config_path or path.exists() else Config()
    if config.path is None:
        return _run(_open_unconfigured, theme, record)
    remember_config(path)
    return _run(lambda: open_session(config), theme, record)


def _open_unconfigured() -> Session:
    """With the model that was chosen last, if it still can be opened."""
    session, model = open_session(Config()), last_model()
    if model is None:
        return session
    try:
        return with_model(session, model)
    except ModelFileError:
        return session


def run_session(opener: Callable[[], Session], theme: str | None, record: str | None = None) -> int:
    """The screen on a session that is opened meanwhile."""
    return _run(opener, theme, record)


def run_replay(path: str, theme: str | None) -> int:
    """The screen on a recording. Raises RecordingError when there is nothing to show."""
    from hettui.services.recording.replay import ReplayEngine
    from hettui.wiring.replay import ReplayBackend, open_recording

    recording = open_recording(path)
    _check_terminal()
    from hettui.ui.app import HettuiApp
    from hettui.wiring.ending import Ending, watching
    from hettui.wiring.engine import SystemClock
    from hettui.wiring.later import when_shown

    shelf = ThemeFolders(resource_folder("themes"), user_themes())
    with ReplayEngine(recording, SystemClock()) as engine:
        app = HettuiApp(
            ReplayBackend(engine),
            shelf.read(),
            theme,
            player=engine,
            when_shown=when_shown,
            shelf=shelf,
            terminal=this_terminal(),
        )
        with watching(Ending(engine, app.exit_from_thread, lambda _: False)):
            error = app.run()
    if isinstance(error, HettuiError):
        raise error
    return app.return_code or 0


def _check_terminal() -> None:
    # The screen reads keys from stdin and draws on stderr.
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("the screen needs a terminal (over SSH: ssh -t); without one: hettui up, demo --headless, …")


def _run(opener: Callable[[], Session], theme: str | None, record: str | None) -> int:
    _check_terminal()
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
    rows = FirstRows(looks, read_only)

    def open_what_runs() -> Session:
        found = living_record(runs)
        session = (opener() if found is None else recorded_session(found)).planned()
        if record is None:
            # Of what is recorded the header says so, and that it is recorded is not known yet.
            rows.show(session)
        return session

    with rows:
        # Drivers and binaries answer while the rest is being imported.
        session = Ahead(open_what_runs)
        session.wait(_PATIENCE_S)
        # The first rows say what there is; all from here on is for the screen, with which it is changed.
        from hettui.wiring.live_screen import run_live

        return run_live(runs, session.result, looks, rows, read_only, record)
