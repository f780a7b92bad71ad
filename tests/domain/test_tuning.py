"""The search for the best split on a scripted engine with hidden speeds."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pytest

from hettui.domain.devices.device import Device
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.planner.headroom import propose
from hettui.domain.planner.learned import PROMPT, Learned
from hettui.domain.planner.objectives import best_plan
from hettui.domain.speed.pace import stages_s
from hettui.domain.speed.shares import Decode
from hettui.domain.statistics import Spread, spread
from hettui.domain.tuning.aims import taking
from hettui.domain.tuning.report import TuneOutcome, tune_text
from hettui.domain.tuning.search import Next, Trial, Tuning, shape_of
from hettui.domain.tuning.threads import Cpus, other_count
from hettui.domain.units import MIB
from tests.domain.test_speed import answer, truth
from tests.fakes import shape, workers

LOAD = Workload(shape(), RuntimeParams(ctx_size=1024))


class Scripted:
    """An engine whose devices have speeds that nobody is told."""

    def __init__(self, devices: Sequence[Device], seed: int, *, drift: float = 0.0) -> None:
        self.dice, self.drift, self.launches = random.Random(seed), drift, 0
        self.real = {d.name: truth(d, *(self.dice.uniform(0.4, 2.5) for _ in range(3))) for d in devices}

    def true_s(self, plan: Plan) -> float:
        return sum(stages_s(LOAD.shape, [self.real[d.name] for d in plan.devices], plan.split.layers).values())

    def launch(self, plan: Plan, learned: Learned) -> Spread:
        self.launches += 1
        real = [self.real[d.name] for d in plan.devices]
        rates = []
        for _ in range(3):
            decode = answer(LOAD.shape, real, plan.split.layers, self.dice)
            token_s = decode.token_s * (1 + self.drift * self.launches)
            rates.append(1 / token_s)
            learned.add_decode(LOAD.shape, plan.devices, plan.split, replace(decode, token_s=token_s))
        found = spread(rates)
        assert found is not None
        return found


def cluster_of(seed: int) -> tuple[Device, ...]:
    """Two to five unlike devices, none of which holds the whole model."""
    dice = random.Random(seed)
    found = []
    for i in range(dice.randint(2, 5)):
        card = dice.random() < 0.5
        found.append(
            Device(
                f"d{i}",
                id=f"CUDA{i}" if card else "cpu",
                backend="cuda" if card else "cpu",
                uuid=f"GPU-{i}" if card else None,
                via="master" if card else "worker",
                threads=None if card else dice.choice((1, 2, 4, 8)) + 16 * i,
                budget_bytes=(600 * card + dice.randint(45, 95)) * MIB,
                bandwidth_bytes_per_s=dice.choice((200e9, 450e9, 900e9)) if card else 40e9,
            )
        )
    return tuple(found)


def tune(scripted: Scripted, devices: tuple[Device, ...], start: Plan | None = None, most: int = 6) -> Tuning:
    learned = Learned()
    tuning = Tuning(LOAD, start or Plan(devices, propose(LOAD, devices)), most_trials=most)
    while (step := tuning.next(learned.with_measured)).plan is not None:
        tuning = tuning.with_trial(Trial(step.plan, scripted.launch(step.plan, learned), why=step.why))
    assert step.reason
    return tuning


@dataclass(frozen=True)
class Search:
    """How one search on a random cluster went."""

    share: float
    """Of the best there is."""
    against_start: float
    launches: int


def search(seed: int) -> Search:
    devices = cluster_of(seed)
    start = Plan(devices, propose(LOAD, devices))
    if start.split.host_layers:
        # All of it must find room: more of the first device.
        devices = (replace(devices[0], budget_bytes=(devices[0].budget_bytes or 0) + 200 * MIB), *devices[1:])
        start = Plan(devices, propose(LOAD, devices))
    scripted = Scripted(devices, seed)
    tuning = tune(scripted, devices, start)
    real = tuple(replace(d, speed=scripted.real[d.name].speed) for d in devices)
    best = best_plan(LOAD, real, "latency")
    assert best.found is not None
    found_s = scripted.true_s(tuning.best.plan)
    return Search(best.found.value / found_s, scripted.true_s(start) / found_s, len(tuning.trials))


@pytest.mark.many
def test_two_hundred_random_clusters_end_near_their_best() -> None:
    """`python -m tests.bench.searches` does the same on seeds of which no constant knows."""
    found = [search(seed) for seed in range(200)]
    assert min(one.against_start for one in found) >= 1 / 1.02
    assert max(one.launches for one in found) <= 6
    good = sum(one.share >= 0.97 for one in found)
    assert good >= 0.95 * len(found), f"{good} of {len(found)}"


def trial(plan: Plan, *rates: float) -> Trial:
    found = spread(rates)
    assert found is not None
    return Trial(plan, found)


DEVICES = workers(400, 400)
A, B = (Plan(DEVICES, Split(layers, 31)) for layers in ((16, 15), (20, 11)))


def nothing_known(devices: Sequence[Device]) -> tuple[Device, ...]:
    return tuple(devices)


def test_it_never_ends_below_its_start_and_calls_a_tie_a_tie() -> None:
    begun = Tuning(LOAD, A)
    assert begun.next(nothing_known) == Next(A, "the plan as it is")
    worse = begun.with_trial(trial(A, 10, 10.1, 9.9)).with_trial(trial(B, 8, 8.1, 7.9))
    assert shape_of(worse.best.plan) == shape_of(A)
    assert not worse.tie
    same = begun.with_trial(trial(A, 10, 10.1, 9.9)).with_trial(trial(B, 10.1, 10.1, 10.1))
    assert shape_of(same.best.plan) == shape_of(A)
    assert same.tie
    better = begun.with_trial(trial(A, 10, 10.1, 9.9)).with_trial(trial(B, 13, 13.1, 12.9))
    assert shape_of(better.best.plan) == shape_of(B)
    assert better.best_rate == pytest.approx(13)
    assert better.start_rate == pytest.approx(10)


def test_a_small_gain_is_held_against_the_start_once_more() -> None:
    """A/B/A: a machine that grew faster meanwhile looks like a better split."""
    known = Learned()
    for plan in (A, B):
        known.add_decode(LOAD.shape, plan.devices, plan.split, Decode(0.1))
    tuning = Tuning(LOAD, A).with_trial(trial(A, 10.0, 10.01, 9.99)).with_trial(trial(B, 10.5, 10.51, 10.49))
    step = tuning.next(nothing_known)
    if step.why.startswith("the best"):
        assert step.plan is not None
        tuning = tuning.with_trial(trial(step.plan, 9.0, 9.0, 9.0))
        step = tuning.next(nothing_known)
    assert step.plan == A
    drifted = tuning.with_trial(trial(A, 10.9, 10.91, 10.89))
    assert shape_of(drifted.best.plan) == shape_of(A)


def test_locks_and_budgets_are_kept() -> None:
    devices = (replace(DEVICES[0], locked=True, layers=16, budget_bytes=400 * MIB), DEVICES[1])
    scripted = Scripted(devices, 3)
    tuning = tune(scripted, devices, Plan(devices, Split((16, 15), 31)))
    assert {dict(shape_of(t.plan))["d0"] for t in tuning.trials} == {16}


def test_the_number_of_launches_is_a_limit() -> None:
    devices = cluster_of(5)
    assert len(tune(Scripted(devices, 5), devices, most=2).trials) <= 2


class Batch(Scripted):
    """What is measured is not one stream's token: each device takes a multiple of it that nobody is told."""

    def __init__(self, devices: Sequence[Device], seed: int, of: Mapping[str, tuple[float, float]]) -> None:
        super().__init__(devices, seed)
        self.times = {d.name: self.dice.uniform(*of["cuda" if d.backend == "cuda" else "cpu"]) for d in devices}

    def slow(self, devices: Sequence[Device]) -> tuple[Device, ...]:
        return tuple(taking(self.real[d.name], self.times[d.name]) for d in devices)

    def launch(self, plan: Plan, learned: Learned) -> Spread:
        super().launch(plan, learned)
        taken_s = sum(stages_s(LOAD.shape, self.slow(plan.devices), plan.split.layers).values())
        found = spread([self.dice.gauss(1, 0.01) / taken_s for _ in range(3)])
        assert found is not None
        return found


