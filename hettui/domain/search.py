"""The best order of devices and layers per device: branch and bound, exact unless it runs out of steps.

A split is built from the last layer to the first: which device comes before, and how many layers it takes. Every
stage (a device with a run of layers) has a value; a split's value is their sum or the largest of them. A branch is
left when what it has cost plus the least that the rest can cost is no better than the best split found; of two ways
to the same rest with the same devices only the cheaper one is followed, and of devices that are alike only the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

INFINITE = float("inf")
MAX_STEPS = 20_000
"""Enough for a proof with the devices that people own; beyond it the best split so far comes with its bound."""


@dataclass(frozen=True, eq=False)
class Problem:
    """What is searched. Devices and layers are numbered from 0; the last layer is the output layer."""

    layers: int
    devices: int
    stage: Callable[[int, int, int], float]
    """Value of a device with the layers first … last; infinite when it does not fit, and then for more layers, too."""
    least: Callable[[int, int], float]
    """The least that the layers 0 … last can be worth on the devices that are not in the set (bits)."""
    add: bool
    """Stages add up; else the largest counts."""
    order_free: bool = True
    locked: Mapping[int, int] = field(default_factory=dict)
    """Devices that keep their count."""
    alike: Sequence[int] = ()
    """A number per device, equal for devices that make no difference; empty: all differ."""


@dataclass(frozen=True, slots=True)
class Found:
    """A split: devices in order, first layers first, and how many layers each takes."""

    value: float
    order: tuple[int, ...]
    counts: tuple[int, ...]
    least: float
    """No split is worth less; equal to `value` when that is proven to be the best."""

    @property
    def proven(self) -> bool:
        return self.least >= self.value * (1 - 1e-9)


def search(problem: Problem, max_steps: int = MAX_STEPS) -> Found | None:
    """The split of least value; None when nothing fits (or, out of steps, nothing was found)."""
    return _Search(problem, max_steps).run()


_HALVINGS = 24


def _greedy(p: Problem, order: Sequence[int], limit: float) -> tuple[tuple[int, int], ...] | None:
    """Each device takes as many layers as it can with a stage of at most `limit`, the last layers first."""
    last, split = p.layers - 1, []
    for n, device in enumerate(order):
        if last < 0:
            break
        fixed = p.locked.get(device)
        if fixed is not None:
            count = fixed if fixed and p.stage(device, last - fixed + 1, last) < INFINITE else 0
        else:
            kept = sum(p.locked.get(d, 0) for d in order[n + 1 :])
            count = _most(p, device, last, max(0, last + 1 - kept), limit)
        if count:
            split.append((device, count))
            last -= count
    return tuple(split) if last < 0 else None


def _most(p: Problem, device: int, last: int, most: int, limit: float) -> int:
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if p.stage(device, last - middle + 1, last) <= limit:
            low = middle
        else:
            high = middle - 1
    return low


def _start(p: Problem) -> tuple[float, tuple[tuple[int, int], ...]]:
    """A good split to begin with: everything worse is left at once."""
    devices = list(range(p.devices - 1, -1, -1))
    orders = [devices]
    if p.order_free:
        alone = sorted(devices, key=lambda d: p.stage(d, p.layers - 1, p.layers - 1))
        orders += [[d, *(e for e in alone if e != d)] for d in alone] + [alone[::-1]]
    best: tuple[float, tuple[tuple[int, int], ...]] = (INFINITE, ())
    for order in orders:
        limit = _GREATEST if p.add or best[0] == INFINITE else best[0] * (1 - 1e-12)
        split = _greedy(p, order, limit)
        if split is None:
            continue
        best = min(best, (_worth(p, split), split))
        low, high = p.least(0, p.layers - 1), best[0]
        for _ in range(0 if p.add else _HALVINGS):
            middle = (low + high) / 2
            split = _greedy(p, order, middle)
            if split is None:
                low = middle
            else:
                high = min(middle, _worth(p, split))
                best = min(best, (_worth(p, split), split))
    return best


_GREATEST = 1e300
"""Finite: a stage that does not fit is infinite."""


def _worth(p: Problem, split: Sequence[tuple[int, int]]) -> float:
    """The value of a split that is given from its last device to its first; infinite when a lock is broken."""
    if {d for d, n in p.locked.items() if n} - {d for d, _ in split}:
        return INFINITE
    last, value = p.layers - 1, 0.0
    for device, count in split:
        stage = p.stage(device, last - count + 1, last)
        value = value + stage if p.add else max(value, stage)
        last -= count
    return value


class _Search:
    def __init__(self, problem: Problem, max_steps: int) -> None:
        self._p = problem
        self._left = max_steps
        self._best = INFINITE
        self._split: tuple[tuple[int, int], ...] = ()
        self._open_least = INFINITE
        """The least value of any branch that was not followed for want of steps."""
        self._seen: dict[tuple[int, int, int], float] = {}
        self._must = sum(1 << d for d, n in problem.locked.items() if n)
        self._never = sum(1 << d for d, n in problem.locked.items() if not n)
        self._twins = [[e for e in range(d) if self._alike(d, e)] for d in range(problem.devices)]

    def _alike(self, d: int, e: int) -> bool:
        p = self._p
        if not p.alike or not p.order_free or d in p.locked or e in p.locked:
            return False
        return p.alike[d] == p.alike[e]

    def run(self) -> Found | None:
        value, split = _start(self._p)
        if value < INFINITE:
            self._best, self._split = value, split
        self._visit(self._p.layers - 1, 0, self._p.devices, 0.0, ())
        if not self._split:
            return None
        order = tuple(d for d, _ in reversed(self._split))
        counts = tuple(n for _, n in reversed(self._split))
        return Found(self._best, order, counts, min(self._best, self._open_least))

    def _total(self, value: float, more: float) -> float:
        return value + more if self._p.add else max(value, more)

    def _visit(self, last: int, used: int, behind: int, value: float, split: tuple[tuple[int, int], ...]) -> None:
        """The layers 0 … last are open; with a fixed order only devices below `behind` may follow."""
        if last < 0:
            if value < self._best and not self._must & ~used:
                self._best, self._split = value, split
            return
        key = used, last, 0 if self._p.order_free else behind
        if self._seen.get(key, INFINITE) <= value:
            return
        self._seen[key] = value
        children = self._children(last, used, behind, value)
        children.sort()
        for low, after, device, count in children:
            if low >= self._best:
                return
            if self._left <= 0:
                self._open_least = min(self._open_least, low)
                return
            self._left -= 1
            self._visit(last - count, used | 1 << device, device, after, ((*split, (device, count))))

    def _children(self, last: int, used: int, behind: int, value: float) -> list[tuple[float, float, int, int]]:
        """What can come before: the least total, the value so far, the device, its count."""
        p, found = self._p, []
        for device in range(p.devices if p.order_free else behind):
            bit = 1 << device
            if (used | self._never) & bit or any(not used & 1 << twin for twin in self._twins[device]):
                continue
            fixed = p.locked.get(device)
            for count in range(1, last + 2) if fixed is None else (fixed,):
                first = last - count + 1
                stage = p.stage(device, first, last) if first >= 0 else INFINITE
                if stage == INFINITE:
                    break
                after = self._total(value, stage)
                if after >= self._best:
                    break
                low = self._total(after, p.least(used | bit, first - 1)) if first else after
                if low < self._best:
                    found.append((low, after, device, count))
        return found
