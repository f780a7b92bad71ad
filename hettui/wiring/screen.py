"""Runs the screen over a real engine, and ends everything in order, whatever ends it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

from hettui.adapters.config_toml import load, save_plan
from hettui.adapters.learned_file import save_learned
from hettui.adapters.paths import config_file, last_config, remember_config, state_dir, user_themes
from hettui.adapters.resources import resource_folder
from hettui.adapters.theme_files import read_themes
from hettui.domain.config import Config
from hettui.domain.errors import HettuiError, UsageError
from hettui.domain.plan import Plan
from hettui.domain.session import Session
from hettui.services.backend import Backend, EngineFacade
from hettui.services.cluster import Request
from hettui.services.engine import Engine
from hettui.services.learner import Learner
from hettui.services.replay import ReplayEngine
from hettui.wiring.engine import SystemClock, build_engine
from hettui.wiring.replay import RecordedBackend, ReplayBackend, open_recording, recorder_to
from hettui.wiring.sessions import open_session, request_for, with_model

_UI_GRACE_S = 3.0
"""After a signal: how long the screen may take to end by itself once all processes are gone."""


class ScreenBackend:
    """Implements Backend."""

    def __init__(self, engine: EngineFacade, opener: Callable[[], Session], learner: Learner) -> None:
        self.engine = engine
        self._opener = opener
        self._learner = learner
        engine.subscribe(learner)

    def open(self) -> Session:
        return self._opener()

    def with_model(self, session: Session, path: str) -> Session:
        return with_model(session, path)

    def request(self, session: Session, plan: Plan, *, force: bool = False) -> Request:
        request = request_for(session, plan, force=force)
        self._learner.expect(session, plan)
        return request

    def save(self, session: Session, plan: Plan) -> str | None:
        if session.config.path is None:
            return None
        save_plan(session.config.path, plan)
        return session.config.path


def run_screen(config_path: str | None, theme: str | None, record: str | None = None) -> int:
    """`hettui [CONFIG]`: the named configuration, else the one used last, else the usual one, else what is found."""
    path = Path(config_path) if config_path else last_config() or config_file()
    config = load(path) if config_path or path.exists() else Config()
    if config.path is not None:
        remember_config(path)
    return _run(lambda: open_session(config), theme, record)


def run_session(session: Session, theme: str | None, record: str | None = None) -> int:
    """The screen on a session that is open already."""
    return _run(lambda: session, theme, record)


def run_replay(path: str, theme: str | None) -> int:
    """The screen on a recording. Raises RecordingError when there is nothing to show."""
    recording = open_recording(path)
    _check_terminal()
    from hettui.ui.app import HettuiApp

    themes, problems = read_themes([resource_folder("themes"), user_themes()])
    with ReplayEngine(recording, SystemClock()) as engine:
        app = HettuiApp(ReplayBackend(engine), themes, theme, problems, player=engine)
        with _ending_on_signals(engine, app.exit_from_thread):
            error = app.run()
    if isinstance(error, HettuiError):
        raise error
    return app.return_code or 0


def _check_terminal() -> None:
    # The screen reads keys from stdin and draws on stderr.
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("the screen needs a terminal (over SSH: ssh -t); without one: hettui demo --headless, plan, …")


def _run(opener: Callable[[], Session], theme: str | None, record: str | None) -> int:
    _check_terminal()
    # Textual costs most of the start-up time: no other command should pay for it.
    from hettui.ui.app import HettuiApp

    themes, problems = read_themes([resource_folder("themes"), user_themes()])
    learner = Learner(lambda learned: save_learned(state_dir(), learned))
    with closing(learner), build_engine(state_dir() / "logs") as engine, recorder_to(record, engine) as recorder:
        backend: Backend = ScreenBackend(engine, opener, learner)
        if recorder is not None:
            backend = RecordedBackend(backend, recorder)
        app = HettuiApp(backend, themes, theme, problems, lambda: "REC" if recorder and recorder.recording else "")
        with _ending_on_signals(engine, app.exit_from_thread):
            error = app.run()
    if isinstance(error, HettuiError):
        raise error
    return app.return_code or 0


@contextmanager
def _ending_on_signals(engine: Engine | ReplayEngine, leave: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGHUP stop the cluster first and the screen then.

    The handlers are the interpreter's, not the loop's: a terminal that has stopped reading blocks Textual's loop,
    and then nothing on that loop would ever run. A watchdog ends the program when the screen cannot.
    """

    def end(number: int) -> None:
        engine.close()
        leave()
        if not over.wait(_UI_GRACE_S):
            os._exit(128 + number)

    def handle(number: int, _: FrameType | None) -> None:
        for caught in previous:
            signal.signal(caught, signal.SIG_IGN)
        threading.Thread(target=end, args=(number,), name="ending", daemon=True).start()

    over = threading.Event()
    previous = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        over.set()
        for number, handler in previous.items():
            signal.signal(number, handler)
