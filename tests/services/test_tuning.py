"""The search on a scripted cluster: what it launches, when it stops, and what runs in the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from hettui.domain.chat.wire import ChatDelta, ServerFacts, Timings
from hettui.domain.cluster.snapshot import Applied, ClusterSnapshot, ClusterState
from hettui.domain.devices.device import Device
from hettui.domain.errors import LaunchError
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.planner.learned import Learned
from hettui.domain.speed.pace import stages_s
from hettui.domain.telemetry.readings import DeviceSample, TelemetrySnapshot, Throttle
from hettui.domain.tuning.report import TuneOutcome, TuneProgress, tune_json, tune_text
from hettui.domain.tuning.search import Tuning, shape_of
from hettui.services.cluster.world import Request
from hettui.services.events import TelemetryUpdated
from hettui.services.tuning import TuneJob, TuneRunner
from tests.domain.test_speed import answer, truth
from tests.domain.test_tuning import LOAD
from tests.fakes import cluster, workers
from tests.patience import patience

DEVICES = tuple(replace(d, threads=i + 1) for i, d in enumerate(workers(400, 400)))
REAL = {d.name: truth(d, byte, 1.0, 1.0) for d, byte in zip(DEVICES, (1.0, 4.0), strict=True)}
START = Plan(DEVICES, Split((10, 21), 31))


class Clock:
    """Time passes only where something takes time."""

    now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


@dataclass
class Scripted:
    """A cluster whose devices have hidden speeds; its log tells the learner at once."""

    learned: Learned
    clock: Clock = field(default_factory=Clock)
    launched: list[Plan] = field(default_factory=list)
    broken: set[tuple[tuple[str, int], ...]] = field(default_factory=set)
    plan: Plan | None = None
    hold: asyncio.Event | None = None
    """Answers wait for it."""

    @property
    def snapshot(self) -> ClusterSnapshot:
        plan = self.plan or START
        return ClusterSnapshot(ClusterState.READY, applied=Applied(plan.devices, plan.split, params=LOAD.params))

    @property
    def client(self) -> Any:
        return self if self.plan is not None else None

    async def start(self, request: Request) -> None:
        plan = Plan(request.cluster.devices, request.split)
        self.launched.append(plan)
        self.plan = None
        if shape_of(plan) in self.broken:
            raise LaunchError("out of memory")
        self.plan = plan

    def read_logs(self) -> None:
        assert self.plan is not None
        import random

        decode = answer(LOAD.shape, self._real(), self.plan.split.layers, random.Random(1))
        self.learned.add_decode(LOAD.shape, self.plan.devices, self.plan.split, decode)

    def _real(self) -> list[Device]:
        assert self.plan is not None
        return [REAL[d.name] for d in self.plan.devices]

    async def facts(self) -> ServerFacts:
        return ServerFacts(slots=1, slot_context_tokens=8192, vocabulary=1000)

    async def complete(self, prompt: Sequence[int], options: dict[str, object]) -> AsyncIterator[ChatDelta]:
        assert self.plan is not None
        token_s = sum(stages_s(LOAD.shape, self._real(), self.plan.split.layers).values())
        count = int(str(options["n_predict"]))
        if self.hold is not None:
            await self.hold.wait()
        for _ in range(count):
            self.clock.now_s += token_s
            yield ChatDelta("x")
        timings = Timings(prompt_tokens=len(prompt), generated_tokens=count, generated_per_second=1 / token_s)
        yield ChatDelta(finish_reason="length", timings=timings)


@dataclass
class Search:
    """A runner on it."""

    learned: Learned = field(default_factory=Learned)
    told: list[TuneProgress] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cluster = Scripted(self.learned)
        self.runner = TuneRunner(self.cluster, self.cluster.clock, self.told.append)
        self.job = TuneJob(
            Tuning(LOAD, START), lambda p: Request(cluster(p.devices), p.split), self.learned.with_measured
        )

    async def run(self) -> TuneOutcome:
        return await asyncio.wait_for(self.runner.run(self.job), patience(30))


async def test_it_finds_the_fast_device_and_leaves_the_best_running() -> None:
    search = Search()
    outcome = await search.run()
    tuning = outcome.tuning
    assert outcome.problem is None
    assert outcome.runs
    assert tuning.best_rate > 1.5 * tuning.start_rate
    assert search.cluster.plan is not None
    assert shape_of(search.cluster.plan) == shape_of(tuning.best.plan)
    assert len(tuning.trials) <= 6
    assert tuning.trials[0].expected_per_second is None
    assert all(t.expected_per_second is not None for t in tuning.trials[1:])
    assert "tok/s instead of" in tune_text(outcome)
    said = tune_json(outcome)
    assert said["best_tps"] == pytest.approx(tuning.best_rate, rel=1e-3)
    assert isinstance(said["trials"], list)
    assert len(said["trials"]) == len(tuning.trials)


async def test_stopped_half_way_the_best_so_far_runs() -> None:
    search = Search()

    def told(progress: TuneProgress) -> None:
        """From the first trial on answers wait."""
        if progress.tuning.trials and search.cluster.hold is None:
            search.cluster.hold = asyncio.Event()

    search.runner = TuneRunner(search.cluster, search.cluster.clock, told)
    task = asyncio.create_task(search.run())
    while len(search.cluster.launched) < 2:
        await asyncio.sleep(0.001)
    search.runner.stop()
    outcome = await task
    assert outcome.reason == "stopped"
    assert search.cluster.plan is not None
    assert shape_of(search.cluster.plan) == shape_of(outcome.tuning.best.plan) == shape_of(START)


async def test_whoever_starts_something_else_is_not_overruled() -> None:
    search = Search()
    search.cluster.hold = asyncio.Event()
    task = asyncio.create_task(search.run())
    while not search.cluster.launched:
        await asyncio.sleep(0.001)
    search.runner.stop(leave=False)
    outcome = await task
    assert outcome.reason == "stopped"
    assert len(search.cluster.launched) == 1


async def test_a_split_that_does_not_come_up_is_not_the_end() -> None:
    search = Search()
    first = await search.run()
    best = shape_of(first.tuning.best.plan)
    again = Search()
    again.cluster.broken = {best}
    outcome = await again.run()
    assert outcome.problem is None or "out of memory" in outcome.problem
    assert outcome.runs
    assert shape_of(outcome.tuning.best.plan) != best
    assert outcome.tuning.best_rate >= outcome.tuning.start_rate


async def test_a_start_that_does_not_come_up_is_told() -> None:
    search = Search()
    search.cluster.broken = {shape_of(START)}
    outcome = await search.run()
    assert (outcome.reason, outcome.runs) == ("failed", False)
    assert outcome.problem == "out of memory"
    assert tune_json(outcome)["best"] is None


async def test_a_card_that_is_too_hot_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search()
    monkeypatch.setattr("hettui.services.tuning._LOOK_S", 0.001)
    hot = DeviceSample(throttles=(Throttle.HOT,))
    search.runner.hear(TelemetryUpdated(TelemetrySnapshot(0.0, 1.0, {"d0": hot})))
    task = asyncio.create_task(search.run())
    while not any("too hot" in progress.now for progress in search.told):
        await asyncio.sleep(0.001)
    search.runner.hear(TelemetryUpdated(TelemetrySnapshot(0.0, 1.0, {"d0": DeviceSample(throttles=())})))
    assert (await task).runs
