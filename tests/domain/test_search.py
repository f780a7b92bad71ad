"""The search for the best split against trying everything."""

from __future__ import annotations

import random
from itertools import permutations

import pytest

from hettui.domain.search import INFINITE, Found, Problem, search

EVERY = 2400


def instance(dice: random.Random, *, add: bool, order_free: bool = True) -> Problem:
    """Uneven layers, budgets of which some are too small, locks, devices that are alike."""
    devices, layers = dice.choice([(1, 12), (2, 12), (3, 8), (3, 12), (4, 6), (4, 12)] + [(2, 5), (3, 5)] * 6)
    work = [dice.choice([1, 1, 1, 2, 3]) + dice.random() * dice.choice([0, 1]) for _ in range(layers)]
    size = [w + dice.choice([0, 0, 1]) for w in work]
    slow = [dice.choice([1.0, 1.0, 1.5, 3.0, 7.0]) for _ in range(devices)]
    hop = [dice.choice([0.0, 0.5, 2.0]) for _ in range(devices)]
    budget = [dice.choice([0.3, 0.6, 1.0, 2.0]) * sum(size) for _ in range(devices)]
    locked = {d: dice.randint(0, layers // 2) for d in range(devices) if dice.random() < 0.1}
    below = [0.0]
    for w in work:
        below.append(below[-1] + w)
    room = [0.0]
    for s in size:
        room.append(room[-1] + s)
    profile = [(slow[d], hop[d], budget[d]) for d in range(devices)]

    def stage(device: int, first: int, last: int) -> float:
        if room[last + 1] - room[first] > budget[device]:
            return INFINITE
        return hop[device] + slow[device] * (below[last + 1] - below[first])

    def least(used: int, last: int) -> float:
        left, total = below[last + 1], 0.0
        free = sorted((slow[d], budget[d]) for d in range(devices) if not used >> d & 1)
        if not add:
            return left / sum(1 / s for s, _ in free) if free else INFINITE
        for s, most in free:
            taken = min(left, most)
            total, left = total + s * taken, left - taken
        return INFINITE if left > 1e-9 else total

    alike = [profile.index(profile[d]) for d in range(devices)]
    return Problem(layers, devices, stage, least, add, order_free, locked, alike)


def brute(p: Problem) -> float:
    """Every order, every count."""
    best = INFINITE
    orders = permutations(range(p.devices)) if p.order_free else [tuple(range(p.devices))]
    for order in orders:
        best = min(best, _fill(p, order, 0, 0.0, best))
    return best


def _fill(p: Problem, order: tuple[int, ...], first: int, value: float, best: float) -> float:
    if not order:
        return value if first == p.layers else INFINITE
    device, rest = order[0], order[1:]
    counts = [p.locked[device]] if device in p.locked else range(p.layers - first + 1)
    for count in counts:
        if first + count > p.layers:
            break
        stage = p.stage(device, first, first + count - 1) if count else 0.0
        total = value + stage if p.add else max(value, stage)
        if total < best:
            best = min(best, _fill(p, rest, first + count, total, best))
    return best


def worth(p: Problem, found: Found) -> float:
    first, value = 0, 0.0
    for device, count in zip(found.order, found.counts, strict=True):
        stage = p.stage(device, first, first + count - 1)
        value, first = (value + stage if p.add else max(value, stage)), first + count
    assert first == p.layers
    assert len(set(found.order)) == len(found.order)
    assert all(found.counts[found.order.index(d)] == n for d, n in p.locked.items() if n)
    assert not any(d in found.order for d, n in p.locked.items() if not n)
    return value


@pytest.mark.parametrize("add", [True, False])
@pytest.mark.parametrize("order_free", [True, False])
def test_as_good_as_trying_everything(add: bool, order_free: bool) -> None:
    dice = random.Random(int(add) * 2 + int(order_free))
    for _ in range(EVERY // 4):
        p = instance(dice, add=add, order_free=order_free)
        found, best = search(p), brute(p)
        if best == INFINITE:
            assert found is None
            continue
        assert found is not None
        assert found.proven
        assert found.value == pytest.approx(best, rel=1e-9)
        assert worth(p, found) == pytest.approx(found.value, rel=1e-9)


def test_out_of_steps_it_says_how_good_it_may_get() -> None:
    dice = random.Random(5)
    checked = 0
    for _ in range(300):
        p = instance(dice, add=True)
        short, full = search(p, max_steps=6), search(p)
        if short is not None and full is not None and not short.proven:
            assert short.least <= full.value * (1 + 1e-9)
            assert short.value >= full.value * (1 - 1e-9)
            checked += 1
    assert checked > 5
