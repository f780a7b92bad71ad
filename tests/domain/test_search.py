"""The searches for the best split against trying everything."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import accumulate, permutations

import pytest

from hettui.domain.planner.fastest import fastest
from hettui.domain.planner.most_even import most_even
from hettui.domain.planner.search import INFINITE, Found, Problem

EVERY = 2400
SIZES = [(1, 12), (2, 12), (3, 8), (3, 12), (4, 6), (4, 12)] + [(2, 5), (3, 5)] * 4

Search = Callable[[Problem], Found | None]


def instance(dice: random.Random, sizes: list[tuple[int, int]] = SIZES) -> Problem:
    """Even and uneven layers, budgets of which some are too small, an output layer that needs more, locks, twins."""
    devices, layers = dice.choice(sizes)
    even = dice.random() < 0.3
    work = [1.0 if even else dice.choice([1, 1, 1, 2, 3]) + dice.random() * dice.choice([0, 1]) for _ in range(layers)]
    size = [w + dice.choice([0, 0, 0 if even else 1]) for w in work]
    reach, below = [], []
    for _ in range(devices):
        slow, per_layer = dice.choice([1.0, 1.0, 1.5, 3.0, 7.0]), dice.choice([0.0, 0.0, 0.5])
        part = dice.choice([0.3, 0.6, 1.0, 2.0]) if dice.random() < 0.7 else dice.uniform(0.2, 0.8)
        below.append([0.0, *accumulate(slow * w + per_layer for w in work)])
        reach.append([_reach(size, last, part * sum(size)) for last in range(layers)])
    fixed = [dice.choice([0.0, 0.5, 2.0]) for _ in range(devices)]
    locked = {d: dice.randint(0, layers // 2) for d in range(devices) if dice.random() < 0.1}
    return Problem(layers, reach, below, fixed, locked)


def _reach(size: list[float], last: int, budget: float) -> int:
    first, left = last + 1, budget - (0.5 if last == len(size) - 1 else 0.0)
    while first and size[first - 1] <= left:
        first -= 1
        left -= size[first]
    return first


def brute(p: Problem, *, add: bool) -> float:
    """Every order, every count."""
    best = INFINITE
    for order in permutations(range(p.devices)):
        best = min(best, _fill(p, order, 0, 0.0, best, add=add))
    return best


def _fill(p: Problem, order: tuple[int, ...], first: int, value: float, best: float, *, add: bool) -> float:
    if not order:
        return value if first == p.layers else INFINITE
    device, rest = order[0], order[1:]
    counts = [p.locked[device]] if device in p.locked else range(p.layers - first + 1)
    for count in counts:
        if first + count > p.layers:
            break
        total = value
        if count:
            last = first + count - 1
            cost = p.cost(device, first, last) if p.reach[device][last] <= first else INFINITE
            total = value + cost if add else max(value, cost)
        if total < best:
            best = min(best, _fill(p, rest, first + count, total, best, add=add))
    return best


def worth(p: Problem, found: Found, *, add: bool) -> float:
    """The value of what was found, after checking that it is a split."""
    first, costs = 0, []
    for device, count in zip(found.order, found.counts, strict=True):
        assert p.reach[device][first + count - 1] <= first
        costs.append(p.cost(device, first, first + count - 1))
        first += count
    assert first == p.layers
    assert len(set(found.order)) == len(found.order)
    taken = dict(zip(found.order, found.counts, strict=True))
    assert all(taken.get(d, 0) == n for d, n in p.locked.items())
    return sum(costs) if add else max(costs)


@pytest.mark.many
@pytest.mark.parametrize(("search", "add"), [(fastest, True), (most_even, False)])
def test_as_good_as_trying_everything(search: Search, add: bool) -> None:
    dice, fitting = random.Random(int(add)), 0
    for _ in range(EVERY // 2):
        p = instance(dice)
        found, best = search(p), brute(p, add=add)
        if best == INFINITE:
            assert found is None
            continue
        assert found is not None
        assert found.proven
        assert found.value == pytest.approx(best, rel=1e-9)
        assert worth(p, found, add=add) == pytest.approx(found.value, rel=1e-9)
        fitting += 1
    assert fitting > EVERY // 4


@pytest.mark.many
@pytest.mark.parametrize(("search", "add"), [(fastest, True), (most_even, False)])
def test_out_of_steps_it_says_how_good_it_may_get(search: Callable[..., Found | None], add: bool) -> None:
    dice, checked = random.Random(5), 0
    for _ in range(200):
        p = instance(dice, [(5, 30), (6, 20)])
        full = search(p, max_steps=200_000)
        for steps in (20, 60, 200):
            short = search(p, max_steps=steps)
            if short is not None and full is not None and not short.proven:
                assert short.least <= full.value * (1 + 1e-9)
                assert short.value >= full.value * (1 - 1e-9)
                assert worth(p, short, add=add) == pytest.approx(short.value, rel=1e-9)
                checked += 1
    assert checked > 5
