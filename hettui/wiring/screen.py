"""Runs the screen over a real engine, and ends everything in order, whatever ends it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from hettui.adapters.config_toml import load, save_plan
from hettui.adapters.learned_file import save_learned
from hettui.adapters.paths import config_file, last_config, log_dir, memory_dir, remember_config, user_themes
from hettui.adapters.resources import resource_folder
from hettui.adapters.run_folder import RunFolder
from hettui.adapters.theme_files import read_themes
from hettui.domain.config import Config
from hettui.domain.errors import HettuiError, UsageError
from hettui.domain.plan import Plan
from hettui.domain.session import Session
from hettui.services.engine import Engine
from hettui.services.learner import Learner
from hettui.services.world import Request
from hettui.wiring.ending import Ending, watching
from hettui.wiring.engine import build_engine
from hettui.wiring.ownership import living_record, open_runs, owned_by, recorded_session, sweep
from hettui.wiring.sessions import api_key, open_session, request_for, with_model


class ScreenBackend:
    """Implements Backend."""

    def __init__(
        self, engine: Engine, opener: Callable[[], Session], learner: Learner, read_only: str | None = None
    ) -> None:
        self.engine = engine
        self.read_only = read_only
        self.leaves = False
        """The user chose to leave the cluster running."""
        self._config = Config()
        self._opener = opener
        self._learner = learner
        engine.subscribe(learner)

    def open(self) -> Session:
        session = self._opener()
        self._config = session.config
        return session

    def begin(self) -> None:
        try:
            key = api_key(self._config)
        except HettuiError:
            # Told when it is needed: what runs is taken over all the same.
            key = None
        self.engine.take_over(key, self._config.supervision)

    def leave_running(self) -> None:
        self.leaves = True

    def runs_on(self, hangup: bool) -> bool:
        """Whether the cluster outlives an end that nobody answers questions at."""
        return (self._config.on_hangup if hangup else self._config.on_exit) == "leave"

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


def run_screen(config_path: str | None, theme: str | None) -> int:
    """`hettui [CONFIG]`: what runs; else the named configuration, the one used last, the usual one, what is found."""
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
        raise UsageError("the screen needs a terminal (over SSH: ssh -t); without one: hettui up, demo --headless, …")
    runs = open_runs()
    read_only = None if runs.acquire() else owned_by(runs)
    try:
        if read_only is None:
            sweep(runs.path.parent)
        return _show(runs, opener, theme, read_only)
    finally:
        runs.release()


def _show(runs: RunFolder, opener: Callable[[], Session], theme: str | None, read_only: str | None) -> int:
    # Textual costs most of the start-up time: no other command should pay for it.
    from hettui.ui.app import HettuiApp

    themes, problems = read_themes([resource_folder("themes"), user_themes()])
    problems = [*([read_only] if read_only else []), *problems]
    learner = Learner(lambda learned: save_learned(memory_dir(), learned))

    def open_what_runs() -> Session:
        record = living_record(runs)
        return opener() if record is None else recorded_session(record)

    with closing(learner), build_engine(log_dir(), runs, read_only=read_only) as engine:
        backend = ScreenBackend(engine, open_what_runs, learner, read_only)
        app = HettuiApp(backend, themes, theme, problems)
        ending = Ending(engine, app.exit_from_thread, backend.runs_on)
        with watching(ending):
            error = app.run()
        leaves = backend.leaves or ending.left or (app.crash is not None and backend.runs_on(True))
        running = bool(engine.snapshot.processes) and read_only is None
        engine.close(leave=leaves)
    if leaves and running:
        print("hettui: the cluster runs on. hettui takes it over again, hettui down stops it.", file=sys.stderr)
    if app.crash is not None:
        raise app.crash
    if isinstance(error, HettuiError):
        raise error
    return ending.code if ending.code is not None else app.return_code or 0
