"""Why a plan is as it is: what it costs against the best, its brake, and what would change it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hettui.domain.devices.device import Device
from hettui.domain.memory.costs import LayerCosts
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.plan import Plan
from hettui.domain.planner.objectives import Asked, Best, answer, asked_of, best_plan
from hettui.domain.records import dataclass
from hettui.domain.speed.pace import expected, pace, stages_s
from hettui.domain.text import clean_line
from hettui.domain.units import GIB


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What a plan costs and gives against the fastest for one stream."""

    slower: float
    """As a part of the speed: 0.2 is 20 % slower."""
    per_second: float
    """Tokens of one stream with this plan."""
    fastest_per_second: float
    measured: bool = False
    """By answers on these devices; else by their data."""
    roomier: str = ""
    """The device that gains most; empty where the plan is not slower by enough to be worth telling."""
    gained_bytes: int = 0
    """How much more stays free there."""


WORTH_TELLING = 0.02
"""Of the time: less is no reason to change a plan or a machine."""

Search = Callable[[Asked], Best | None]
"""Answers what the planner is asked; None: not yet."""


def what_if(workload: Workload, plan: Plan, search: Search = answer) -> WhatIf | None:
    """None where the devices' speeds are not known, something stays on the host, nothing fits, or it is not known
    yet."""
    workload = workload.having(plan.settings(workload.params))
    other = plan.split.host_layers or workload.params.overrides or workload.params.shares_tensors
    mine = None if other else expected(workload.shape, plan.devices, plan.split.layers)
    if mine is None or not all(pace(d).known for d in plan.devices):
        return None
    best = search(asked_of(workload, plan, "latency"))
    if best is None or best.value is None:
        return None
    slower = max(0.0, 1 - best.value / mine.token_s)
    fastest = max(1 / best.value, mine.per_second)
    if slower < WORTH_TELLING:
        return WhatIf(slower, mine.per_second, fastest, mine.measured)
    now, then = _free(workload, plan), _free(workload, best.plan)
    gains = {name: free - then[name] for name, free in now.items()}
    most = max(gains, key=lambda name: gains[name], default="")
    return WhatIf(slower, mine.per_second, fastest, mine.measured, most, max(0, gains.get(most, 0)))


def _free(workload: Workload, plan: Plan) -> dict[str, int]:
    """What stays free of each budget, by device name."""
    held = forecast(workload, plan.split, plan.devices).devices
    return {
        d.name: d.budget_bytes - m.total_bytes
        for d, m in zip(plan.devices, held, strict=True)
        if d.budget_bytes is not None
    }


def explain(workload: Workload, best: Best) -> list[str]:
    """Why this plan: the brake, the full devices, and what another GiB or one device less would change.

    Empty for `balanced` and where not everything fits. Each answer is a search of its own.
    """
    if best.value is None:
        return []
    workload, shape = workload.having(best.plan.settings(workload.params)), workload.shape
    lines, times = [], stages_s(shape, best.plan.devices, best.plan.split.layers)
    names = {i: clean_line(d.name, 40) for i, d in enumerate(best.plan.devices)}
    if len(times) > 1:
        brake = max(times, key=lambda i: times[i] / best.plan.split.layers[i])
        share = times[brake] / sum(times.values())
        lines.append(
            f"The brake is {names[brake]}: {share:.0%} of the time for "
            f"{best.plan.split.layers[brake] / shape.layers:.0%} of the layers."
        )
    costs = LayerCosts(workload, best.plan.devices, several=len(times) > 1)
    full = [names[i] for i in times if not _takes_one_more(costs, best.plan, i)]
    if full:
        lines.append(f"Full: {', '.join(full)}.")
    for i, device in enumerate(best.plan.devices):
        if device.budget_bytes is not None:
            roomier = replace(device, budget_bytes=device.budget_bytes + GIB)
            lines += _change(workload, best, i, roomier, f"One GiB more on {names[i]}")
        if i in times and len(times) > 1:
            lines += _change(workload, best, i, None, f"Without {names[i]}")
    return lines


def _takes_one_more(costs: LayerCosts, plan: Plan, device: int) -> bool:
    budget, layers = plan.devices[device].budget_bytes, plan.split.layer_range(device)
    if budget is None or layers.start == 0:
        return True
    return costs.held_bytes(device, layers.start - 1, layers.stop - 1) <= budget


def _change(workload: Workload, best: Best, index: int, device: Device | None, what: str) -> list[str]:
    """What the best plan is worth with one device changed or left out, when that is worth telling."""
    others = [d for i, d in enumerate(best.plan.devices) if i != index]
    devices = [*others, device] if device else others
    then = best_plan(workload, devices, best.objective, max_steps=_EXPLAIN_STEPS)
    if then.value is None or best.value is None:
        return [] if device else [f"{what} the model does not fit."]
    if best.objective == "fit":
        context = then.plan.ctx_size
        return [] if context == best.plan.ctx_size else [f"{what}: a context of {context} tokens."]
    faster = 1 - then.value / best.value
    if device and faster < WORTH_TELLING:
        return []
    if abs(faster) < _SAME:
        return [f"{what}: as fast."]
    return [f"{what}: {abs(faster):.0%} {'less' if faster > 0 else 'more'} time per token."]


_EXPLAIN_STEPS = 2000
_SAME = 0.005
