"""The best split for what somebody wants: the order of the devices included, some left out where that is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate

from hettui.domain.devices.device import Device
from hettui.domain.llama.build import NEWEST_BUILD
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.context import context_size, context_step
from hettui.domain.memory.costs import LayerCosts
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.aim import Objective
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.planner.fastest import fastest
from hettui.domain.planner.headroom import propose
from hettui.domain.planner.most_even import fits_somehow, most_even
from hettui.domain.planner.search import MAX_STEPS, Found, Problem
from hettui.domain.planner.speed import Pace, pace, read_bytes


@dataclass(frozen=True, eq=False)
class Best:
    """A plan for one objective."""

    plan: Plan
    objective: Objective
    found: Found | None = None
    """What the search says of it, in seconds; None for `balanced`, and where not everything fits."""

    @property
    def value(self) -> float | None:
        """Seconds: a token's time, or the slowest device's."""
        return self.found.value if self.found else None

    @property
    def proven(self) -> bool:
        """Nothing better exists under the speeds assumed."""
        return self.found is None or self.found.proven


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
    device counts. `fit`: the largest context for which any split fits, and of those the split of least latency. All
    three choose the order and may leave devices out, which then come last, empty. What does not fit on devices as a
    whole is shared out as `balanced` does.
    """
    devices = tuple(devices)
    if objective != "balanced" and devices:
        ctx_size = roomiest_context(shape, params, devices, build=build) if objective == "fit" else None
        if ctx_size:
            params = replace(params, ctx_size=ctx_size)
        found = _fastest(shape, params, devices, objective, build, max_steps)
        if found is not None:
            return Best(replace(_plan(shape, devices, found), ctx_size=ctx_size or None), objective, found)
    return Best(Plan(devices, propose(shape, params, devices, build=build)), objective)


def roomiest_context(
    shape: ModelShape, params: RuntimeParams, devices: Sequence[Device], *, build: int = NEWEST_BUILD
) -> int:
    """The largest `ctx-size` for which any order and split fits, up to the model's training length; 0: none does."""
    step = context_step(params)
    low, high = 0, max(shape.n_ctx_train, context_size(shape, params)) // step
    while low < high:
        middle = (low + high + 1) // 2
        if fits_any_way(shape, replace(params, ctx_size=middle * step), devices, build=build):
            low = middle
        else:
            high = middle - 1
    return low * step


def fits_any_way(
    shape: ModelShape, params: RuntimeParams, devices: Sequence[Device], *, build: int = NEWEST_BUILD
) -> bool:
    """Whether any order and split puts everything on the devices."""
    devices = tuple(devices)
    together = LayerCosts(shape, params, devices, build=build, several=True)
    return bool(_alone(shape, params, devices, build)) or (
        len(devices) > 1 and fits_somehow(_problem(shape, devices, together))
    )


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
    problem = _problem(shape, devices, LayerCosts(shape, params, devices, build=build, several=True))
    whole = shape.layers
    values = [(problem.cost(i, 0, whole - 1), i) for i in _alone(shape, params, devices, build)]
    found = [Found(value, (i,), (whole,), value) for value, i in values]
    if len(devices) > 1:
        several = (most_even if objective == "throughput" else fastest)(problem, max_steps)
        found += [several] if several is not None else []
    if not found:
        return None
    best = min(found, key=lambda f: f.value)
    return Found(best.value, best.order, best.counts, min(f.least for f in found))


def _alone(shape: ModelShape, params: RuntimeParams, devices: tuple[Device, ...], build: int) -> list[int]:
    """The devices that can hold everything: one alone needs less than one of several."""
    costs = LayerCosts(shape, params, devices, build=build, several=False)
    locked = {i: d.layers or 0 for i, d in enumerate(devices) if d.locked}
    return [
        i
        for i, device in enumerate(devices)
        if not any(n for j, n in locked.items() if j != i)
        and locked.get(i, shape.layers) == shape.layers
        and (device.budget_bytes is None or costs.held_bytes(i, 0, shape.layers - 1) <= device.budget_bytes)
    ]


def _problem(shape: ModelShape, devices: tuple[Device, ...], costs: LayerCosts) -> Problem:
    """Tables for the search. Devices that are alike share theirs."""
    work = read_bytes(shape)
    reaches: dict[tuple[object, ...], list[int]] = {}
    belows: dict[Pace, list[float]] = {}
    for i, d in enumerate(devices):
        kind = (d.backend, d.budget_bytes, d.overhead_bytes)
        if kind not in reaches:
            reaches[kind] = costs.reach(i, d.budget_bytes)
        p = pace(d)
        if p not in belows:
            belows[p] = [0.0, *accumulate(p.seconds_per_layer + p.seconds_per_byte * n for n in work)]
    return Problem(
        shape.layers,
        [reaches[d.backend, d.budget_bytes, d.overhead_bytes] for d in devices],
        [belows[pace(d)] for d in devices],
        [pace(d).hop_s for d in devices],
        locked={i: d.layers or 0 for i, d in enumerate(devices) if d.locked},
    )


@lru_cache(maxsize=32)
def _known_best(
    shape: ModelShape, params: RuntimeParams, devices: tuple[Device, ...], objective: Objective, build: int
) -> Best:
    return best_plan(shape, params, devices, objective, build=build)


def wanted(
    shape: ModelShape, params: RuntimeParams, plan: Plan, objective: Objective, *, build: int = NEWEST_BUILD
) -> Best:
    """What the planner would do with the plan's devices; remembered, since sliders ask for it at every move.

    Of the plan only the locked counts matter, and for `balanced` the order.
    """
    counts = zip(plan.devices, plan.split.layers, strict=True)
    devices = [replace(d, layers=n if d.locked else None) for d, n in counts]
    if objective != "balanced":
        devices.sort(key=lambda d: d.name)
    return _known_best(shape, params, tuple(devices), objective, build)
