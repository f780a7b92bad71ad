"""What the first layers cost at least, whichever of some devices take them: the bound of the search in `experts`.

Without order and runs it is a linear program: each layer on one device, its experts there or in RAM, what lies on a
device within its room. Whatever a byte of each room is said to be worth, the cheapest choice for every layer with its
bytes paid for, less the worth of the rooms, is not above the program's value (Lagrange). The worths are those of the
same program for all layers and devices, the layers all alike, which sorting solves.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import inf

from hettui.domain.records import dataclass


@dataclass(frozen=True, slots=True)
class Costs:
    """What layers cost and take. Devices and layers are numbered from 0; times in seconds."""

    layer_s: Sequence[Sequence[float]]
    """By device: what each layer costs at least."""
    needed: Sequence[int]
    """Bytes that each layer takes at least, experts included."""
    experts: Sequence[int]
    """Of these, by layer: what can lie in RAM instead."""
    away_s: Sequence[Sequence[float]]
    """By device: how much longer each layer takes with its experts there; infinite where none may leave."""
    room: Sequence[float]
    """By device: the most that all of its layers can take; infinite without a budget."""

    def price(self, device: int) -> float:
        """Of a byte of the device's experts in RAM instead, at least; infinite where none may leave."""
        pairs = zip(self.away_s[device], self.experts, strict=True)
        return min((longer / size for longer, size in pairs if size), default=inf)


class Least:
    """Answers for sets of devices."""

    def __init__(self, costs: Costs) -> None:
        self.costs = costs
        devices = range(len(costs.room))
        self.prices = [costs.price(d) for d in devices]
        self.needed = [*accumulate(costs.needed, initial=0)]
        """Bytes that the first n layers take at least."""
        rows = [*zip(costs.needed, costs.experts, *costs.layer_s, *costs.away_s, strict=True)]
        places: dict[tuple[float, ...], int] = {}
        # Times are differences of sums: alike to the picosecond.
        self._kind = [places.setdefault(tuple(round(x, 12) for x in row), len(places)) for row in rows]
        """By layer: those of a kind are alike in everything."""
        kinds = [rows[self._kind.index(n)] for n in range(len(places))]
        plain = [_Plain.of(costs, d) for d in devices]
        margin = _margin(plain, len(self._kind))
        worth = [one.byte_s(margin) for one in plain]
        self._paid = [_kinds_s(kinds, d, len(plain), byte_s) for d, byte_s in enumerate(worth)]
        """By device: what a layer of each kind takes with its bytes paid for."""
        self._rooms = [byte_s * room if byte_s else 0.0 for byte_s, room in zip(worth, costs.room, strict=True)]

    def of(self, devices: Sequence[int]) -> list[float]:
        """By n: what the first n layers take at least on these devices."""
        if not devices:
            return [0.0] + [inf] * len(self._kind)
        layer_s, room = self.costs.layer_s, sum(self.costs.room[d] for d in devices)
        price = min(self.prices[d] for d in devices)
        cheapest = accumulate(map(min, zip(*(layer_s[d] for d in devices), strict=True)), initial=0.0)
        found = [
            low + ((needed - room) * price if needed > room else 0.0)
            for low, needed in zip(cheapest, self.needed, strict=True)
        ]
        paid = [*map(min, zip(*(self._paid[d] for d in devices), strict=True))]
        below = accumulate([paid[kind] for kind in self._kind], initial=-sum(self._rooms[d] for d in devices))
        return [*map(max, found, below)]


def _kinds_s(kinds: Sequence[tuple[float, ...]], device: int, devices: int, byte_s: float) -> list[float]:
    """Of layers of each kind: the cheaper of having its experts there and in RAM, its bytes paid for."""
    own, longer = 2 + device, 2 + devices + device
    return [row[own] + min(byte_s * row[0], row[longer] + byte_s * (row[0] - row[1])) for row in kinds]


def _margin(plain: Sequence[_Plain], layers: float) -> float:
    """What one layer more costs when so many, all alike, are there."""
    margin = 0.0
    for layer_s, count in sorted(step for one in plain for step in one.steps()):
        margin, layers = layer_s, layers - count
        if layers <= 0:
            break
    return margin


@dataclass(frozen=True, slots=True)
class _Plain:
    """A device, and layers that are all as they are in the mean."""

    room: float
    layer_s: float
    needed: float
    experts: float
    """0 where none may leave."""
    away_s: float

    @classmethod
    def of(cls, costs: Costs, device: int) -> _Plain:
        may = [(n, s) for n, s in zip(costs.experts, costs.away_s[device], strict=True) if n and s < inf]
        layers = len(costs.needed)
        return cls(
            costs.room[device],
            sum(costs.layer_s[device]) / layers,
            max(1.0, sum(costs.needed) / layers),
            sum(n for n, _ in may) / layers,
            sum(s for _, s in may) / layers,
        )

    def steps(self) -> list[tuple[float, float]]:
        """What a layer more costs, and how many there are room for at that."""
        whole, rest = self.room / self.needed, max(1.0, self.needed - self.experts)
        if not self.experts:
            return [(self.layer_s, whole)]
        # For one layer more, as many experts leave as it takes room.
        then = self.layer_s + self.away_s * self.needed / self.experts
        return [(self.layer_s, whole), (then, self.room / rest - whole)]

    def byte_s(self, margin: float) -> float:
        """What a byte of its room is worth where a layer costs so much elsewhere."""
        if self.room == inf or margin <= self.layer_s:
            return 0.0
        whole = (margin - self.layer_s) / self.needed
        if not self.experts:
            return whole
        rest = max(1.0, self.needed - self.experts)
        return max(min(whole, self.away_s / self.experts), (margin - self.layer_s - self.away_s) / rest)
