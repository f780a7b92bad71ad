"""The cluster without the screen: up, down, status, logs. The same engine, record and lock as the screen's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from hettui.adapters.files.config_toml import load
from hettui.adapters.files.paths import config_file, last_config, log_dir, remember_config
from hettui.domain.cluster.snapshot import ClusterSnapshot, ClusterState
from hettui.domain.config.values import Config
from hettui.domain.doctor.checks import before_a_start
from hettui.domain.errors import HettuiError, UsageError
from hettui.domain.session.doubts import not_counted
from hettui.domain.session.doubts import warnings as plan_warnings
from hettui.domain.session.session import Session
from hettui.services.engine import Engine
from hettui.services.events import Event as EngineEvent
from hettui.wiring.doctor import quick_facts
from hettui.wiring.engine import build_engine
from hettui.wiring.ownership import acquire, open_runs
from hettui.wiring.sessions import api_key, request_for

Listener = Callable[[EngineEvent], None]
_FOLLOW_S = 0.2


def configured(config_path: str | None) -> Config:
    """The named configuration, else the one used last, else the usual one. Raises UsageError when there is none."""
    path = Path(config_path) if config_path else last_config() or config_file()
    if not config_path and not path.exists():
        raise UsageError("no configuration: name one, or write one with hettui init")
    config = load(path)
    remember_config(path)
    return config


def warnings(session: Session) -> list[str]:
    """What is known to fail of what would be started, and what its plan does not count."""
    plan, workload = session.initial_plan, session.workload
    found = [f"{one.words}{f': {one.remedy}' if one.remedy else ''}" for one in before_a_start(quick_facts(session))]
    if plan is None or workload is None:
        return found
    beside = not_counted(session.config.serving.extra_args, session.file_bytes)
    return [
        *found,
        *plan_warnings(session.workload_of(plan) or workload, plan, session.split_modes),
        *(f"not counted: {one.words}" for one in beside),
    ]


def up(session: Session, *, force: bool, listener: Listener) -> tuple[ClusterSnapshot, bool]:
    """Starts it, or says that it runs already (second value), and leaves it running. Raises the reason otherwise."""
    runs = open_runs()
    acquire(runs)
    try:
        with build_engine(log_dir(), runs) as engine, _only_its_own(engine) as started:
            engine.subscribe(listener)
            engine.take_over(api_key(session.config), session.config.supervision).result()
            already = _runs_already(engine, session)
            if not already:
                plan = session.initial_plan
                if plan is None:
                    raise UsageError("no model is chosen: set [model] path")
                request = request_for(session, plan, force=force)
                started.set()
                engine.start(request).result()
            snapshot = engine.snapshot
            engine.close(leave=True)
            return snapshot, already
    finally:
        runs.release()


@contextmanager
def _only_its_own(engine: Engine) -> Iterator[Event]:
    """Whatever goes wrong within, no cluster is ended that ran before: a start that fails has ended what it began by
    itself, and only one that is cut off leaves that to us. Gives what is to be set when a start begins."""
    begun = Event()
    try:
        yield begun
    except BaseException as error:
        engine.close(leave=isinstance(error, HettuiError) or not begun.is_set())
        raise


def _runs_already(engine: Engine, session: Session) -> bool:
    """True: what was asked for runs. False: nothing does. Raises HettuiError when something else runs."""
    applied, plan = engine.snapshot.applied, session.initial_plan
    if engine.snapshot.state not in (ClusterState.READY, ClusterState.LOADING) or applied is None or plan is None:
        # What is left of our own cluster is brought back; a start refuses by itself over what nobody knows.
        return False
    same_model = session.cluster is not None and engine.model_path == session.cluster.model_path
    # Where the configuration says no layers the planner does, and what answers taught it since is no other cluster.
    own_choice = any(d.layers is None for d in session.devices)
    same_devices = {d.name for d in plan.devices} == {d.name for d in applied.devices}
    if same_model and ((own_choice and same_devices) or not plan.differs_from(applied.devices, applied.split)):
        engine.settled().result()
        return engine.snapshot.state is ClusterState.READY
    raise HettuiError("another cluster runs already: hettui status shows it, hettui down stops it")


def down(listener: Listener) -> tuple[int, str | None]:
    """Stops what runs. Returns how many processes there were, and what is wrong if one does not end."""
    runs = open_runs()
    acquire(runs)
    try:
        with build_engine(log_dir(), runs) as engine:
            engine.subscribe(listener)
            engine.take_over().result()
            count = len(engine.snapshot.processes)
            engine.stop().result()
            stuck = engine.snapshot.problem if engine.snapshot.processes else None
            if stuck:
                engine.close(leave=True)
            return count, stuck
    finally:
        runs.release()
