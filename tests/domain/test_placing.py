"""Experts in RAM: the planner's answer against trying everything, and what a plan with them says to llama.cpp."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations, pairwise, permutations, product
from math import inf
from typing import Literal

import pytest

from hettui.domain.devices.device import Device
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.costs import LayerCosts
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.experts import blocks_away, override
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.planner.experts import Placing, Run, place
from hettui.domain.planner.least import Costs, Least
from hettui.domain.planner.objectives import fits_any_way
from hettui.domain.planner.placing import with_parts_in_ram
from hettui.domain.planner.promise import promised
from hettui.domain.units import GIB, MIB
from tests.truth.compare import shape_of
from tests.truth.make import CUT


@dataclass
class Small:
    """A random little cluster: every device and block is another one."""

    dense: list[int]
    experts: list[int]
    budgets: list[float]
    seconds: list[list[float]]
    penalties: list[list[float]]
    fixed: list[float]
    work: list[int]
    attached: list[bool]
    ram: float
    locked: dict[int, int]

    @classmethod
    def of(cls, dice: random.Random) -> Small:
        blocks, count = dice.randint(1, 7), dice.randint(1, 3)
        dense = [dice.randint(1, 5) for _ in range(blocks + 1)]
        experts = [dice.choice([0, *[dice.randint(2, 9)] * 3]) for _ in range(blocks)]
        whole = sum(dense) + sum(experts)
        budgets = [dice.choice([1e9, *[dice.uniform(0.1, 0.9) * whole] * 4]) for _ in range(count)]
        return cls(
            dense, experts, budgets,
            [[dice.uniform(0.1, 2.0) for _ in dense] for _ in range(count)],
            [[dice.uniform(0.0, 1.5) if size else 0.0 for size in experts] for _ in range(count)],
            [dice.uniform(0.0, 1.0) for _ in range(count)],
            [dice.randint(0, 3) for _ in range(count)],
            [dice.random() < 0.7 for _ in range(count)],
            dice.choice([1e9, dice.uniform(0, sum(experts) + 1)]),
            {0: dice.randint(0, blocks)} if dice.random() < 0.2 else {},
        )  # fmt: skip

    @classmethod
    def alike(cls, dice: random.Random) -> Small:
        """As of a dense model: blocks all alike, most of each an FFN, beside which attention and cache stay."""
        small = cls.of(dice)
        attention, ffn, blocks = dice.randint(1, 6), dice.randint(3, 9), len(small.experts)
        small.dense, small.experts = [attention] * blocks + [dice.randint(0, 6)], [ffn] * blocks
        whole = sum(small.dense) + sum(small.experts)
        small.budgets = [dice.choice([1e9, *[dice.uniform(0.2, 0.8) * whole] * 6]) for _ in small.budgets]
        small.seconds = [[dice.uniform(0.1, 2.0)] * (blocks + 1) for _ in small.budgets]
        small.penalties = [[dice.uniform(0.5, 3.0)] * blocks for _ in small.budgets]
        small.ram = dice.choice([1e9, dice.uniform(0, sum(small.experts) + 1)])
        return small

    def runs(self, device: int, first: int, last: int) -> Iterator[Run]:
        """Of every number of experts in RAM with which it fits."""
        stop = min(last, len(self.experts) - 1) + 1
        for away in range(stop - min(first, stop) + 1 if self.attached[device] else 1):
            gone = sum(self.experts[stop - away : stop])
            held = sum(self.dense[first : last + 1]) + sum(self.experts[first:stop]) + self.work[device] - gone
            if held <= self.budgets[device]:
                cost = self.fixed[device] + sum(self.seconds[device][first : last + 1])
                yield Run(cost + sum(self.penalties[device][stop - away : stop]), away, gone)

    def run(self, device: int, first: int, last: int) -> Run | None:
        return next(self.runs(device, first, last), None)

    def problem(self) -> Placing:
        away = [
            row if attached else [inf] * len(row) for row, attached in zip(self.penalties, self.attached, strict=True)
        ]
        costs = Costs(
            self.seconds,
            [d + e for d, e in zip(self.dense, [*self.experts, 0], strict=True)],
            [*self.experts, 0],
            [[*row, inf] for row in away],
            [max(0.0, b - w) for b, w in zip(self.budgets, self.work, strict=True)],
        )
        return Placing(len(self.dense), len(self.budgets), self.run, costs, self.fixed, self.ram, self.locked)

    def brute(self) -> float | None:
        """The least cost of any order, any counts and any experts in RAM."""
        found: list[float] = []
        layers, everybody = len(self.dense), range(len(self.budgets))
        for used in range(1, len(everybody) + 1):
            for order in permutations(everybody, used):
                if all(d in order for d, n in self.locked.items() if n):
                    self._try(order, 0, layers, 0.0, 0, found)
        return min(found, default=None)

    def _try(self, order: tuple[int, ...], first: int, layers: int, cost: float, gone: int, found: list[float]) -> None:
        if not order:
            if first == layers:
                found.append(cost)
            return
        for count in range(1, layers - first + 1):
            if self.locked.get(order[0], count) == count:
                for run in self.runs(order[0], first, first + count - 1):
                    if gone + run.away_bytes <= self.ram:
                        self._try(order[1:], first + count, layers, cost + run.cost, gone + run.away_bytes, found)


def assert_as_good_as_trying_everything(small: Small) -> None:
    best, found = small.brute(), place(small.problem())
    assert (best is None) == (found is None)
    if found is not None:
        assert found.proven
        assert found.value == pytest.approx(best)
        assert sum(found.counts) == len(small.dense)


@pytest.mark.many
@pytest.mark.parametrize("seed", range(12))
def test_the_search_is_as_good_as_trying_everything(seed: int) -> None:
    """1,200 random little clusters, some with locks or little RAM."""
    dice = random.Random(seed)
    for _ in range(100):
        assert_as_good_as_trying_everything(Small.of(dice))


@pytest.mark.many
@pytest.mark.parametrize("seed", range(5))
def test_so_it_is_where_all_blocks_are_alike(seed: int) -> None:
    """500 more, as of dense models: many plans cost nearly the same."""
    dice = random.Random(100 + seed)
    for _ in range(100):
        assert_as_good_as_trying_everything(Small.alike(dice))


@pytest.mark.parametrize("seed", range(4))
def test_no_plan_costs_less_than_the_bound_says(seed: int) -> None:
    """And for many it says most of what the best costs: one that says nothing would hold, too."""
    dice, tight = random.Random(seed), 0
    for _ in range(60):
        small = Small.of(dice)
        small.locked = {}
        costs = small.problem().costs
        bound = Least(costs).of(range(len(small.budgets)))
        assert bound[0] >= 0
        best = small.brute()
        if best is None:
            continue
        assert bound[-1] + min(small.fixed) <= best + 1e-9
        tight += bound[-1] > 0.75 * (best - min(small.fixed))
    assert tight > 8


def test_a_slow_card_full_of_layers_and_a_fast_one_with_experts_away_are_bounded_to_the_last_layer() -> None:
    """Ten layers of 10 bytes, 8 of them experts; both cards hold four whole ones. The rest go to the fast card with
    experts in RAM: six of them there, and of two more what makes room for the others."""
    costs = Costs([[1.0] * 10, [1.5] * 10], [10] * 10, [8] * 10, [[2.0] * 10, [2.0] * 10], [40.0, 40.0])
    bound = Least(costs).of((0, 1))
    assert bound[10] == pytest.approx(4 * 1.5 + 6 * 1.0 + 2.0 * (60 - 40) / 8)
    assert bound[4] == pytest.approx(4.0)
    assert Least(costs).of(())[1:] == [inf] * 10


def card(name: str, gib: float, bandwidth: float = 360e9) -> Device:
    return Device(
        name, name, backend="cuda", engine_name="CUDA0", budget_bytes=int(gib * GIB), bandwidth_bytes_per_s=bandwidth
    )


FAR = Device(
    "far", via="worker", backend="cuda", host="box", budget_bytes=5 * GIB, bandwidth_bytes_per_s=300e9,
    round_trip_s=1e-3,
)  # fmt: skip
CODER = Workload(shape_of("qwen3moe", 48), RuntimeParams(ctx_size=8192))


@pytest.mark.parametrize(
    "devices",
    [(card("one", 6),), (card("big", 8), card("small", 4, 200e9)), (card("big", 8), FAR)],
    ids=["one card", "two cards", "a card and a worker"],
)
def test_a_model_too_large_for_the_cards_fits_with_parts_in_ram(devices: tuple[Device, ...]) -> None:
    found = with_parts_in_ram(CODER, devices, 32 * GIB)
    assert found is not None
    plan, placed = found
    workload = CODER.having(plan.settings(CODER.params))
    outlook = forecast(workload, plan.split, plan.devices)
    assert outlook.fits
    assert plan.split.host_layers == 0
    assert all(not n for d, n in zip(plan.devices, plan.away, strict=True) if d.via == "worker")
    expected = promised(workload, plan.devices, plan.split)
    assert expected is not None
    assert expected.token_s <= placed.value * 1.0001
    # One block more with its experts on the card that gave some away would be too much.
    index = next(i for i, n in enumerate(plan.away) if n)
    closer = plan.with_away(index, plan.away[index] - 2, "experts")
    assert not forecast(CODER.having(closer.settings(CODER.params)), closer.split, closer.devices).fits


FLAGSHIP = Workload(shape_of("qwen3moe", 94), RuntimeParams(ctx_size=8192), 10068)


def assert_room(devices: tuple[Device, ...], workload: Workload) -> tuple[int, ...]:
    """Of how many blocks the parts lie in RAM, by device."""
    found = with_parts_in_ram(workload, devices)
    assert found is not None
    plan = found[0]
    outlook = forecast(workload.having(plan.settings(workload.params)), plan.split, plan.devices)
    assert outlook.fits, [(d, m.total_bytes / MIB) for d, m in zip(plan.devices, outlook.devices, strict=True)]
    return plan.away


def test_what_a_card_computes_for_others_blocks_finds_room() -> None:
    """Of which some have their experts on the others' cards, and some in RAM: that takes 44 MiB more than all alike."""
    cards = (card("5080", 14.8, 960e9), card("3060", 11.2), card("1660", 5.3, 336e9))
    assert sum(map(bool, assert_room(cards, FLAGSHIP))) > 1


