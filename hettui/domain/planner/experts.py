"""The fastest plan of a model that does not fit: whose experts lie in the master's RAM. Of a dense model read "FFN" for
"experts": to the search they are alike.

Layers go where there is room for attention and cache, and of the cards that the master drives itself as many experts
as must leave make room: only there it costs no round trips. What leaves is a run's last blocks.

A split is built from the last layer to the first, as in `search`: which device comes before, and where its run begins.
For a run the fewest experts leave that make it fit. Branches are cut by what the layers that are open cost at least
(`least`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from itertools import accumulate

from hettui.domain.planner.least import Costs, Least
from hettui.domain.planner.search import INFINITE, TIE
from hettui.domain.records import dataclass

MOST_STEPS = 3_000
"""Runs that are looked at, and places that are gone on from; beyond it the best plan so far comes unproven."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run of layers on one device, with as few experts in RAM as it takes."""

    cost: float
    away: int
    """Blocks whose experts are in RAM."""
    away_bytes: int


@dataclass(frozen=True, eq=False)
class Placing:
    """What is searched. Devices and layers are numbered from 0, the last layer is the output layer."""

    layers: int
    devices: int
    run: Callable[[int, int, int], Run | None]
    """Of a device and its first and last layer; None when it fits with no placement of experts."""
    costs: Costs
    """What layers cost and take at least."""
    fixed: Sequence[float]
    ram_bytes: float
    """What may lie there of experts."""
    locked: Mapping[int, int] = field(default_factory=dict)
    needed: frozenset[int] = frozenset()
    """Devices that hold something, however much."""


@dataclass(frozen=True, slots=True)
class Placed:
    """The best plan: devices in order, first layers first, how many layers and blocks in RAM each has."""

    value: float
    order: tuple[int, ...]
    counts: tuple[int, ...]
    away: tuple[int, ...]
    proven: bool


def place(problem: Placing, most_steps: int = MOST_STEPS) -> Placed | None:
    """None when nothing fits (or, out of steps, nothing was found)."""
    search = _Search(problem, most_steps)
    for last in search.usable:
        search.dive(last)
    search.visit(problem.layers - 1, (1 << problem.devices) - 1, 0.0, 0, ())
    if not search.best:
        return None
    runs = search.best[::-1]
    return Placed(
        search.value,
        tuple(d for d, _, _, _ in runs),
        tuple(last - first + 1 for _, first, last, _ in runs),
        tuple(away for _, _, _, away in runs),
        search.left > 0,
    )


_Found = tuple[int, int, int, int]
"""A device with its first and last layer, and the blocks whose experts lie in RAM."""


