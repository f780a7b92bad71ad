"""What can still be run when a device is lost."""

from __future__ import annotations

from dataclasses import replace

from hettui.domain.memory.forecast import forecast, shortage
from hettui.domain.plan.plan import Plan
from hettui.domain.planner.objectives import best_plan
from hettui.domain.planner.promise import promised
from hettui.domain.records import dataclass
from hettui.domain.session.session import Session
from hettui.domain.speed.pace import pace


@dataclass(frozen=True, slots=True)
class Rescue:
    """The planner's answer for the devices that are left."""

    plan: Plan
    fits: bool
    missing: str = ""
    """Where it does not fit: device and MiB."""
    tokens_per_second: float | None = None
    """Of one stream; None where a device's speed is not known or something would stay on the host."""


def without(session: Session, plan: Plan, device: str) -> Rescue | None:
    """The best plan for the same model and settings on all devices but one. None without a model or other devices.

    By the least time per token; where speeds are not known, the even headroom of `balanced` comes out of it.
    """
    rest = tuple(d for d in session.measured(plan).devices if d.name != device)
    workload = session.workload_of(replace(plan, away=()))
    if workload is None or not rest or len(rest) == len(plan.devices):
        return None
    known = all(pace(d).known for d in rest)
    free = tuple(d if not d.locked else d.with_lock(False) for d in rest)
    best = best_plan(workload, free, "latency" if known else "balanced", beside=session.beside).plan
    best = Plan(best.devices, best.split, plan.ctx_size, best.away, best.moves, plan.changed)
    workload = workload.having(best.settings(workload.params))
    outlook = forecast(workload, best.split, best.devices)
    speed = promised(workload, best.devices, best.split, session.learned.host_rate_bytes_per_s)
    missing = "" if outlook.fits else shortage(outlook, best.devices)
    return Rescue(best, outlook.fits, missing, None if speed is None else speed.per_second)
