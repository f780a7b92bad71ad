"""The best order of devices and layers per device: exact, unless it runs out of steps.

A split is built from the last layer to the first: which device comes before, and where its run of layers begins.
A split costs the sum of its devices' costs (`fastest`) or that of the dearest one (`most_even`). Here is what both
searches share.

A branch is left as soon as a bound says that it cannot be better than the best split found. The bound asks the same
question without the order: every layer has a weight, every device a rate per weight and a most that it can carry,
and the cheapest devices are filled first. Where blocks are alike this is nearly the truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field

from hettui.domain.records import dataclass

INFINITE = float("inf")
MAX_STEPS = 12_000
"""Bounds asked for; enough for a proof with what people own. Beyond it the best split so far comes with its bound."""

TIE = 1e-12
"""Relative: costs that differ by less are the same number, summed up in another order."""


@dataclass(frozen=True, eq=False)
class Problem:
    """What is searched. Devices and layers are numbered from 0; the last layer is the output layer."""

    layers: int
    reach: Sequence[Sequence[int]]
    """Per device and last layer: the smallest first layer with which the run fits; last + 1 when not even one does."""
    below: Sequence[Sequence[float]]
    """Per device: what its first n layers would cost, n from 0 to `layers`."""
    fixed: Sequence[float]
    """Per device: what it costs to use it at all."""
    locked: Mapping[int, int] = field(default_factory=dict)
    """Devices that keep their count."""

    @property
    def devices(self) -> int:
        return len(self.reach)

    def cost(self, device: int, first: int, last: int) -> float:
        below = self.below[device]
        return self.fixed[device] + below[last + 1] - below[first]


@dataclass(frozen=True, slots=True)
class Found:
    """A split: devices in order, first layers first, and how many layers each takes."""

    value: float
    order: tuple[int, ...]
    counts: tuple[int, ...]
    least: float
    """No split costs less; equal to `value` when that is proven to be the best."""

    @property
    def proven(self) -> bool:
        return self.least >= self.value * (1 - 1e-9)


Run = tuple[int, int, int]
"""A device with its first and last layer."""


def as_found(value: float, runs: Sequence[Run], least: float) -> Found:
    runs = runs[::-1]
    return Found(value, tuple(d for d, _, _ in runs), tuple(last - first + 1 for _, first, last in runs), least)


class Search:
    """What both searches know of a problem. Sets of devices are bits."""

    def __init__(self, problem: Problem, max_steps: int) -> None:
        self.p = problem
        self.left = max_steps
        self.must = sum(1 << d for d, n in problem.locked.items() if n)
        self.usable = [d for d in range(problem.devices) if problem.locked.get(d) != 0]
        self.twins = [self._twins(d) for d in range(problem.devices)]
        self.weight = [sum(b[n] for b in problem.below) / max(1, problem.devices) for n in range(problem.layers + 1)]
        """Of the first n layers: their mean cost."""

    def _twins(self, device: int) -> int:
        """Devices of lower number that make no difference: of those the first is used first."""
        p, found = self.p, 0
        if device in p.locked:
            return 0
        for d in range(device):
            same = d not in p.locked and p.fixed[d] == p.fixed[device] and p.below[d] == p.below[device]
            found |= (same and p.reach[d] == p.reach[device]) << d
        return found

    def members(self, devices: int) -> Iterable[int]:
        return (d for d in self.usable if devices >> d & 1)

    def kept(self, devices: int) -> int:
        """Layers that the locked ones of these devices will get."""
        return sum(n for d, n in self.p.locked.items() if devices >> d & 1)

    def heaviest(self, device: int, reach: Sequence[int]) -> float:
        """The most weight that the device can carry of blocks, by what it reaches."""
        weight, most = self.weight, self.p.locked.get(device, self.p.layers)
        return max((weight[n + 1] - weight[max(reach[n], n + 1 - most)] for n in range(self.p.layers - 1)), default=0.0)
