"""Runs the screen over a real engine, and ends everything in order, whatever ends it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from hettui.adapters.files.chat_store import ChatFolder
from hettui.adapters.files.config_toml import load
from hettui.adapters.files.learned_file import save_learned
from hettui.adapters.files.paths import (
    config_file,
    last_config,
    last_model,
    log_dir,
    memory_dir,
    remember_config,
    user_themes,
)
from hettui.adapters.files.resources import resource_folder
from hettui.adapters.files.theme_files import ThemeFolders
from hettui.adapters.hosts.watching import HostBook
from hettui.adapters.machine.limits import default_threads
from hettui.adapters.machine.terminal_env import this_terminal
from hettui.adapters.processes.run_folder import RunFolder
from hettui.domain.config.values import Config
from hettui.domain.errors import HettuiError, ModelFileError, UsageError
from hettui.domain.session.session import Session
from hettui.services.backend import Backend
from hettui.services.chat.keeper import ChatKeeper
from hettui.services.learner import Learner, Times
from hettui.wiring.ahead import Ahead
from hettui.wiring.backend import ScreenBackend
from hettui.wiring.ending import Ending, watching
from hettui.wiring.engine import SystemClock, build_engine
from hettui.wiring.ownership import living_record, open_runs, owned_by, sweep
from hettui.wiring.sessions import open_session, recorded_session, with_model

if TYPE_CHECKING:
    pass


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


def _claim(runs: RunFolder) -> str | None:
    """Makes this process the owner, or says who is."""
    try:
        return None if runs.acquire() else owned_by(runs)
    except HettuiError as error:
        return str(error)


def _recorded(own: ScreenBackend, path: str | None, stack: ExitStack) -> tuple[Backend, Callable[[], str]]:
    """The backend, recorded where a path says so, and what the header says of that."""
    if path is None:
        return own, lambda: ""
    from hettui.wiring.replay import RecordedBackend, recorder_to

    recorder = stack.enter_context(recorder_to(path, own.engine))
    backend = own if recorder is None else RecordedBackend(own, recorder)
    return backend, lambda: "REC" if recorder and recorder.recording else ""


def _show(
    runs: RunFolder, opener: Callable[[], Session], theme: str | None, read_only: str | None, record: str | None
) -> int:
    def open_what_runs() -> Session:
        record = living_record(runs)
        return opener() if record is None else recorded_session(record)

    # Drivers and binaries answer while Textual is being imported.
    session = Ahead(open_what_runs)
    # Textual costs most of the start-up time: no other command should pay for it.
    from hettui.ui.app import HettuiApp
    from hettui.wiring.later import when_shown

    shelf = ThemeFolders(resource_folder("themes"), user_themes())
    times = Times(cpu_threads=default_threads())
    learner = Learner(lambda learned: save_learned(memory_dir(), learned), times)
    chats = ChatKeeper(ChatFolder(memory_dir() / "chats", Path.cwd()))
    book = HostBook()
    with (
        closing(learner),
        closing(chats),
        build_engine(log_dir(), runs, read_only=read_only, takes_over=True, book=book) as engine,
        ExitStack() as stack,
    ):
        own = ScreenBackend(engine, session.result, learner, chats, read_only, book.write, lambda: _claim(runs))
        backend, mark = _recorded(own, record, stack)
        app = HettuiApp(
            backend,
            shelf.read(),
            theme,
            [read_only] if read_only else [],
            mark,
            when_shown=when_shown,
            shelf=shelf,
            terminal=this_terminal(),
        )
        ending = Ending(engine, app.exit_from_thread, own.runs_on)
        with watching(ending):
            error = app.run()
        leaves = own.leaves or ending.left or (app.crash is not None and own.runs_on(True))
        running = bool(engine.snapshot.processes) and own.read_only is None
        engine.close(leave=leaves)
    if leaves and running:
        print("hettui: the cluster runs on. hettui takes it over again, hettui down stops it.", file=sys.stderr)
    if app.crash is not None:
        raise app.crash
    if isinstance(error, HettuiError):
        raise error
    return ending.code if ending.code is not None else app.return_code or 0
