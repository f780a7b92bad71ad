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

from hettui import __version__
from hettui.adapters.chat_store import ChatFolder
from hettui.adapters.config_toml import load, save_plan
from hettui.adapters.learned_file import save_learned
from hettui.adapters.machine import machine_facts
from hettui.adapters.paths import config_file, last_config, remember_config, state_dir, user_themes
from hettui.adapters.resources import resource_folder
from hettui.adapters.theme_files import read_themes
from hettui.domain.bench import BenchOutcome, BenchRun
from hettui.domain.bench_setting import setting_of
from hettui.domain.cluster import ClusterSnapshot
from hettui.domain.config import Config
from hettui.domain.errors import HettuiError, UsageError
from hettui.domain.plan import Plan
from hettui.domain.session import Session
from hettui.services.backend import EngineFacade
from hettui.services.chat_keeper import ChatKeeper
from hettui.services.cluster import Request
from hettui.services.engine import Engine
from hettui.services.learner import Learner
from hettui.wiring.bench import bench_folder, finished_run, keep
from hettui.wiring.engine import build_engine
from hettui.wiring.sessions import open_session, request_for, with_model

_UI_GRACE_S = 3.0
"""After a signal: how long the screen may take to end by itself once all processes are gone."""


class ScreenBackend:
    """Implements Backend."""

    def __init__(
        self, engine: EngineFacade, opener: Callable[[], Session], learner: Learner, chats: ChatKeeper
    ) -> None:
        self.engine = engine
        self.chats = chats
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

    def bench_runs(self, session: Session) -> list[BenchRun]:
        return bench_folder().runs(session.title)

    def keep_bench(self, session: Session, measured: ClusterSnapshot, outcome: BenchOutcome) -> BenchRun:
        facts, limits_w = outcome.facts, outcome.limits_w
        setting = setting_of(session, measured, facts, machine_facts(), __version__, limits_w)
        return keep(finished_run(outcome.plan, outcome, setting, lambda done, total: None))

    def save(self, session: Session, plan: Plan) -> str | None:
        if session.config.path is None:
            return None
        save_plan(session.config.path, plan)
        return session.config.path


def run_screen(config_path: str | None, theme: str | None) -> int:
    """`hettui [CONFIG]`: the named configuration, else the one used last, else the usual one, else what is found."""
    path = Path(config_path) if config_path else last_config() or config_file()
    config = load(path) if config_path or path.exists() else Config()
    if config.path is not None:
        remember_config(path)
    return _run(lambda: open_session(config), theme)


def run_session(session: Session, theme: str | None) -> int:
    """The screen on a session that is open already."""
    return _run(lambda: session, theme)


def _run(opener: Callable[[], Session], theme: str | None) -> int:
    # The screen reads keys from stdin and draws on stderr.
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("the screen needs a terminal (over SSH: ssh -t); without one: hettui demo --headless, plan, …")
    # Textual costs most of the start-up time: no other command should pay for it.
    from hettui.ui.app import HettuiApp
    from hettui.ui.collector import calm_collector

    themes, problems = read_themes([resource_folder("themes"), user_themes()])
    learner = Learner(lambda learned: save_learned(state_dir(), learned))
    chats = ChatKeeper(ChatFolder(state_dir() / "chats", Path.cwd()))
    with closing(learner), closing(chats), build_engine(state_dir() / "logs") as engine:
        backend = ScreenBackend(engine, opener, learner, chats)
        app = HettuiApp(backend, themes, theme, problems, when_shown=calm_collector)
        with _ending_on_signals(engine, app.exit_from_thread):
            error = app.run()
    if isinstance(error, HettuiError):
        raise error
    return app.return_code or 0


@contextmanager
def _ending_on_signals(engine: Engine, leave: Callable[[], None]) -> Iterator[None]:
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
