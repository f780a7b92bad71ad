"""Runs the screen over a real engine, and ends everything in order, whatever ends it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hettui.adapters.files.config_toml import load
from hettui.adapters.files.paths import config_file, last_config, remember_config, user_themes
from hettui.domain.config.values import Config
from hettui.domain.errors import HettuiError, UsageError
from hettui.wiring.ahead import begun
from hettui.wiring.chosen import ask

if TYPE_CHECKING:
    from hettui.domain.session.session import Session


def run_screen(config_path: str | None, theme: str | None, record: str | None = None) -> int:
    """`hettui [CONFIG]`: what runs; else the named configuration, the one used last, the usual one, what is found."""
    path = Path(config_path) if config_path else last_config() or config_file()
    config = load(path) if config_path or path.exists() else Config()
    _check_terminal()
    # What the binaries say takes longest: they answer while the rest of a start is being imported.
    asked = begun(partial(ask, config))
    if config.path is not None:
        remember_config(path)
    from hettui.wiring.start import open_configured, run

    return run(partial(open_configured, config, asked), theme, record)


def run_session(opener: Callable[[], Session], theme: str | None, record: str | None = None) -> int:
    """The screen on a session that is opened meanwhile."""
    _check_terminal()
    from hettui.wiring.start import run

    return run(opener, theme, record)


def run_replay(path: str, theme: str | None) -> int:
    """The screen on a recording. Raises RecordingError when there is nothing to show."""
    from hettui.adapters.files.resources import resource_folder
    from hettui.adapters.files.theme_files import ThemeFolders
    from hettui.adapters.machine.terminal_env import this_terminal
    from hettui.services.recording.replay import ReplayEngine
    from hettui.wiring.replay import ReplayBackend, open_recording

    recording = open_recording(path)
    _check_terminal()
    from hettui.ui.app import HettuiApp
    from hettui.wiring.ending import Ending, watching
    from hettui.wiring.engine import SystemClock
    from hettui.wiring.later import Later

    shelf = ThemeFolders(resource_folder("themes"), user_themes())
    later = Later()
    with ReplayEngine(recording, SystemClock()) as engine:
        engine.subscribe(later.hear)
        app = HettuiApp(
            ReplayBackend(engine),
            shelf.read(),
            theme,
            player=engine,
            when_shown=later.when_shown,
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