class _Search:
    def __init__(self, problem: Placing, most_steps: int) -> None:
        self.p, self.left = problem, most_steps
        self.value, self.best = INFINITE, tuple[_Found, ...]()
        self.costs, self.bound = problem.costs, Least(problem.costs)
        self.own = [[*accumulate(layers, initial=0.0)] for layers in self.costs.layer_s]
        self.needed = self.bound.needed
        self.behind: dict[int, list[float]] = {}
        self.usable = [d for d in range(problem.devices) if problem.locked.get(d) != 0]
        self.must = sum(1 << d for d in {d for d, n in problem.locked.items() if n} | problem.needed)
        self.known: dict[tuple[int, int, int], Run | None] = {}
        self.most = {d: self._most(d) for d in self.usable}
        self.ram_counts = self.needed[-1] > problem.ram_bytes
        """More experts could leave than there is room for."""
        self.seen: dict[tuple[int, int], list[tuple[float, int]]] = {}

    def run(self, device: int, first: int, last: int) -> Run | None:
        key = (device, first, last)
        if key not in self.known:
            self.left -= 1
            self.known[key] = self.p.run(device, first, last)
        return self.known[key]

    def dive(self, end: int) -> None:
        """A plan to begin with: this device last, then the cheapest first. Each takes what it holds with all experts
        there, and the cards share what is left by what they hold with none."""
        p = self.p
        rate = [sum(layers) for layers in self.costs.layer_s]
        order = [end, *sorted((d for d in self.usable if d != end), key=lambda d: rate[d])]
        last, value, gone, runs = p.layers - 1, 0.0, 0, list[_Found]()
        for place, d in enumerate(order):
            if last < 0:
                break
            later = order[place + 1 :]
            behind = sum(self.most[other] for other in later)
            count = p.locked.get(d, min(last + 1, max(self.most[d], last + 1 - behind)))
            first = last + 1 - count
            while first <= last and (first < 0 or self.run(d, first, last) is None) and d not in p.locked:
                first += 1
            run = self.run(d, first, last) if 0 <= first <= last else None
            if run is None:
                continue
            runs.append((d, first, last, run.away))
            value, gone, last = value + run.cost, gone + run.away_bytes, first - 1
        used = {d: last - first + 1 for d, first, last, _ in runs}
        kept = all(used.get(d, 0) == n for d, n in p.locked.items()) and p.needed <= used.keys()
        if last < 0 and kept and gone <= p.ram_bytes and value < self.value:
            self.value, self.best = value, tuple(runs)

    def _most(self, device: int) -> int:
        """About how many of the last blocks it holds with all experts there."""
        top, low, high = self.p.layers - 2, 0, self.p.layers - 1
        while low < high:
            middle = (low + high + 1) // 2
            run = self.run(device, top + 1 - middle, top)
            low, high = (middle, high) if run is not None and not run.away else (low, middle - 1)
        return low

    def _behind(self, rest: int) -> list[float]:
        """By n: what the first n layers cost at least on the devices that are left."""
        found = self.behind.get(rest)
        if found is None:
            own = [d for d in self.usable if rest >> d & 1]
            begun = min((self.p.fixed[d] for d in own), default=0.0)
            found = [begun + least for least in self.bound.of(own)]
            found[0] = INFINITE if self.must & rest else 0.0
            self.behind[rest] = found
        return found

    def visit(self, last: int, rest: int, value: float, away_bytes: int, runs: tuple[_Found, ...]) -> None:
        """The layers 0 … last are open, for the rest of the devices."""
        if last < 0:
            if not self.must & rest and value < self.value * (1 - TIE):
                self.value, self.best = value, runs
            return
        if self._dominated(last, rest, value, away_bytes):
            return
        for low, after, device, first, run in self._children(last, rest, value, away_bytes):
            if low >= self.value * (1 - TIE) or self.left <= 0:
                return
            found = (device, first, last, run.away)
            self.visit(first - 1, rest & ~(1 << device), after, away_bytes + run.away_bytes, (*runs, found))

    def _children(
        self, last: int, rest: int, value: float, away_bytes: int
    ) -> list[tuple[float, float, int, int, Run]]:
        p, found, limit = self.p, [], self.value * (1 - TIE)
        self.left -= 1
        for d in self.usable:
            if not rest >> d & 1:
                continue
            others, count, mine = rest & ~(1 << d), p.locked.get(d), self.own[d]
            behind, price = self._behind(others), self.bound.prices[d]
            start, over = value + p.fixed[d] + mine[last + 1], self.needed[last + 1] - self.costs.room[d]
            for first in range(last, -1, -1) if count is None else (last + 1 - count,):
                # With what must leave, at its least price: looked at only where it can be better than the best.
                away = (over - self.needed[first]) * price if first >= 0 and over > self.needed[first] else 0.0
                if first < 0 or start - mine[first] + away >= limit:
                    break
                if start - mine[first] + away + behind[first] >= limit:
                    continue
                run = self.run(d, first, last)
                if run is None and d in p.needed:
                    continue
                if run is None or away_bytes + run.away_bytes > p.ram_bytes:
                    break
                after = value + run.cost
                if after >= limit:
                    break
                if after + behind[first] < limit:
                    found.append((after + behind[first], after, d, first, run))
        found.sort(key=lambda child: child[:4])
        return found

    def _dominated(self, last: int, rest: int, value: float, away_bytes: int) -> bool:
        """Whether the same layers were left to the same devices before, for no more time and no more RAM."""
        before, away_bytes = self.seen.setdefault((last, rest), []), away_bytes if self.ram_counts else 0
        if any(v <= value and b <= away_bytes for v, b in before):
            return True
        before[:] = [(v, b) for v, b in before if v < value or b < away_bytes]
        before.append((value, away_bytes))
        return False
