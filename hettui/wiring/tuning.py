"""`hettui tune`: the search for the best split without a screen, on what runs or on what a configuration says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hettui.adapters.files.config_toml import save_plan
from hettui.adapters.files.learned_file import save_learned
from hettui.adapters.files.paths import log_dir, memory_dir
from hettui.adapters.machine.limits import default_threads, usable_cpus
from hettui.domain.errors import HettuiError, UsageError
from hettui.domain.plan.aim import Objective
from hettui.domain.plan.plan import Plan
from hettui.domain.planner.learned import PROMPT, streams_name
from hettui.domain.records import dataclass
from hettui.domain.session.room import Room
from hettui.domain.session.session import Session
from hettui.domain.tuning.report import TuneOutcome, TuneProgress
from hettui.domain.tuning.search import MOST_TRIALS, Tuning, launch_of
from hettui.domain.tuning.threads import Cpus
from hettui.services.cluster.world import Request
from hettui.services.engine import Engine
from hettui.services.events import Event, TuneChanged, TuneEnded
from hettui.services.learner import Learner, Times
from hettui.services.tuning import TuneJob
from hettui.wiring.engine import build_engine
from hettui.wiring.headless import configured
from hettui.wiring.ownership import acquire, living_record, open_runs, own_run
from hettui.wiring.sessions import api_key, open_session, recorded_session, request_for

SENSOR_S = 0.5
Tell = Callable[[TuneProgress], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What shall be fast, and how many launches that may take."""

    streams: int = 1
    prompt: bool = False
    most_trials: int = MOST_TRIALS

    @property
    def measures(self) -> str:
        if self.prompt:
            return PROMPT
        return streams_name(self.streams) if self.streams > 1 else ""

    @property
    def objective(self) -> Objective:
        return "throughput" if self.prompt or self.streams > 1 else "latency"


def job_of(session: Session, plan: Plan, request: Callable[[Plan], Request], wanted: Wanted | None = None) -> TuneJob:
    """From this plan on. Raises UsageError without a model."""
    wanted = wanted or Wanted()
    workload = session.workload_of(plan)
    if workload is None:
        raise UsageError("no model is chosen: set [model] path")
    if workload.params.shares_tensors:
        raise UsageError('tuning moves whole layers from device to device: set [serving] split-mode = "layer" for it')
    cpus = Cpus(usable_cpus(), default_threads())
    tuning = Tuning(workload, plan, wanted.objective, wanted.most_trials, measures=wanted.measures, cpus=cpus)
    return TuneJob(tuning, request, session.learned.with_measured, wanted.streams, wanted.prompt)


def tune(config_path: str | None, demo: Session | None, wanted: Wanted, tell: Tell) -> TuneOutcome:
    """Blocks. What runs afterwards is the best split that was found; a demo ends. Raises the reason when it cannot
    begin. An interruption ends the search: the best of what was measured runs then, and it is raised again."""
    if demo is not None:
        with (
            own_run("tune") as runs,
            TemporaryDirectory(prefix="hettui-tune-") as folder,
            build_engine(Path(folder), runs, SENSOR_S) as engine,
        ):
            return _tuned(engine, demo, demo.initial_plan, wanted, tell)
    runs = open_runs()
    acquire(runs)
    try:
        record = living_record(runs)
        named = None if config_path is None else Path(config_path).expanduser().resolve()
        if record is not None and named is not None and named != Path(record.config_path or "").resolve():
            raise HettuiError("another cluster runs already: hettui status shows it, hettui down stops it")
        session = open_session(configured(config_path)) if record is None else recorded_session(record)
        with build_engine(log_dir(), runs, SENSOR_S) as engine, _left_running(engine):
            engine.take_over(api_key(session.config), session.config.supervision).result()
            applied = engine.snapshot.applied
            start = session.initial_plan if applied is None else Plan(applied.devices, applied.split)
            outcome = _tuned(engine, session, start, wanted, tell)
            _keep(session, outcome)
            return outcome
    finally:
        runs.release()


@contextmanager
def _left_running(engine: Engine) -> Iterator[None]:
    """Whatever comes, what runs goes on."""
    try:
        yield
    finally:
        engine.close(leave=True)


def _tuned(engine: Engine, session: Session, start: Plan | None, wanted: Wanted, tell: Tell) -> TuneOutcome:
    if start is None:
        raise UsageError("no model is chosen: set [model] path")
    if wanted.streams > session.config.params.slots:
        raise UsageError(f"--for {wanted.streams}: there are only {session.config.params.slots} slots (parallel)")
    learner = Learner(lambda learned: save_learned(memory_dir(), learned), Times(cpu_threads=default_threads()))
    ended, outcomes = threading.Event(), list[TuneOutcome]()

    def hear(event: Event) -> None:
        if isinstance(event, TuneChanged):
            tell(event.progress)
        elif isinstance(event, TuneEnded):
            outcomes.append(event.outcome)
            ended.set()

    def request(plan: Plan) -> Request:
        learner.expect(session)
        # Its own memory and others' cannot be told apart while it runs: budgets are what was free before.
        return request_for(session, plan, room=Room())

    with closing(learner):
        engine.subscribe(learner)
        engine.subscribe(hear)
        engine.watch(start.devices)
        learner.expect(session)
        engine.tune(job_of(session, replace(start), request, wanted)).result()
        try:
            ended.wait()
        except BaseException:
            engine.cancel_tune().result()
            raise
        engine.unsubscribe(hear)
        return outcomes[0]


def _keep(session: Session, outcome: TuneOutcome) -> None:
    """A better split goes into the configuration, as applying it on the screen does."""
    tuning = outcome.tuning
    if session.config.path is None or not tuning.trials or not outcome.runs:
        return
    if launch_of(tuning.best.plan) != launch_of(tuning.trials[0].plan):
        save_plan(session.config.path, tuning.best.plan, tuning.best.plan.asked(session.config.params))