@pytest.mark.many
@pytest.mark.parametrize("build", [10068, 11434])
@pytest.mark.parametrize("blocks", [48, 94])
def test_so_it_does_on_any_cards(blocks: int, build: int) -> None:
    dice, workload = random.Random(blocks), Workload(shape_of("qwen3moe", blocks), FLAGSHIP.params, build)
    for _ in range(40):
        sizes = [dice.choice((5.3, 7.3, 11.2, 14.8, 22.9)) - dice.uniform(0, 0.9) for _ in range(dice.randint(2, 4))]
        cards = [card(str(n), size, dice.choice((336e9, 448e9, 960e9))) for n, size in enumerate(sizes)]
        if dice.random() < 0.4:
            cards[-1] = replace(FAR, budget_bytes=cards[-1].budget_bytes)
        assert_room(tuple(cards), workload)


def test_without_room_in_ram_there_is_no_such_plan() -> None:
    assert with_parts_in_ram(CODER, (card("one", 6),), 4 * GIB) is None
    assert with_parts_in_ram(CODER, (replace(FAR, budget_bytes=6 * GIB),), 64 * GIB) is None
    assert with_parts_in_ram(Workload(shape_of("mamba", 3)), (card("one", 0.1),), 64 * GIB) is None


LLAMA = Workload(shape_of("llama-8b", 4), RuntimeParams(ctx_size=16384, ubatch_size=16))
"""No card helps the host with so small a batch: each holds the same, whatever stands before it."""


