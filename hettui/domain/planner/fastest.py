"""The split of the least sum: what one stream's token takes on all devices together."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from itertools import accumulate

from hettui.domain.planner.search import INFINITE, MAX_STEPS, TIE, Found, Problem, Run, Search, as_found


def fastest(problem: Problem, max_steps: int = MAX_STEPS) -> Found | None:
    """None when nothing fits (or, out of steps, nothing was found)."""
    return _Fastest(problem, max_steps).run()


class _Offers:
    """What devices charge per weight and how much each can carry: the cheapest is filled first."""

    def __init__(self, offers: Sequence[tuple[float, float]], whole: float, cost: float = 0.0, carried: float = 0.0):
        """`offers`: rate and capacity of each. `cost` and `carried`: what is settled before any of them. `whole`: all
        the weight there is."""
        offers = sorted(offers)
        self.rates = [rate for rate, _ in offers]
        self.ends = [*accumulate((capacity for _, capacity in offers), initial=carried)]
        self.costs = [*accumulate((rate * capacity for rate, capacity in offers), initial=cost)]
        # A sum of weights may miss the whole by a rounding error.
        self.most = self.ends[-1] + TIE * whole

    def fill(self, weight: float) -> tuple[float, float]:
        """What it costs to carry so much, and the rate of the dearest that is needed."""
        n = bisect_left(self.ends, weight)
        if n == 0:
            return self.costs[0], 0.0
        if n < len(self.ends):
            rate = self.rates[n - 1]
            return self.costs[n - 1] + rate * (weight - self.ends[n - 1]), rate
        return (self.costs[-1], INFINITE) if weight <= self.most else (INFINITE, INFINITE)

    def below(self, rate: float) -> float:
        """The weight that is carried for less."""
        return self.ends[bisect_left(self.rates, rate)]


class _Fastest(Search):
    """First which devices, and which of them comes last: the best bound first. Then, for every choice that may still
    be better than what was found, their order and counts."""

    def __init__(self, problem: Problem, max_steps: int) -> None:
        super().__init__(problem, max_steps)
        self.best, self.runs = INFINITE, tuple[Run, ...]()
        self.bar = INFINITE
        """What a bound must be below to be worth following: the best but for a tie."""
        devices = range(problem.devices)
        self.capacity = [self.heaviest(d, problem.reach[d]) for d in devices]
        rates = [self._rates(d) for d in devices]
        self.lowest_rate = [low for low, _ in rates]
        self.highest_rate = [high for _, high in rates]
        self.price = [
            self.lowest_rate[d] + problem.fixed[d] / self.capacity[d] if self.capacity[d] else INFINITE for d in devices
        ]
        """Per weight when the device is full, its fixed cost included: the least that a weight can cost there."""
        self.locked_costs = {d: self._locked_cost(d, n) for d, n in problem.locked.items() if n}
        self.offers: dict[int, _Offers] = {}
        self.seen: dict[tuple[int, int], float] = {}
        self.seen_behind: dict[tuple[int, Run], float] = {}

    def _rates(self, device: int) -> tuple[float, float]:
        """The least and the highest cost per weight of a block."""
        below, weight = self.p.below[device], self.weight
        rates = [
            (below[n + 1] - below[n]) / (weight[n + 1] - weight[n])
            for n in range(self.p.layers - 1)
            if weight[n + 1] > weight[n]
        ]
        return min(rates, default=0.0), max(rates, default=0.0)

    def _locked_cost(self, device: int, count: int) -> float:
        """The least that so many blocks can cost."""
        below = self.p.below[device]
        return min((below[n + count] - below[n] for n in range(self.p.layers - count)), default=INFINITE)

    def run(self) -> Found | None:
        choices = [
            (self._bound(d, self.must | 1 << d, self.usable), d, self.must | 1 << d, 0)
            for d in self.usable
            if not self.twins[d] and self.p.reach[d][-1] < self.p.layers
        ]
        heapify(choices)
        for _, last, _, _ in sorted(choices):
            self._try(last)
        while choices and choices[0][0] < self.bar and self.left > 0:
            least, last, chosen, n = heappop(choices)
            while n < len(self.usable) and chosen >> self.usable[n] & 1:
                n += 1
            if n < len(self.usable):
                for more in (chosen, chosen | 1 << self.usable[n]):
                    bound = max(least, self._bound(last, more, self.usable[n + 1 :]))
                    if bound < self.bar:
                        heappush(choices, (bound, last, more, n + 1))
            elif not any(self.twins[d] & ~chosen for d in self.members(chosen)):
                self._arrange(last, chosen)
                if self.left <= 0:
                    heappush(choices, (least, last, chosen, n))
        if not self.runs:
            return None
        return as_found(self.best, self.runs, min([self.best, *(c[0] for c in choices)]))

    def _try(self, device: int) -> None:
        """A split to begin with: this device last, then the cheapest first, each as full as it gets."""
        last, value, runs, rest = self.p.layers - 1, 0.0, list[Run](), sum(1 << d for d in self.usable)
        for d in [device, *sorted((d for d in self.usable if d != device), key=lambda d: self.price[d])]:
            rest &= ~(1 << d)
            count, first = self.p.locked.get(d), max(self.p.reach[d][last], self.kept(rest))
            first = max(first, last + 1 - count) if count else first
            if first <= last:
                runs.append((d, first, last))
                value += self.p.cost(d, first, last)
                last = first - 1
            if last < 0:
                break
        counts = {d: end - first + 1 for d, first, end in runs}
        kept = all(counts.get(d, 0) == n for d, n in self.p.locked.items())
        if last < 0 and kept and value < self.best:
            self._keep(value, tuple(runs))

    def _keep(self, value: float, runs: tuple[Run, ...]) -> None:
        self.best, self.bar, self.runs = value, value * (1 - TIE), runs

    def _bound(self, last: int, chosen: int, others: Sequence[int]) -> float:
        """The least cost with these devices, this one last, and any of the others."""
        self.left -= 1
        p, top = self.p, self.p.layers - 1
        total = p.below[last][top + 1] - p.below[last][top]
        weight, offers = self.weight[top], []
        for d in self.members(chosen):
            total += p.fixed[d]
            capacity = self.capacity[d]
            if d == last:
                count = min(p.locked.get(d, p.layers), p.layers)
                capacity = self.weight[top] - self.weight[max(min(p.reach[d][top], top), top + 1 - count)]
            if d in self.locked_costs:
                top_too = p.below[d][top] - p.below[d][max(0, top + 1 - p.locked[d])]
                total += top_too if d == last else self.locked_costs[d]
                weight -= capacity
            else:
                offers.append((self.lowest_rate[d], capacity))
        offers += [(self.price[d], self.capacity[d]) for d in others if not chosen >> d & 1]
        return total + _Offers(offers, self.weight[-1]).fill(weight)[0]

    # -- the order and the counts of chosen devices --------------------------------------------------------

    def _arrange(self, last: int, chosen: int) -> None:
        self.seen, self.seen_behind = {}, {}
        nobody = (self.p.devices, self.p.layers, self.p.layers - 1)
        for _, device, first in sorted(self._children(last, self.p.layers - 1, chosen & ~(1 << last), 0.0, nobody)):
            run = (device, first, self.p.layers - 1)
            self._visit(first - 1, chosen & ~(1 << last), self.p.cost(*run), (run,))

    def _visit(self, last: int, rest: int, value: float, runs: tuple[Run, ...]) -> None:
        """The layers 0 … last are open, for the rest of the devices."""
        if not rest or last < 0:
            if value < self.best and not rest and last < 0:
                self._keep(value, runs)
            return
        if self._known(last, rest, value, runs[-1]):
            return
        free = [d for d in self.members(rest) if not self.twins[d] & rest]
        children = [c for d in free for c in self._children(d, last, rest & ~(1 << d), value, runs[-1])]
        children.sort()
        for low, device, first in children:
            if low >= self.bar or self.left <= 0:
                return
            after = value + self.p.cost(device, first, last)
            self._visit(first - 1, rest & ~(1 << device), after, (*runs, (device, first, last)))

    def _known(self, last: int, rest: int, value: float, behind: Run) -> bool:
        """Whether the same layers were left to the same devices before, for less; or for as much with the same
        neighbour, for what may follow depends on it."""
        before = self.seen.get((rest, last), INFINITE)
        if before < value * (1 - TIE) or self.seen_behind.get((rest, behind), INFINITE) <= value:
            return True
        self.seen[rest, last] = min(value, before)
        self.seen_behind[rest, behind] = value
        return False

    def _children(self, device: int, last: int, rest: int, value: float, behind: Run) -> list[tuple[float, int, int]]:
        """Where the device's run can begin, when the rest has to take what is before: the least total, the device,
        its first layer. Of what its neighbour behind could take from it, or it from that, only the better."""
        p, (other, begin, end) = self.p, behind
        low, high = max(p.reach[device][last], self.kept(rest)), last
        if not rest:
            low, high = (0, 0) if not low else (1, 0)
        count = p.locked.get(device)
        if count is not None:
            low, high = max(low, last + 1 - count), min(high, last + 1 - count)
        elif other < p.devices and other not in p.locked:
            if p.reach[other][end] <= last:  # The neighbour has room: what costs no more there belongs there.
                dearer = self._dearer(device, other, last)
                if dearer > 0 or (dearer == 0 and p.fixed[device] > 0):
                    return []
                low = max(low, last) if dearer == 0 else low
            if begin < end and self._dearer(device, other, begin) < 0:
                high = min(high, p.reach[device][begin] - 1)  # And the other way round.
        if low > high:
            return []
        below, paid = p.below[device], value + p.fixed[device] + p.below[device][last + 1]
        offers = self._offers(rest)
        start = min(max(bisect_left(self.weight, offers.below(self.lowest_rate[device])), low), high)
        children = []
        for way, stop in ((range(start, low - 1, -1), self.lowest_rate), (range(start + 1, high + 1), None)):
            for first in way:
                self.left -= 1
                least, rate = offers.fill(self.weight[first])
                total = paid - below[first] + least
                if total < self.bar:
                    if not self._better_swapped(device, first, last, behind):
                        children.append((total, device, first))
                elif rate <= stop[device] if stop else rate >= self.highest_rate[device]:
                    break  # It is no better with more layers, or with fewer.
        return children

    def _offers(self, rest: int) -> _Offers:
        """What the rest of the devices costs and carries in any case, and their rates and capacities."""
        known = self.offers.get(rest)
        if known is None:
            cost = carried = 0.0
            offers = []
            for d in self.members(rest):
                cost += self.p.fixed[d] + self.locked_costs.get(d, 0.0)
                if d in self.locked_costs:
                    carried += self.capacity[d]
                else:
                    offers.append((self.lowest_rate[d], self.capacity[d]))
            known = self.offers[rest] = _Offers(offers, self.weight[-1], cost, carried)
        return known

    def _dearer(self, device: int, other: int, layer: int) -> int:
        """1, 0 or -1: the layer costs more, as much or less on the device than on the other."""
        mine, theirs = self.p.below[device], self.p.below[other]
        more = (mine[layer + 1] - mine[layer]) - (theirs[layer + 1] - theirs[layer])
        return 0 if abs(more) <= TIE * theirs[-1] else 1 if more > 0 else -1

    def _better_swapped(self, device: int, first: int, last: int, behind: Run) -> bool:
        """Whether it is cheaper, or the same with the lower number first, to let both neighbours trade places."""
        p, (other, _, end) = self.p, behind
        # Which device comes last was chosen before.
        if end == p.layers - 1:
            return False
        begin = first + end - last
        """Of the device, when it comes last; the other then ends before it."""
        if p.reach[device][end] > begin or p.reach[other][begin - 1] > first:
            return False
        now = p.cost(device, first, last) + p.cost(other, last + 1, end)
        then = p.cost(other, first, begin - 1) + p.cost(device, begin, end)
        return then < now * (1 - TIE) or (then <= now * (1 + TIE) and device < other)
