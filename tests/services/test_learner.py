"""What launches teach, as histories of events: it is filed under what ran, whatever was asked for meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from hettui.domain.bench.run import BenchOutcome, BenchPlan, BenchResult, BenchSample, BenchTest
from hettui.domain.chat.wire import ServerFacts, Timings
from hettui.domain.cluster.process import ProcessSpec
from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.config.values import Config
from hettui.domain.errors import LaunchError
from hettui.domain.llama.params import Drafting, RuntimeParams
from hettui.domain.memory.forecast import Forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.planner.learned import Learned
from hettui.domain.session.plan_report import PlanReport
from hettui.domain.session.session import Session, runnable
from hettui.domain.speed.pace import stages_s
from hettui.domain.statistics import spread
from hettui.domain.telemetry.readings import DeviceSample, TelemetrySnapshot
from hettui.domain.tuning.report import TuneProgress
from hettui.domain.tuning.search import Trial, Tuning
from hettui.domain.units import MIB
from hettui.services.cluster.controller import ClusterController
from hettui.services.cluster.world import Request
from hettui.services.events import BenchEnded, ChatEnded, LogLines, TelemetryUpdated, TuneChanged
from hettui.services.learner import Learner, Times
from tests.fakes import FakeWorld, cluster, shape, workers

PARAMS = RuntimeParams(ctx_size=4096)
DEVICES = workers(None, None, None)
OLD, NEW = (16, 10, 5), (20, 6, 5)


OTHER = "/models/other.gguf"


def session_of(
    model_path: str = "/models/smol.gguf",
    blocks: int = 30,
    block_bytes: int = 2_216_448,
    learned: Learned | None = None,
) -> Session:
    model = shape(blocks, block_bytes)
    model = replace(model, file=replace(model.file, paths=(model_path,)))
    config = Config(model_path=model_path, params=PARAMS)
    what = replace(cluster(DEVICES, params=PARAMS), model_path=model_path)
    return Session(config, (), DEVICES, what, model, learned=learned or Learned())


class History:
    """A learner beside a controller on a fake world, in which every master reserves its own figures."""

    def __init__(self) -> None:
        self.saved: list[Learned] = []
        self.now_s = 0.0
        self.learner = Learner(self.saved.append, Times(lambda: self.now_s, lambda: 1e9, cpu_threads=2))
        self.world = FakeWorld()
        self.controller = ClusterController(self.world.world(), self.learner)
        self.session = session_of()
        self.fails = ""
        """A master whose command line contains this dies loading."""
        self.world.dies_loading = self._fate

    def _fate(self, spec: ProcessSpec) -> tuple[int, str] | None:
        return (1, "failed to allocate buffer for kv cache") if self.fails and self.fails in spec.argv else None

    async def apply(self, *layers: int, session: Session | None = None, ctx_size: int | None = None) -> None:
        """As the screen does it: the request, and then the start."""
        session = session or self.session
        plan = Plan(DEVICES, Split(layers, session.shape.layers if session.shape else 0), ctx_size)
        self.learner.expect(session)
        await self.controller.start(Request(runnable(session, plan), plan.split))

    def master_reserves(self, *mib: float) -> None:
        """Compute buffers of the devices in order, and of the host at last."""
        names = [*(f"RPC{i}[127.0.0.1:{50052 + i}]" for i in range(len(mib) - 1)), "CPU"]
        for name, size in zip(names, mib, strict=True):
            self.world.log["master"].append(f"0.1.2.3 I sched_reserve: {name} compute buffer size = {size:.2f} MiB")
        self.controller.read_logs()

    def outlook(self, *layers: int, session: Session | None = None, ctx_size: int | None = None) -> Forecast:
        session = session or self.session
        assert session.shape is not None
        found = session.forecast(Plan(DEVICES, Split(layers, session.shape.layers), ctx_size))
        assert found is not None
        return found


@pytest.fixture
async def history() -> Iterator[History]:  # type: ignore[misc]
    made = History()
    yield made
    await made.controller.stop()
    made.learner.close()


def measured(outlook: Forecast) -> list[float] | None:
    """The compute buffers in MiB when all of them were measured; None when none was."""
    if not outlook.measured:
        return None
    return [m.compute_bytes / MIB for m in (*outlook.devices, outlook.host) if m.total_bytes]


async def test_what_a_launch_reserves_is_kept_under_its_plan(history: History) -> None:
    await history.apply(*OLD)
    history.master_reserves(11, 22, 33, 44)
    assert measured(history.outlook(*OLD)) == [11, 22, 33, 44]
    assert measured(history.outlook(*NEW)) is None
    history.learner.close()
    assert history.saved == [history.session.learned]


async def test_half_of_the_buffers_teaches_nothing_yet(history: History) -> None:
    await history.apply(*OLD)
    history.master_reserves(11, 22)
    assert history.session.learned == Learned()


async def test_an_apply_that_fails_teaches_nothing_of_its_plan(history: History) -> None:
    """The split that ran before is started again: what it reserves is its own."""
    await history.apply(*OLD)
    history.fails = "20,6,5"
    with pytest.raises(LaunchError):
        await history.apply(*NEW)
    assert history.controller.snapshot.state is ClusterState.READY
    history.master_reserves(11, 22, 33, 44)
    assert measured(history.outlook(*NEW)) is None
    assert measured(history.outlook(*OLD)) == [11, 22, 33, 44]
    assert len(history.session.learned.compute) == 1


async def test_an_apply_of_another_context_that_fails_teaches_nothing_of_it(history: History) -> None:
    await history.apply(*OLD)
    history.fails = "16384"
    with pytest.raises(LaunchError):
        await history.apply(*OLD, ctx_size=16384)
    history.master_reserves(11, 22, 33, 44)
    assert measured(history.outlook(*OLD, ctx_size=16384)) is None
    assert measured(history.outlook(*OLD)) == [11, 22, 33, 44]


async def test_another_model_that_fails_learns_nothing_from_the_one_that_ran(history: History) -> None:
    other = session_of(OTHER, blocks=40, learned=history.session.learned)
    await history.apply(*OLD)
    history.fails = OTHER
    with pytest.raises(LaunchError):
        await history.apply(20, 16, 5, session=other)
    history.master_reserves(11, 22, 33, 44)
    assert measured(history.outlook(20, 16, 5, session=other)) is None
    assert measured(history.outlook(*OLD)) == [11, 22, 33, 44]


async def test_what_is_told_late_belongs_to_what_still_runs(history: History) -> None:
    """Between the request and the start of the next one the old master goes on telling."""
    await history.apply(*OLD)
    history.learner.expect(history.session)
    history.master_reserves(11, 22, 33, 44)
    assert measured(history.outlook(*NEW)) is None
    assert measured(history.outlook(*OLD)) == [11, 22, 33, 44]


async def test_what_another_hettui_started_is_learned_once_its_model_is_known(history: History) -> None:
    await history.apply(*OLD)
    taker = Learner(history.saved.append)
    second = ClusterController(history.world.world(), taker)
    record = history.world.runs.load()
    await history.controller.leave()
    await second.take_over(record)
    assert second.snapshot.state is ClusterState.READY
    taker.expect(history.session)
    history.controller = second
    history.master_reserves(11, 22, 33, 44)
    assert measured(history.outlook(*NEW)) is None
    assert measured(history.outlook(*OLD)) == [11, 22, 33, 44]
    taker.close()


def answer(tokens: int, per_second: float) -> ChatEnded:
    return ChatEnded(Timings(generated_tokens=tokens, generated_per_second=per_second))


async def test_an_answer_teaches_how_fast_the_devices_are(history: History) -> None:
    await history.apply(*OLD)
    history.learner(answer(15, 40.0))
    assert history.session.learned.speeds == {}
    history.learner(answer(16, 40.0))
    assert len(history.session.learned.speeds) == 1


async def test_an_answer_is_the_running_models_whatever_was_asked_for(history: History) -> None:
    """The same answer teaches the same, also after another, larger model did not come up."""
    alone = History()
    await alone.apply(*OLD)
    alone.learner(answer(100, 40.0))
    other = session_of(OTHER, block_bytes=9_000_000, learned=history.session.learned)
    await history.apply(*OLD)
    history.fails = OTHER
    with pytest.raises(LaunchError):
        await history.apply(*NEW, session=other)
    history.learner(answer(100, 40.0))
    assert history.session.learned.speeds == alone.session.learned.speeds
    await alone.controller.stop()
    alone.learner.close()


async def test_an_answer_of_nothing_teaches_nothing(history: History) -> None:
    history.learner(answer(100, 40.0))
    await history.apply(*OLD)
    await history.controller.stop()
    history.learner(answer(100, 40.0))
    history.learner(ChatEnded(None))
    assert history.session.learned == Learned()


async def test_a_card_teaches_what_its_driver_takes_beside_the_buffers(history: History) -> None:
    card = replace(DEVICES[0], backend="cuda", uuid="GPU-1")
    plan = Plan((card, *DEVICES[1:]), Split(OLD, 31))
    history.learner.expect(history.session)
    await history.controller.start(Request(runnable(history.session, plan), plan.split))
    history.master_reserves(11, 22, 33, 44)
    readings = TelemetrySnapshot(1.0, 1.0, {"d0": DeviceSample(own_bytes=500 * MIB)})
    history.learner(TelemetryUpdated(readings))
    assert history.session.learned.overhead == {"GPU-1": 489 * MIB}


def begins(task: int, at_s: float) -> str:
    return f"{_stamp(at_s)} I slot launch_slot_: id  0 | task {task} | processing task, is_child = 0"


def ends(task: int, at_s: float, generated_s: float, tokens: int) -> list[str]:
    return [
        f"{_stamp(at_s)} I slot print_timing: id  0 | task {task} |        eval time = {generated_s * 1e3:10.2f} ms "
        f"/ {tokens:5d} tokens ( x ms per token)",
        f"{_stamp(at_s)} I slot      release: id  0 | task {task} | stop processing: n_tokens = 9, truncated = 0",
    ]


def _stamp(at_s: float) -> str:
    return f"{int(at_s // 60)}.{int(at_s % 60):02d}.{round(at_s % 1 * 1e3):03d}.000"


def answered(history: History, busy: dict[str, DeviceSample], *, task: int = 1, together: bool = False) -> None:
    """Six seconds, readings each second, 50 ms a token."""
    begin_s = history.now_s
    lines = [begins(task, begin_s)] + ([begins(task + 1, begin_s)] if together else [])
    history.learner(LogLines("master", tuple(lines)))
    for _ in range(6):
        history.now_s += 1.0
        history.learner(TelemetryUpdated(TelemetrySnapshot(history.now_s, 1.0, busy)))
    history.now_s += 0.1
    history.learner(LogLines("master", tuple(ends(task, history.now_s, 6.0, 121))))


def cores(*percent: float) -> dict[str, DeviceSample]:
    return {f"d{i}": DeviceSample(utilisation_percent=p) for i, p in enumerate(percent)}


async def test_an_answer_of_any_client_tells_each_devices_part(history: History) -> None:
    threads = tuple(replace(d, threads=n) for d, n in zip(DEVICES, (1, 2, 4), strict=True))
    plan = Plan(threads, Split(OLD, 31))
    history.learner.expect(history.session)
    await history.controller.start(Request(runnable(history.session, plan), plan.split))
    answered(history, cores(50, 60, 80))
    assert history.session.shape is not None
    devices = history.session.learned.with_measured(threads)
    stages = stages_s(history.session.shape, devices, OLD)
    assert [stages[i] for i in range(3)] == pytest.approx([0.025, 0.015, 0.010], rel=0.15)
    # What our own chat tells beside it is the same answer: it is not learned twice.
    before = dict(history.session.learned.speeds)
    history.learner(answer(121, 20.0))
    assert history.session.learned.speeds == before


async def test_answers_side_by_side_and_short_ones_tell_nothing(history: History) -> None:
    await history.apply(*OLD)
    answered(history, cores(50, 30, 20), together=True)
    history.now_s += 1
    history.learner(LogLines("master", (begins(8, history.now_s),)))
    history.now_s += 0.9
    history.learner(TelemetryUpdated(TelemetrySnapshot(history.now_s, 1.0, cores(50, 30, 20))))
    history.learner(LogLines("master", tuple(ends(8, history.now_s, 0.8, 40))))
    assert history.session.learned.speeds == {}


async def test_with_a_draft_model_nothing_is_learned_of_speeds_and_buffers_have_a_key_of_their_own(
    history: History,
) -> None:
    """A factor of 7.54 was seen of a device that had not changed."""
    plain, session = history.session, history.session
    params = replace(session.config.params, draft=Drafting(model="/draft.gguf", device="host"))
    config, cluster = replace(session.config, params=params), session.cluster
    assert cluster is not None
    history.session = replace(session, config=config, cluster=replace(cluster, params=params), draft=session.shape)
    await history.apply(*OLD)
    answered(history, cores(50, 30, 20))
    history.learner(answer(121, 20.0))
    assert history.session.learned.speeds == {}
    history.master_reserves(11, 22, 33, 44)
    outlook = history.outlook(*OLD)
    assert [m.compute_bytes / MIB for m in (*outlook.devices, outlook.host)] == [11, 22, 33, 44]
    assert measured(history.outlook(*OLD, session=replace(plain, learned=history.session.learned))) is None


async def test_a_shared_card_is_excused_until_it_is_alone_again(history: History) -> None:
    cards = tuple(replace(d, backend="cuda", uuid=f"GPU-{d.name}", bandwidth_bytes_per_s=1e12) for d in DEVICES)
    history.session = replace(history.session, devices=cards)
    plan = Plan(cards, Split(OLD, 31))
    history.learner.expect(history.session)
    await history.controller.start(Request(runnable(history.session, plan), plan.split))
    busy = {name: DeviceSample(utilisation_percent=10, own_busy_percent=10) for name in ("d0", "d1")}
    busy["d2"] = DeviceSample(utilisation_percent=100, own_busy_percent=99, others_busy_percent=99)
    answered(history, busy)
    learned = history.session.learned
    first, _, shared = learned.with_measured(cards)
    assert first.speed is not None
    assert first.speed.slower_now == 1.0
    assert shared.speed is not None
    assert shared.speed.why_now == "shared"
    assert shared.speed.slower_now > 5
    quiet = busy | {"d2": DeviceSample(utilisation_percent=0, others_busy_percent=0)}
    for _ in range(2):
        history.now_s += 1
        history.learner(TelemetryUpdated(TelemetrySnapshot(history.now_s, 1.0, quiet)))
    assert learned.now == {}


def benched(history: History, *tests: tuple[BenchTest, float]) -> None:
    """A bench of what runs has ended."""
    results = tuple(BenchResult(test, (BenchSample(round(10 * rate), 10.0),)) for test, rate in tests)
    history.learner(BenchEnded(BenchOutcome(BenchPlan(), ServerFacts(), results)))


async def test_what_was_measured_of_prompts_and_streams_is_expected_of_that_plan_again(history: History) -> None:
    await history.apply(*OLD)
    one, two = BenchTest(generate=128), BenchTest(generate=128, streams=2)
    deep, short = BenchTest(prompt=512, depth=1024), BenchTest(prompt=16)
    benched(history, (BenchTest(prompt=512), 900.0), (one, 20.0), (two, 33.3), (deep, 500.0), (short, 100.0))
    learned = history.session.learned

    def told(*layers: int) -> dict[str, object]:
        plan = Plan(DEVICES, Split(layers, 31))
        assert history.session.workload is not None
        found = PlanReport(history.session.workload, plan, learned=learned).as_json()["expected"]
        assert isinstance(found, dict)
        return found

    assert (told(*OLD)["prefill_tps"], told(*OLD)["streams_tps"]) == (900.0, {"2": 33.3})
    assert (told(*NEW)["prefill_tps"], told(*NEW)["streams_tps"]) == (None, {})
    tuning = Tuning(Workload(shape(), PARAMS), Plan(DEVICES, Split(OLD, 31)), "throughput", measures="x4")
    rate = spread([40.0])
    assert rate is not None
    history.learner(TuneChanged(TuneProgress(tuning.with_trial(Trial(tuning.start, rate)), "measured")))
    assert told(*OLD)["streams_tps"] == {"2": 33.3, "4": 40.0}
    history.learner(TuneChanged(TuneProgress(tuning, "measuring")))
    threads = tuple(replace(d, threads=7) for d in DEVICES)
    assert not learned.rates_of(Workload(shape(), PARAMS), Plan(threads, Split(OLD, 31)))
    assert learned.forget_speeds() == 0
    assert told(*OLD)["prefill_tps"] is None
