"""What a running split does to a token, and which single move of layers would make it faster.

A move keeps the order of the devices: so many layers from one to another, and the runs of those between them shift.
That is less than the planner's whole answer (`objectives.wanted`), and what somebody can do with two keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise

from hettui.domain.devices.device import Device
from hettui.domain.memory.costs import LayerCosts
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.split import Split
from hettui.domain.records import dataclass
from hettui.domain.speed.pace import Pace, below_s, pace, stages_s

WORTH_A_MOVE = 0.02
"""Of a token's time: for less nobody restarts a master."""
_GIVERS = 2
"""So many of the slowest devices are asked to give: with sixteen devices all pairs would take too long."""


@dataclass(frozen=True)
class Running:
    """What runs: everything that decides about its memory and speed. Equal ones share what was found out."""

    workload: Workload
    devices: tuple[Device, ...]
    """In device order, with what was measured on them."""
    split: Split


@dataclass(frozen=True, slots=True)
class Move:
    """So many layers from one device to another; devices by their number in the order."""

    giver: int
    taker: int
    layers: int
    change: float | None
    """Of a token's time, as a part: -0.06 is 6 % less. None: a device's speed is not known."""
    more_bytes: int
    """What the taker will hold in addition."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One device's part of a token."""

    share: float
    """Of a token's time."""
    work: float
    """Of what is read for a token. Not of the layers: the output layer may weigh as much as several blocks."""


@dataclass(frozen=True)
class Rhythm:
    """How a token's time is spread over the devices."""

    stages: Mapping[int, Stage]
    """By number, of the devices that hold layers."""
    slowest: int
    """The device that takes longest for what it reads."""
    moves: tuple[Move, ...]
    """Those that save `WORTH_A_MOVE` or more, the best first."""


@lru_cache(maxsize=8)
def rhythm(running: Running) -> Rhythm | None:
    """None where that is not known: fewer than two devices hold layers, one of them was never measured nor has data,
    or the host computes layers or experts."""
    split, devices = running.split, running.devices
    if not _is_modelled(running) or len(split.active) < 2 or not all(pace(devices[i]).known for i in split.active):
        return None
    times, work = stages_s(running.workload.shape, devices, split.layers), _Tables(running).work
    total_s, total_bytes = sum(times.values()), max(1, work[-1])
    runs = {i: split.layer_range(i) for i in split.active}
    read = {i: (work[run.stop] - work[run.start]) / total_bytes for i, run in runs.items()}
    stages = {i: Stage(time_s / total_s, read[i]) for i, time_s in times.items()}
    slowness = sorted(stages, key=lambda i: stages[i].share / max(stages[i].work, 1e-9), reverse=True)
    return Rhythm(stages, slowness[0], _faster_moves(running, slowness[:_GIVERS]))


@lru_cache(maxsize=16)
def relief(running: Running, giver: int) -> tuple[Move, ...]:
    """One layer from a device that is full to each other one that has room for it, the fastest result first."""
    if not _is_modelled(running) or not running.split.layers[giver] or running.devices[giver].locked:
        return ()
    tables = _Tables(running)
    found = [tables.move(giver, taker, 1) for taker in tables.takers(giver) if tables.fits(giver, taker, 1)]
    return tuple(sorted(found, key=lambda move: move.change or 0.0))


def _is_modelled(running: Running) -> bool:
    """Devices take turns, and the host computes nothing between them: how long it takes for that is not known."""
    whole = (
        running.split.host_layers == 0 and len(running.workload.shape.layer_read_bytes) == running.split.total_layers
    )
    params = running.workload.params
    return whole and not params.overrides and not params.shares_tensors


def _faster_moves(running: Running, givers: Sequence[int]) -> tuple[Move, ...]:
    tables, found = _Tables(running), []
    for giver in givers:
        if running.devices[giver].locked:
            continue
        for taker in tables.takers(giver):
            most = tables.most(giver, taker)
            if most:
                found.append(tables.move(giver, taker, most))
    worth = (move for move in found if move.change is not None and move.change <= -WORTH_A_MOVE)
    return tuple(sorted(worth, key=lambda move: move.change or 0.0))


class _Tables:
    """Times and bytes of any split near the running one."""

    def __init__(self, running: Running) -> None:
        self._devices = running.devices
        self._layers = running.split.layers
        self._paces: list[Pace] = [pace(d) for d in running.devices]
        self._below = [below_s(running.workload.shape, p) for p in self._paces]
        self.work = [0, *accumulate(running.workload.shape.layer_read_bytes)]
        """What the first n layers read for a token."""
        self._costs = {
            several: LayerCosts(running.workload, running.devices, several=several) for several in (False, True)
        }
        self._now_s = self._time_s(self._layers)

    def takers(self, giver: int) -> list[int]:
        """Devices that may get layers: of one without a budget nobody knows what it holds."""
        return [
            i
            for i, d in enumerate(self._devices)
            if i != giver and not d.locked and not d.missing and d.budget_bytes is not None
        ]

    def most(self, giver: int, taker: int) -> int:
        """How many layers can go there."""
        low, high = 0, self._layers[giver]
        if self.fits(giver, taker, high):
            return high
        while low < high:
            middle = (low + high + 1) // 2
            if self.fits(giver, taker, middle):
                low = middle
            else:
                high = middle - 1
        return low

    def move(self, giver: int, taker: int, count: int) -> Move:
        after = self._after(giver, taker, count)
        held = [self._held_bytes(layers, taker) for layers in (self._layers, after)]
        known = all(self._paces[i].known for i, n in enumerate(after) if n or self._layers[i])
        change = self._time_s(after) / self._now_s - 1 if known and self._now_s else None
        return Move(giver, taker, count, change, max(0, held[1] - held[0]))

    def fits(self, giver: int, taker: int, count: int) -> bool:
        """Nothing needs more than its budget then: a move that cannot be applied helps nobody."""
        after = self._after(giver, taker, count)
        order = sorted(range(len(after)), key=lambda i: i != taker)  # who gets more is the likeliest to be full
        return all(
            (budget := self._devices[i].budget_bytes) is None or self._held_bytes(after, i) <= budget for i in order
        )

    def _after(self, giver: int, taker: int, count: int) -> tuple[int, ...]:
        return tuple(n - count * (i == giver) + count * (i == taker) for i, n in enumerate(self._layers))

    def _held_bytes(self, layers: tuple[int, ...], device: int) -> int:
        if not layers[device]:
            return 0
        first = sum(layers[:device])
        several = sum(n > 0 for n in layers) > 1
        return self._costs[several].held_bytes(device, first, first + layers[device] - 1)

    def _time_s(self, layers: tuple[int, ...]) -> float:
        ends = [0, *accumulate(layers)]
        return sum(
            p.hop_s + below[last] - below[first]
            for p, below, (first, last) in zip(self._paces, self._below, pairwise(ends), strict=True)
            if last > first
        )
