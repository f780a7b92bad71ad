"""Tunes a split: launches what the search proposes, measures it as the bench does, and leaves the best running."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from hettui.domain.bench.run import BenchPlan
from hettui.domain.cluster.snapshot import ClusterSnapshot
from hettui.domain.errors import HettuiError, ServerError
from hettui.domain.plan.plan import Plan
from hettui.domain.records import dataclass
from hettui.domain.speed.pace import expected
from hettui.domain.statistics import Spread
from hettui.domain.telemetry.busy import THROTTLED, why_slower_now
from hettui.domain.telemetry.readings import TelemetrySnapshot
from hettui.domain.tuning.report import TuneOutcome, TuneProgress
from hettui.domain.tuning.search import Knows, Next, Trial, Tuning, launch_of
from hettui.ports import Clock, LlamaClient
from hettui.services.bench import BenchRunner
from hettui.services.cluster.world import Request
from hettui.services.events import Event, TelemetryUpdated

MEASURE_S = 4.0
"""Of one answer: sensors tell a device's part only over some seconds."""
REPEATS = 3
_PROBE_TOKENS, _LEAST_TOKENS, _MOST_TOKENS = 16, 16, 1024
_PROMPT_TOKENS = 512
_MOST_FAILURES = 2
COOL_S = 90.0
"""So long a card that is held down by heat may take to cool."""
_LOOK_S = 1.0


class Launches(Protocol):
    """The cluster, as the search needs it."""

    @property
    def snapshot(self) -> ClusterSnapshot: ...

    @property
    def client(self) -> LlamaClient | None: ...

    async def start(self, request: Request) -> None: ...

    def read_logs(self) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class TuneJob:
    """What is to be tuned, and what belongs to it."""

    tuning: Tuning
    request: Callable[[Plan], Request]
    """Raises the reason when a plan cannot be launched."""
    knows: Knows
    """The devices with what is known of them."""
    streams: int = 1
    prompt: bool = False
    """The reading of prompts is to be fast, not the writing."""