SEVERAL = {"cuda": (1.0, 2.0), "cpu": (2.0, 8.0)}
PROMPTS = {"cuda": (0.01, 0.03), "cpu": (0.15, 0.5)}
"""By what is on the device: how many times one stream's token it takes for a token of all streams, or of a prompt."""


@pytest.mark.many
@pytest.mark.parametrize(("measures", "times"), [("x4", SEVERAL), (PROMPT, PROMPTS)], ids=["streams", "prompts"])
def test_what_is_known_of_one_stream_finds_the_split_for_what_else_shall_be_fast(
    measures: str, times: Mapping[str, tuple[float, float]]
) -> None:
    good, alone = 0, 0
    for seed in range(40):
        devices = cluster_of(seed)
        start = Plan(devices, propose(LOAD, devices))
        if start.split.host_layers:
            continue
        alone += 1
        scripted, learned = Batch(devices, seed, times), Learned()
        tuning = Tuning(LOAD, start, "throughput", measures=measures)
        while (step := tuning.next(learned.with_measured)).plan is not None:
            told = tuning.promised(step.plan, learned.with_measured)
            assert told is None or told > 0
            tuning = tuning.with_trial(Trial(step.plan, scripted.launch(step.plan, learned), told, step.why))
        best = best_plan(LOAD, scripted.slow(devices), "latency")
        assert best.found is not None
        plan = tuning.best.plan
        found_s = sum(stages_s(LOAD.shape, scripted.slow(plan.devices), plan.split.layers).values())
        good += best.found.value / found_s >= 0.95
        assert len(tuning.trials) <= 6
    assert good >= 0.85 * alone, f"{good} of {alone}"