_ATTACHED_OR_NOT: tuple[tuple[Literal["master", "worker"], ...], ...] = (
    ("master",), ("master", "master"), ("master", "worker"), ("worker", "master"),
)  # fmt: skip


def little_cluster(dice: random.Random) -> tuple[Device, ...]:
    """One or two cards of this machine, maybe a worker, that hold less than four blocks with their output layer."""
    kinds = dice.choice(_ATTACHED_OR_NOT)
    most = 2.6 * GIB if len(kinds) == 1 else 1.8 * GIB
    return tuple(
        Device(
            f"card {i}", f"card {i}", via=via, backend="cuda", engine_name=f"CUDA{i}",
            budget_bytes=int(dice.uniform(0.9 * GIB, most)), bandwidth_bytes_per_s=dice.uniform(150e9, 900e9),
        )
        for i, via in enumerate(kinds)
    )  # fmt: skip


def every_plan(devices: tuple[Device, ...], workload: Workload) -> Iterator[Plan]:
    """All layers on cards, in any order and counts, with the FFN of any number of an attached card's last blocks in
    RAM."""
    layers, everybody = workload.shape.layers, range(len(devices))
    for used in range(1, len(devices) + 1):
        for order in permutations(everybody, used):
            held = [devices[i] for i in order]
            for cuts in combinations(range(1, layers), used - 1):
                ends = [0, *cuts, layers]
                split = Split(tuple(b - a for a, b in pairwise(ends)), layers)
                may = [len(split.block_range(i)) if d.helps_host else 0 for i, d in enumerate(held)]
                for away in product(*(range(n + 1) for n in may)):
                    yield Plan(tuple(held), split).with_all_away(away, workload.shape.moves)


