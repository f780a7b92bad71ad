"""The best split for what somebody wants: the order of the devices included, some left out where that is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate

from hettui.domain.device import Device
from hettui.domain.engine_info import NEWEST_BUILD
from hettui.domain.fastest import fastest
from hettui.domain.memory import LayerCosts
from hettui.domain.model import ModelShape
from hettui.domain.most_even import most_even
from hettui.domain.params import Objective, RuntimeParams
from hettui.domain.plan import Plan
from hettui.domain.planner import propose
from hettui.domain.search import MAX_STEPS, Found, Problem
from hettui.domain.speed import Pace, pace, read_bytes, seconds_per_token
from hettui.domain.split import Split
from hettui.domain.text import clean_line
from hettui.domain.units import GIB


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
    device counts. Both choose the order and may leave devices out, which then come last, empty. What does not fit on
    devices as a whole is shared out as `balanced` does.
    """
    devices = tuple(devices)
    if objective != "balanced" and devices:
        found = _fastest(shape, params, devices, objective, build, max_steps)
        if found is not None:
            return Best(_plan(shape, devices, found), objective, found)
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
    problem = _problem(shape, devices, together)
    found = []
    for i, device in enumerate(devices):
        others_are_free = not any(n for j, n in problem.locked.items() if j != i)
        if others_are_free and problem.locked.get(i, shape.layers) == shape.layers:
            held = alone.held_bytes(i, 0, shape.layers - 1)
            if device.budget_bytes is None or held <= device.budget_bytes:
                value = problem.cost(i, 0, shape.layers - 1)
                found.append(Found(value, (i,), (shape.layers,), value))
    if len(devices) > 1:
        several = (fastest if objective == "latency" else most_even)(problem, max_steps)
        found += [several] if several is not None else []
    if not found:
        return None
    best = min(found, key=lambda f: f.value)
    return Found(best.value, best.order, best.counts, min(f.least for f in found))


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
def _least_seconds(shape: ModelShape, params: RuntimeParams, devices: tuple[Device, ...], build: int) -> float | None:
    return best_plan(shape, params, devices, "latency", build=build).value


def behind_best(shape: ModelShape, params: RuntimeParams, plan: Plan, *, build: int = NEWEST_BUILD) -> float | None:
    """How much slower one stream decodes than with the best plan, as a part of its speed: 0.2 is 20 % slower.

    None where the devices' speeds are not known, something stays on the host, or nothing fits.
    """
    mine = seconds_per_token(shape, plan.devices, plan.split.layers)
    if mine is None or not all(pace(d).known for d in plan.devices):
        return None
    counts = zip(plan.devices, plan.split.layers, strict=True)
    # In one order, so that moving a device asks nothing new; only locked counts matter.
    devices = sorted((replace(d, layers=n if d.locked else None) for d, n in counts), key=lambda d: d.name)
    least = _least_seconds(shape, params, tuple(devices), build)
    return None if least is None else max(0.0, 1 - least / mine)


_WORTH_TELLING = 0.02
"""Of the time: less is no reason to change a machine."""


def explain(shape: ModelShape, params: RuntimeParams, best: Best, *, build: int = NEWEST_BUILD) -> list[str]:
    """Why this plan: the brake, the full devices, and what another GiB or one device less would change.

    Empty for `balanced` and where not everything fits. Each answer is a search of its own.
    """
    if best.value is None:
        return []
    lines, times = [], _stage_seconds(shape, best.plan)
    names = {i: clean_line(d.name, 40) for i, d in enumerate(best.plan.devices)}
    if len(times) > 1:
        brake = max(times, key=lambda i: times[i] / best.plan.split.layers[i])
        share = times[brake] / sum(times.values())
        lines.append(
            f"The brake is {names[brake]}: {share:.0%} of the time for "
            f"{best.plan.split.layers[brake] / shape.layers:.0%} of the layers."
        )
    costs = LayerCosts(shape, params, best.plan.devices, build=build, several=len(times) > 1)
    full = [names[i] for i in times if not _takes_one_more(costs, best.plan, i)]
    if full:
        lines.append(f"Full: {', '.join(full)}.")
    for i, device in enumerate(best.plan.devices):
        if device.budget_bytes is not None:
            roomier = replace(device, budget_bytes=device.budget_bytes + GIB)
            lines += _change(shape, params, best, i, roomier, build, f"One GiB more on {names[i]}")
        if i in times and len(times) > 1:
            lines += _change(shape, params, best, i, None, build, f"Without {names[i]}")
    return lines


def _stage_seconds(shape: ModelShape, plan: Plan) -> dict[int, float]:
    below = [0, *accumulate(read_bytes(shape))]
    found = {}
    for i in plan.split.active:
        layers = plan.split.layer_range(i)
        found[i] = pace(plan.devices[i]).stage_s(len(layers), below[layers.stop] - below[layers.start])
    return found


def _takes_one_more(costs: LayerCosts, plan: Plan, device: int) -> bool:
    budget, layers = plan.devices[device].budget_bytes, plan.split.layer_range(device)
    if budget is None or layers.start == 0:
        return True
    return costs.held_bytes(device, layers.start - 1, layers.stop - 1) <= budget


def _change(
    shape: ModelShape, params: RuntimeParams, best: Best, index: int, device: Device | None, build: int, what: str
) -> list[str]:
    """What the best plan is worth with one device changed or left out, when that is worth telling."""
    others = [d for i, d in enumerate(best.plan.devices) if i != index]
    devices = [*others, device] if device else others
    found = best_plan(shape, params, devices, best.objective, build=build, max_steps=_EXPLAIN_STEPS)
    if found.value is None or best.value is None:
        return [] if device else [f"{what} the model does not fit."]
    faster = 1 - found.value / best.value
    if device and faster < _WORTH_TELLING:
        return []
    if abs(faster) < _SAME:
        return [f"{what}: as fast."]
    return [f"{what}: {abs(faster):.0%} {'less' if faster > 0 else 'more'} time per token."]


_EXPLAIN_STEPS = 2000
_SAME = 0.005