@pytest.mark.parametrize("best", [1, 2, 4, 8])
def test_threads_of_a_cpu_worker_are_part_of_the_search(best: int) -> None:
    card = Device("card", id="CUDA0", backend="cuda", uuid="GPU-0", budget_bytes=60 * MIB, bandwidth_bytes_per_s=9e11)
    cpu = Device("cpu", via="worker", threads=None, budget_bytes=900 * MIB, bandwidth_bytes_per_s=4e10)
    elsewhere = replace(cpu, name="elsewhere", host="attic", budget_bytes=50 * MIB)
    devices, cpus = (card, cpu, elsewhere), Cpus(8, 2)
    learned, dice = Learned(), random.Random(best)
    start = Plan(devices, propose(LOAD, devices))
    tuning = Tuning(LOAD, start, cpus=cpus)

    def real(device: Device) -> Device:
        """Slower with every thread too few, and with every one too many."""
        threads = cpus.of(device)
        slower = 1.0 if device.name != "cpu" else 1.5 ** abs(threads.bit_length() - best.bit_length())
        return truth(replace(device, threads=None), slower, slower, 1.0)

    while (step := tuning.next(learned.with_measured)).plan is not None:
        rates = []
        for _ in range(3):
            decode = answer(LOAD.shape, [real(d) for d in step.plan.devices], step.plan.split.layers, dice)
            learned.add_decode(LOAD.shape, step.plan.devices, step.plan.split, decode)
            rates.append(1 / decode.token_s)
        found = spread(rates)
        assert found is not None
        tuning = tuning.with_trial(Trial(step.plan, found, why=step.why))
    assert {d.threads for t in tuning.trials for d in t.plan.devices if d.name == "elsewhere"} == {None}
    assert cpus.of(next(d for d in tuning.best.plan.devices if d.name == "cpu")) == best
    assert ("threads" in tune_text(TuneOutcome(tuning, step.reason, step.why))) == (len(tuning.trials) > 1)


def test_threads_are_left_alone_where_they_hardly_count() -> None:
    cpu = Device("cpu", via="worker", threads=2)
    card = Device("card", id="CUDA0", backend="cuda")
    assert other_count((cpu, card), {0: 1.0, 1: 20.0}, {}, Cpus(8, 4)) is None
    assert other_count((card,), {0: 1.0}, {}, Cpus(8, 4)) is None
    for tried, count in (({2}, 4), ({2, 4}, 1), ({1, 2}, 4)):
        found = other_count((cpu, card), {0: 10.0, 1: 1.0}, {"cpu": tried}, Cpus(8, 4))
        assert found is not None
        assert (found[0].threads, found[1]) == (count, card)
    assert other_count((cpu, card), {0: 10.0, 1: 1.0}, {"cpu": {1, 2, 4}}, Cpus(8, 4)) is None
    most = other_count((replace(cpu, threads=6), card), {0: 10.0, 1: 1.0}, {}, Cpus(8, 4))
    assert most is not None
    assert most[0].threads == 8