class TuneRunner:
    """One tuning. `run` returns whatever there is, also when it was stopped, and the best split known runs then."""

    def __init__(self, cluster: Launches, clock: Clock, tell: Callable[[TuneProgress], None]) -> None:
        self._cluster = cluster
        self._clock = clock
        self._tell = tell
        self._bench: BenchRunner | None = None
        self._readings: TelemetrySnapshot | None = None
        self._task: asyncio.Task[TuneOutcome] | None = None
        self._stopped, self._leaves = False, True
        self._running: Plan | None = None
        """What was launched last."""
        self._tuning: Tuning | None = None

    def hear(self, event: Event) -> None:
        """An engine's subscriber: readings tell when a card is too hot to go on."""
        if isinstance(event, TelemetryUpdated):
            self._readings = event.snapshot
        if self._bench is not None:
            self._bench.hear(event)

    def stop(self, *, leave: bool = True) -> None:
        """Ends it; what was measured is kept. `leave`: the best split that is known shall run. On the loop that runs
        it."""
        self._stopped, self._leaves = True, leave
        if self._task is not None:
            self._task.cancel()

    async def run(self, job: TuneJob) -> TuneOutcome:
        self._tuning = job.tuning
        self._task = asyncio.create_task(self._search(job), name="tune")
        try:
            outcome = await asyncio.shield(self._task)
        except asyncio.CancelledError:
            self._task.cancel()
            await asyncio.wait({self._task})
            if not self._stopped:
                raise
            outcome = TuneOutcome(self._tuning, "stopped", "it was stopped")
        return await self._leave_the_best(job, outcome)

    async def _search(self, job: TuneJob) -> TuneOutcome:
        tuning, failures, problem = job.tuning, 0, ""
        while True:
            # A dozen searches: nobody else on this loop shall wait for them.
            step = await asyncio.to_thread(tuning.next, job.knows)
            if step.plan is None:
                return TuneOutcome(tuning, step.reason, step.why)
            try:
                trial = await self._try(job, tuning, step, step.plan)
            except HettuiError as error:
                failures, problem = failures + 1, str(error)
                if failures >= _MOST_FAILURES or not tuning.trials:
                    return TuneOutcome(tuning, "failed", "a split did not come up", problem)
                # It counts as the slowest there is, so that it is not proposed again.
                trial = Trial(step.plan, Spread(0.0, None, 1), None, f"did not come up: {problem}")
            tuning = self._tuning = tuning.with_trial(trial)
            self._tell(TuneProgress(tuning, "measured"))
            await self._cool_down(tuning)

    async def _try(self, job: TuneJob, tuning: Tuning, step: Next, plan: Plan) -> Trial:
        shape = tuning.workload.shape
        promised = tuning.promised(plan, job.knows)
        self._tell(TuneProgress(tuning, f"launching: {step.why}", plan))
        if self._running is None or launch_of(self._running) != launch_of(plan):
            self._running = None
            await self._cluster.start(job.request(plan))
            self._running = plan
        self._tell(TuneProgress(tuning, f"measuring: {step.why}", plan))
        rate = await self._measured(job)
        # What the log says of the last answer belongs to what is known before the next split is chosen.
        self._cluster.read_logs()
        known = expected(shape, job.knows(plan.devices), plan.split.layers)
        stages = () if known is None else tuple((plan.devices[i].name, s) for i, s in known.stages_s.items())
        return Trial(plan, rate, promised, step.why, stages)

    async def _measured(self, job: TuneJob) -> Spread:
        probe = await self._rate(BenchPlan((), (_PROBE_TOKENS,), streams=(1,), repeats=1))
        tokens = min(max(round(MEASURE_S * probe.mean), _LEAST_TOKENS), self._most_tokens())
        if job.prompt or job.streams > 1:
            # One answer to one stream tells the devices apart: what else they do is told from that.
            await self._rate(BenchPlan((), (tokens,), streams=(1,), repeats=1))
        if job.prompt:
            return await self._rate(BenchPlan((_PROMPT_TOKENS,), (), streams=(1,), repeats=REPEATS))
        return await self._rate(BenchPlan((), (tokens,), streams=(job.streams,), repeats=REPEATS))

    def _most_tokens(self) -> int:
        applied = self._cluster.snapshot.applied
        params = applied.params if applied is not None else None
        room = _MOST_TOKENS if params is None or not params.ctx_size else params.ctx_size // max(1, params.slots) - 64
        return max(_LEAST_TOKENS, min(_MOST_TOKENS, room))

    async def _rate(self, plan: BenchPlan) -> Spread:
        client = self._cluster.client
        if client is None:
            raise ServerError("the cluster is gone: see its log")
        self._bench = BenchRunner(client, self._clock, lambda progress: None)
        try:
            outcome = await self._bench.run(plan)
        finally:
            self._bench = None
        rates = [result.rate for result in outcome.results if result.rate is not None]
        if outcome.problem or not rates:
            skipped = "; ".join(outcome.skipped)
            raise ServerError(outcome.problem or f"nothing could be measured: {skipped or 'no answer'}")
        return rates[0]

    async def _cool_down(self, tuning: Tuning) -> None:
        """A card that throttles would be blamed for its heat: it is waited for."""
        until_s = self._clock.monotonic() + COOL_S
        while self._clock.monotonic() < until_s and (hot := self._too_hot()):
            self._tell(TuneProgress(tuning, f"{hot} is too hot: waiting until it is not"))
            await asyncio.sleep(_LOOK_S)

    def _too_hot(self) -> str:
        samples = self._readings.samples if self._readings is not None else {}
        return next((name for name, sample in samples.items() if why_slower_now(sample) == THROTTLED), "")

    async def _leave_the_best(self, job: TuneJob, outcome: TuneOutcome) -> TuneOutcome:
        tuning = outcome.tuning
        plan = tuning.best.plan if tuning.trials else job.tuning.start
        if not self._leaves or (self._running is not None and launch_of(self._running) == launch_of(plan)):
            return outcome
        self._tell(TuneProgress(tuning, "going to the best split", plan))
        try:
            await self._cluster.start(job.request(plan))
        except HettuiError as error:
            return TuneOutcome(tuning, outcome.reason, outcome.words, outcome.problem or str(error), runs=False)
        return outcome
