"""The split whose dearest device costs least: with many streams at once it is the one that holds up the others."""

from __future__ import annotations

from collections.abc import Sequence

from hettui.domain.planner.search import INFINITE, MAX_STEPS, TIE, Found, Problem, Run, Search, as_found

_NEAR = 0.99


def most_even(problem: Problem, max_steps: int = MAX_STEPS) -> Found | None:
    """None when nothing fits (or, out of steps, nothing was found)."""
    return _MostEven(problem, max_steps).run()


def fits_somehow(problem: Problem, max_steps: int = MAX_STEPS) -> bool:
    """Whether any split fits, as far as the steps go."""
    return bool(_MostEven(problem, max_steps).within(INFINITE, max_steps))


class _MostEven(Search):
    """Is there a split in which no device costs more than a limit? Then the limit is lowered until there is none.

    Below a limit it is always right to take as many layers as the device can, so only the order is searched; while
    locked devices are still to come their place matters, too, and every count is tried.
    """

    def run(self) -> Found | None:
        runs = self.within(INFINITE, self.left)
        if not runs:
            return None
        value, least, hopeless = self._worth(runs), self._floor(), 0.0
        while max(least, hopeless) < value * _NEAR:
            # Halve the gap with few steps each; where they do not suffice, there is probably nothing.
            limit = (max(least, hopeless) + value) / 2
            better = self.within(limit, max(1, self.left // 16))
            if better:
                runs, value = better, self._worth(better)
            elif self.proven_empty:
                least = limit
            else:
                hopeless = limit
        while self.left > 0 and least < value:
            better = self.within(value * (1 - TIE), self.left)
            if better:
                runs, value = better, self._worth(better)
            elif self.proven_empty:
                least = value
        return as_found(value, runs, min(value, least))

    def _worth(self, runs: Sequence[Run]) -> float:
        return max(self.p.cost(*run) for run in runs)

    def _floor(self) -> float:
        """What the dearest device must cost at least: some device takes the output layer, the locked take theirs."""
        p, last = self.p, self.p.layers - 1
        floors = [
            min(p.cost(d, first, first + n - 1) for first in range(p.layers - n + 1)) for d, n in p.locked.items() if n
        ]
        return max([*floors, min((p.cost(d, last, last) for d in self.usable), default=0.0)])

    def within(self, limit: float, steps: int) -> tuple[Run, ...]:
        """A split in which no device costs more; empty when there is none, which is proven unless steps ran out."""
        p, self.here = self.p, steps
        self.reach = [self._reach(d, limit) if d in self.usable else () for d in range(p.devices)]
        self.carry = [self.heaviest(d, self.reach[d]) if d in self.usable else 0.0 for d in range(p.devices)]
        self.take = [
            min(p.locked.get(d, p.layers), max((n + 1 - r for n, r in enumerate(self.reach[d][:-1])), default=0))
            for d in range(p.devices)
        ]
        self.seen: set[tuple[int, int]] = set()
        self.deepest: dict[int, int] = {}
        runs = self._visit(p.layers - 1, sum(1 << d for d in self.usable), ())
        self.left -= steps - self.here
        self.proven_empty = runs is None and self.here > 0
        return runs or ()

    def _reach(self, device: int, limit: float) -> Sequence[int]:
        p = self.p
        if limit == INFINITE:
            return p.reach[device]
        below, most, first, found = p.below[device], limit - p.fixed[device], 0, []
        for last in range(p.layers):
            while first <= last and below[last + 1] - below[first] > most:
                first += 1
            found.append(max(first, p.reach[device][last]))
        return found

    def _visit(self, last: int, rest: int, runs: tuple[Run, ...]) -> tuple[Run, ...] | None:
        if last < 0:
            return None if self.must & rest else runs
        waiting = bool(self.must & rest)
        if (rest, last) in self.seen or (not waiting and self.deepest.get(rest, self.p.layers) <= last):
            return None
        self.seen.add((rest, last))
        self.deepest[rest] = last
        for first, device in self._children(last, rest, waiting):
            found = self._visit(first - 1, rest & ~(1 << device), (*runs, (device, first, last)))
            if found is not None or self.here <= 0:
                return found
        return None

    def _children(self, last: int, rest: int, waiting: bool) -> list[tuple[int, int]]:
        """The first layer and the device: who gets farthest comes first."""
        self.here -= 1
        if last < self.p.layers - 1 and not self._enough(rest, last):
            return []
        found = []
        for d in self.members(rest):
            if self.twins[d] & rest:
                continue
            self.here -= 1
            count, low = self.p.locked.get(d), max(self.reach[d][last], self.kept(rest & ~(1 << d)))
            if count is not None:
                if last + 1 - count >= low:
                    found.append((last + 1 - count, d))
            elif low <= last:
                found += [(first, d) for first in (range(low, last + 1) if waiting else (low,))]
        return sorted(found)

    def _enough(self, rest: int, last: int) -> bool:
        """Whether the devices that are left can take the open layers at all, by number and by weight."""
        if sum(self.take[d] for d in self.members(rest)) <= last:
            return False
        return sum(self.carry[d] for d in self.members(rest)) >= self.weight[last + 1] * (1 - TIE)