@pytest.mark.many
@pytest.mark.parametrize("seed", range(7))
def test_a_dense_models_plan_is_the_best_of_all_that_really_fit(seed: int) -> None:
    """350 clusters of a model cut to four blocks, every plan's memory forecast and its time promised."""
    dice, apart = random.Random(seed), 0
    for _ in range(50):
        devices, best_s = little_cluster(dice), inf
        while fits_any_way(LLAMA, devices):
            devices = little_cluster(dice)
        for plan in every_plan(devices, LLAMA):
            workload = LLAMA.having(plan.settings(LLAMA.params))
            if forecast(workload, plan.split, plan.devices).fits:
                expected = promised(workload, plan.devices, plan.split, 50e9)
                best_s = min(best_s, inf if expected is None else expected.token_s)
        found = with_parts_in_ram(LLAMA, devices, 64 * GIB, 50e9)
        assert (found is None) == (best_s == inf)
        if found is not None:
            plan, workload = found[0], LLAMA.having(found[0].settings(LLAMA.params))
            assert forecast(workload, plan.split, plan.devices).fits
            expected = promised(workload, plan.devices, plan.split, 50e9)
            assert expected is not None
            assert expected.token_s == pytest.approx(best_s, rel=1e-6)
            apart += bool(plan.away)
    assert apart > 20


@pytest.mark.parametrize("model", ["llama-8b", "qwen3moe", "gemma3-1b", "jamba", "deepseek-v2-lite", "falcon-h1"])
def test_no_run_computes_in_less_than_the_bound_takes(model: str) -> None:
    workload = Workload(shape_of(model, CUT.get(model, 5)), RuntimeParams(ctx_size=4096))
    layers, cards = workload.shape.layers, (card("one", 8), replace(FAR, name="two"))
    for costs in (LayerCosts(workload, cards, several=False), LayerCosts(workload, cards, several=False, helps=True)):
        for device in range(2):
            least = costs.least_work_bytes(device)
            runs = [costs.work_bytes(device, a, b) for a in range(layers) for b in range(a, layers)]
            assert 0 <= least <= min(runs)


@pytest.mark.many
def test_what_a_helping_card_copies_finds_room_in_every_plan() -> None:
    """Weights on the host are copied to the first card for large batches, as large here as a block of the model."""
    dice, helped, apart = random.Random(7), LLAMA.having(RuntimeParams(ctx_size=16384)), 0
    for _ in range(200):
        devices = little_cluster(dice)
        found = with_parts_in_ram(helped, devices, 64 * GIB, 50e9)
        if found is not None and not fits_any_way(helped, devices):
            plan, workload = found[0], helped.having(found[0].settings(helped.params))
            assert plan.away
            assert forecast(workload, plan.split, plan.devices).fits
            apart += 1
    assert apart > 60


def test_experts_are_said_by_block_and_counted_so() -> None:
    split = Split((20, 10, 19), 49)
    assert blocks_away(split, (2, 0, 3)) == (18, 19, 45, 46, 47)
    assert blocks_away(Split((1,), 49), (5,)) == ()
    plan = Plan((card("a", 8), FAR, card("b", 8)), split, away=(2, 0, 3))
    params = plan.settings(RuntimeParams(override_tensor=("mine=CPU",)))
    assert params.override_tensor == (
        "mine=CPU",
        r"blk\.(18|19|45|46|47)\.ffn_(up|down|gate|gate_up)_(ch|)exps=CPU",
    )
    assert override((), "experts") == ()
    outlook = forecast(CODER.having(params), split)
    without = forecast(CODER, split)
    moved = [a.weights_bytes - b.weights_bytes for a, b in zip(without.devices, outlook.devices, strict=True)]
    assert moved[1] == 0
    assert outlook.host_weights_bytes - without.host_weights_bytes == pytest.approx(sum(moved), abs=MIB)


def test_experts_follow_their_device_through_the_order() -> None:
    plan = Plan((card("a", 8), FAR, card("b", 8)), Split((20, 10, 19), 49)).with_away(0, 4, "experts")
    assert plan.away == (4, 0, 0)
    moved = plan.with_device_moved(0, 2)
    assert [d.name for d in moved.devices] == ["far", "b", "a"]
    assert moved.away == (0, 0, 4)
    assert moved.with_layers(2, 3).blocks_away == (46, 47)
    assert plan.with_away(0, 0, "experts").away == ()
    none = replace(plan, away=())
    assert none.with_away(0, 3, "FFN").with_away(0, 0, "FFN") == none
    assert plan.with_away(-1, 3, "experts") == plan
    assert plan.with_away(0, 99, "experts").away_of(0) == 20
