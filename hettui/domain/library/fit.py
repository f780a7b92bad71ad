"""Whether a model fits the devices that are there, by the planner that will plan it, and the plan it is opened with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import IntEnum

from hettui.domain.devices.device import LOCAL, Device
from hettui.domain.llama.build import NEWEST_BUILD
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.context import context_size
from hettui.domain.memory.forecast import Forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.model.companions import ALONE, Companions
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.plan import Plan
from hettui.domain.planner.headroom import propose
from hettui.domain.planner.learned import Learned
from hettui.domain.planner.objectives import (
    LEAST_USEFUL_CONTEXT,
    Beside,
    best_plan,
    comparable,
    fits_any_way,
    roomiest_context,
)
from hettui.domain.planner.promise import promised
from hettui.domain.records import dataclass


class Fit(IntEnum):
    """How well, the best first."""

    FITS = 0
    LESS_CONTEXT = 1
    """All of it, but with a smaller context than is configured."""
    OPEN = 2
    """A device that would hold layers has no known budget."""
    PARTLY_CPU = 3
    """Some blocks, or all, stay with this machine's CPU."""
    NOT = 4
    """Not even with the CPU's help."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Against what a model is judged. Equal ones give equal outlooks."""

    params: RuntimeParams
    devices: tuple[Device, ...]
    ram_bytes: int | None = None
    """Free memory of this machine; None is not known."""
    build: int = NEWEST_BUILD
    draft: ModelShape | None = None
    """Of the settings."""
    companions: Companions = ALONE

    def workload(self, shape: ModelShape) -> Workload:
        """The model, run here."""
        return Workload(shape, self.params, self.build, draft=self.draft, companions=self.companions)


@dataclass(frozen=True, eq=False)
class Outlook:
    """What the planner says of a model."""

    fit: Fit
    plan: Plan
    """What it is opened with."""
    ctx_size: int
    """With this plan."""
    short_bytes: int = 0
    """What is missing when it does not fit."""
    decode_tps: float | None = None
    """Of one stream; None is not known."""
    decode_off_tps: float = 0.0
    """How far that may be off: a standard deviation."""


def for_another_model(devices: Sequence[Device]) -> tuple[Device, ...]:
    """The devices without the layer counts and locks that were another model's."""
    return tuple(replace(d, layers=None, locked=False) for d in devices)


def judge(shape: ModelShape, around: Surroundings, learned: Learned | None = None) -> Outlook:
    """The mildest of: as configured in the given order of devices, in another order, with less context, partly on
    the CPU. Takes 10 to 200 ms: not between two keys."""
    learned = learned or Learned()
    workload, devices = around.workload(shape), around.devices
    plan = _first(workload, devices, Beside(around.ram_bytes, learned.host_rate_bytes_per_s))
    workload = workload.having(plan.settings(around.params))
    outlook = learned.forecast(workload, plan)
    if not devices or plan.split.host_layers or plan.away or not outlook.fits:
        other = _whole(around.workload(shape), devices)
        if other is not None:
            workload = workload.having(other.settings(around.params))
            plan, outlook = other, learned.forecast(workload, other)
    ctx_size = context_size(workload)
    short_bytes = short_of_ram(plan, outlook, around.ram_bytes)
    short_bytes += sum(outlook.short_bytes(i) for i in range(len(devices)))
    speed = promised(workload, plan.devices, plan.split, learned.host_rate_bytes_per_s)
    fit = _fit(plan, short_bytes)
    if speed is None:
        return Outlook(fit, plan, ctx_size, short_bytes)
    return Outlook(fit, plan, ctx_size, short_bytes, speed.per_second, speed.off_per_second)


def _first(workload: Workload, devices: tuple[Device, ...], beside: Beside) -> Plan:
    """The fastest for one stream where it is known which device is fast, and all of it fits, if only with experts or
    FFN in this machine's memory; else filled alike."""
    known = devices and comparable(devices)
    best = best_plan(workload, devices, "latency", beside=beside) if known else None
    if best is not None and best.found is not None:
        own = {d.name: d for d in devices}
        return replace(best.plan, devices=tuple(own[d.name] for d in best.plan.devices))
    return Plan(devices, propose(workload, devices))


def _fit(plan: Plan, short_bytes: int) -> Fit:
    if short_bytes:
        return Fit.NOT
    if plan.split.host_layers or plan.away:
        return Fit.PARTLY_CPU
    if any(d.budget_bytes is None for d, n in zip(plan.devices, plan.split.layers, strict=True) if n):
        return Fit.OPEN
    return Fit.FITS if plan.ctx_size is None else Fit.LESS_CONTEXT


def _whole(workload: Workload, devices: tuple[Device, ...]) -> Plan | None:
    """All of it on the devices, in any order: with the configured context, else with the largest that fits."""
    shape = workload.shape
    budgets = [d.budget_bytes for d in devices]
    if not devices or (None not in budgets and shape.weights_bytes - shape.host_bytes > sum(b or 0 for b in budgets)):
        return None
    if fits_any_way(workload, devices):
        best = best_plan(workload, devices, "latency")
    else:
        best = best_plan(workload, devices, "fit")
        if (best.plan.ctx_size or 0) < LEAST_USEFUL_CONTEXT:
            return None
    return best.plan if best.found is not None else None


def short_of_ram(plan: Plan, outlook: Forecast, ram_bytes: int | None) -> int:
    """What this machine's memory lacks for the host's part and that of the CPU devices here.

    Weights count once, and only those that are read: pages of the file that lie between them can be dropped, and so can
    those of what the CPU repacks into buffers of its own.
    """
    if ram_bytes is None:
        return 0
    host = outlook.host
    need = min(host.weights_bytes, outlook.host_weights_bytes)
    need += host.context_bytes + host.compute_bytes + host.overhead_bytes
    if (draft := outlook.draft) is not None:
        need += min(draft.host.weights_bytes, draft.host_read_bytes)
        need += draft.host.context_bytes + draft.host.compute_bytes
    need += host.beside_bytes
    cpus = zip(plan.devices, outlook.devices, strict=True)
    need += sum(m.total_bytes for d, m in cpus if d.backend == "cpu" and d.host == LOCAL)
    return max(0, need - ram_bytes)


def largest_context(shape: ModelShape, around: Surroundings) -> int | None:
    """The largest context with which all of it fits in any order; None where a budget is not known, or none does."""
    if not around.devices or any(d.budget_bytes is None for d in around.devices):
        return None
    return roomiest_context(around.workload(shape), around.devices) or None
