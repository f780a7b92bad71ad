"""The best split for what somebody wants: the order of the devices included, some left out where that is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from hettui.domain.device import Device
from hettui.domain.engine_info import NEWEST_BUILD
from hettui.domain.memory import LayerCosts
from hettui.domain.model import ModelShape
from hettui.domain.params import Objective, RuntimeParams
from hettui.domain.plan import Plan
from hettui.domain.planner import propose
from hettui.domain.search import INFINITE, MAX_STEPS, Found, Problem, search
from hettui.domain.speed import pace, read_bytes
from hettui.domain.split import Split


@dataclass(frozen=True, eq=False)
class Best:
    """A plan for one objective."""

    plan: Plan
    objective: Objective
    least: float | None = None
    """No plan can be better than this (seconds); None for `balanced`, and where not everything fits."""
    value: float | None = None

    @property
    def proven(self) -> bool:
        """Nothing better exists under the speeds assumed."""
        return self.value is None or self.least is None or self.least >= self.value * (1 - 1e-9)


def best_plan(
    shape: ModelShape,
    params: RuntimeParams,
    devices: Sequence[Device],
    objective: Objective,
    *,
    build: int = NEWEST_BUILD,
    max_steps: int = MAX_STEPS,
) -> Best:
    """`balanced` keeps the order: every device is filled to the same part of its budget.

    `latency`: least time per token of one stream, the sum over devices. `throughput`: with many streams the slowest
    device counts. Both choose the order and may leave devices out, which then come last, empty. What does not fit on
    devices as a whole is shared out as `balanced` does.
    """
    devices = tuple(devices)
    if objective != "balanced" and devices:
        found = _fastest(shape, params, devices, objective, build, max_steps)
        if found is not None:
            return Best(_plan(shape, devices, found), objective, found.least, found.value)
    return Best(Plan(devices, propose(shape, params, devices, build=build)), objective)


def _plan(shape: ModelShape, devices: tuple[Device, ...], found: Found) -> Plan:
    idle = [i for i in range(len(devices)) if i not in found.order]
    order = [*found.order, *idle]
    counts = (*found.counts, *(0 for _ in idle))
    return Plan(tuple(devices[i] for i in order), Split(counts, shape.layers))


def _fastest(
    shape: ModelShape,
    params: RuntimeParams,
    devices: tuple[Device, ...],
    objective: Objective,
    build: int,
    max_steps: int,
) -> Found | None:
    alone = LayerCosts(shape, params, devices, build=build, several=False)
    together = LayerCosts(shape, params, devices, build=build, several=True)
    single = _problem(shape, devices, alone, objective)
    found = []
    for i in range(len(devices)):
        others_are_free = not any(n for j, n in single.locked.items() if j != i)
        if others_are_free and single.locked.get(i, shape.layers) == shape.layers:
            value = single.stage(i, 0, shape.layers - 1)
            found += [Found(value, (i,), (shape.layers,), value)] if value < INFINITE else []
    if len(devices) > 1:
        several = search(_problem(shape, devices, together, objective), max_steps)
        found += [several] if several is not None else []
    if not found:
        return None
    best = min(found, key=lambda f: f.value)
    return Found(best.value, best.order, best.counts, min(f.least for f in found))


def _problem(
    shape: ModelShape,
    devices: tuple[Device, ...],
    costs: LayerCosts,
    objective: Objective,
) -> Problem:
    paces = [pace(d) for d in devices]
    below = [0, *accumulate(read_bytes(shape))]
    room = [INFINITE if d.budget_bytes is None else max(0, d.budget_bytes - d.overhead_bytes) for d in devices]
    rank = sorted(range(len(devices)), key=lambda i: paces[i].seconds_per_byte)
    hop_s = min(p.hop_s for p in paces)
    layer_s = min(p.seconds_per_layer for p in paces)
    add = objective == "latency"

    def stage(device: int, first: int, last: int) -> float:
        budget = devices[device].budget_bytes
        if budget is not None and costs.held_bytes(device, first, last) > budget:
            return INFINITE
        p = paces[device]
        return (
            p.hop_s + p.seconds_per_layer * (last - first + 1) + p.seconds_per_byte * (below[last + 1] - below[first])
        )

    free_of: dict[int, list[tuple[float, float]]] = {}

    def free(used: int) -> list[tuple[float, float]]:
        """Seconds per byte and room of the devices that are left, the fastest first."""
        found = free_of.get(used)
        if found is None:
            found = free_of[used] = [(paces[i].seconds_per_byte, room[i]) for i in rank if not used >> i & 1]
        return found

    def least(used: int, last: int) -> float:
        """The fastest memories first, each with no more than its budget can hold; one hop is certain."""
        left = float(below[last + 1])
        if not add:
            rate = sum(1 / per_byte for per_byte, _ in free(used))
            return left / rate if rate else INFINITE
        total = layer_s * (last + 1) + hop_s
        for per_byte, most in free(used):
            if left <= most:
                return total + per_byte * left
            total += per_byte * most
            left -= most
        return INFINITE

    locked = {i: d.layers or 0 for i, d in enumerate(devices) if d.locked}
    classes: dict[tuple[object, ...], int] = {}
    alike = [
        classes.setdefault((d.backend, d.budget_bytes, d.overhead_bytes, paces[i]), i) for i, d in enumerate(devices)
    ]
    return Problem(shape.layers, len(devices), stage, least, add, locked=locked, alike=alike)
