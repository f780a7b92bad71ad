"""The best split for what somebody wants: the order of the devices included, some left out where that is better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from hettui.domain.devices.device import Device, locked_layers
from hettui.domain.memory.context import context_size, context_step
from hettui.domain.memory.costs import LayerCosts
from hettui.domain.memory.forecast import draft_of
from hettui.domain.memory.workload import Workload
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.aim import Objective
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import HOST, Split
from hettui.domain.planner.fastest import fastest
from hettui.domain.planner.headroom import alone, propose
from hettui.domain.planner.most_even import fits_somehow, most_even
from hettui.domain.planner.promise import promised
from hettui.domain.planner.search import MAX_STEPS, Found, Problem
from hettui.domain.records import dataclass
from hettui.domain.speed.pace import below_s, pace

LEAST_USEFUL_CONTEXT = 1024
"""Tokens: with less nobody is helped."""


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
    workload: Workload, devices: Sequence[Device], objective: Objective, *, max_steps: int = MAX_STEPS,
    beside: Beside | None = None,
) -> Best:  # fmt: skip
    """`balanced` keeps the order: every device is filled to the same part of its budget.

    `latency`: least time per token of one stream, the sum over devices. `throughput`: with many streams the slowest
    device counts. `fit`: the largest context for which any split fits, and of those the split of least latency. All
    three choose the order and may leave devices out, which then come last, empty. What does not fit on devices as a
    whole is shared out as `balanced` does, and so is what devices shall be fast of which nothing is known. For latency
    experts, or of a dense model the FFN, go to the master's RAM, of as many blocks as must, where that is faster than
    whole layers there and `beside` says what there is of it.
    """
    devices = tuple(devices)
    if workload.params.shares_tensors and devices:
        return _shared(workload, devices, objective)
    if objective in ("latency", "throughput") and not guessable(devices):
        objective = "balanced"
    if objective != "balanced" and devices:
        ctx_size = roomiest_context(workload, devices) if objective == "fit" else None
        if ctx_size:
            workload = workload.having(replace(workload.params, ctx_size=ctx_size))
        found = _fastest(workload, devices, objective, max_steps)
        if found is not None:
            return Best(replace(_plan(workload.shape, devices, found), ctx_size=ctx_size or None), objective, found)
    alike = Plan(devices, propose(workload, devices))
    if objective == "latency" and beside is not None and alike.split.host_layers:
        return _apart(workload, alike, beside) or Best(alike, objective)
    return Best(alike, objective)


def _shared(workload: Workload, devices: tuple[Device, ...], objective: Objective) -> Best:
    """Proportions of every tensor: the slowest card counts, whatever the aim, and the order is as it is."""
    ctx_size = roomiest_context(workload, devices) if objective == "fit" else 0
    if ctx_size:
        workload = workload.having(replace(workload.params, ctx_size=ctx_size))
    return Best(Plan(devices, propose(workload, devices), ctx_size or None), objective)


@dataclass(frozen=True, slots=True)
class Beside:
    """The master's own memory."""

    ram_bytes: int | None = None
    """Free; None: not known."""
    bytes_per_s: float | None = None


def _apart(workload: Workload, alike: Plan, ram: Beside) -> Best | None:
    """With experts, or FFN, in RAM; None where they cannot be there, or whole layers on the CPU are faster."""
    # Only for models that do not fit: the first frame does without.
    from hettui.domain.planner.placing import with_parts_in_ram

    placed = with_parts_in_ram(workload, alike.devices, ram.ram_bytes, ram.bytes_per_s)
    if placed is None:
        return None
    plan, found = placed
    whole = promised(workload, alike.devices, alike.split, ram.bytes_per_s)
    if whole is not None and whole.token_s <= found.value:
        return None
    least = found.value if found.proven else 0.0
    return Best(plan, "latency", Found(found.value, found.order, found.counts, least))


def roomiest_context(workload: Workload, devices: Sequence[Device]) -> int:
    """The largest `ctx-size` for which any order and split fits, up to the model's training length; 0: none does."""
    return largest_context_that(workload, lambda asked: fits_any_way(asked, devices))


def largest_context_that(workload: Workload, fits: Callable[[Workload], bool]) -> int:
    """The largest `ctx-size` with which it fits, up to the model's training length or the one asked for; 0: none."""
    params, step = workload.params, context_step(workload.params)
    low, high = 0, max(workload.shape.n_ctx_train, context_size(workload)) // step
    while low < high:
        middle = (low + high + 1) // 2
        if fits(workload.having(replace(params, ctx_size=middle * step))):
            low = middle
        else:
            high = middle - 1
    return low * step


def fits_any_way(workload: Workload, devices: Sequence[Device]) -> bool:
    """Whether any order and split puts everything on the devices."""
    devices = tuple(devices)
    if workload.params.shares_tensors:
        return not propose(workload, devices).host_layers
    if not _draft_fits(workload, devices):
        return False
    if alone(LayerCosts(workload, devices, several=False), devices):
        return True
    together = LayerCosts(workload, devices, several=True)
    return len(devices) > 1 and fits_somehow(_problem(workload.shape, devices, together))


def _draft_fits(workload: Workload, devices: Sequence[Device]) -> bool:
    """A draft model on a device that may hold nothing else."""
    draft = draft_of(workload, devices)
    if draft is None or draft.device == HOST:
        return True
    device = devices[draft.device]
    return device.budget_bytes is None or draft.there.own_bytes + device.overhead_bytes <= device.budget_bytes


def _plan(shape: ModelShape, devices: tuple[Device, ...], found: Found) -> Plan:
    idle = [i for i in range(len(devices)) if i not in found.order]
    order = [*found.order, *idle]
    counts = (*found.counts, *(0 for _ in idle))
    return Plan(tuple(devices[i] for i in order), Split(counts, shape.layers))


def _fastest(workload: Workload, devices: tuple[Device, ...], objective: Objective, max_steps: int) -> Found | None:
    problem = _problem(workload.shape, devices, LayerCosts(workload, devices, several=True))
    whole = workload.shape.layers
    able = alone(LayerCosts(workload, devices, several=False), devices)
    values = [(problem.cost(i, 0, whole - 1), i) for i in able]
    found = [Found(value, (i,), (whole,), value) for value, i in values]
    if len(devices) > 1:
        several = (most_even if objective == "throughput" else fastest)(problem, max_steps)
        found += [several] if several is not None else []
    if not found:
        return None
    best = min(found, key=lambda f: f.value)
    return Found(best.value, best.order, best.counts, min(f.least for f in found))


def _problem(shape: ModelShape, devices: tuple[Device, ...], costs: LayerCosts) -> Problem:
    """Tables for the search. Devices that are alike share theirs."""
    reaches: dict[tuple[object, ...], list[int]] = {}
    for i, d in enumerate(devices):
        kind = (d.backend, d.budget_bytes, costs.besides_bytes(i))
        if kind not in reaches:
            reaches[kind] = costs.reach(i, d.budget_bytes)
    return Problem(
        shape.layers,
        [reaches[d.backend, d.budget_bytes, costs.besides_bytes(i)] for i, d in enumerate(devices)],
        [below_s(shape, pace(d)) for d in devices],
        [pace(d).hop_s for d in devices],
        locked=locked_layers(devices),
    )


Asked = tuple[Workload, tuple[Device, ...], Objective, Beside | None]
"""What the planner is asked for one objective."""

_MOST_REMEMBERED = 32
_remembered: dict[Asked, Best] = {}
"""The newest last."""


def comparable(devices: Sequence[Device]) -> bool:
    """Whether it can be said which of them is faster: all were measured, or have data of their own."""
    return all(pace(d).known for d in devices)


def guessable(devices: Sequence[Device]) -> bool:
    """Whether a fast plan can be looked for at all: what this machine's CPUs do can be assumed, what a card does that
    nobody knows, or that is only named, cannot."""
    return all(pace(d).known or (d.backend == "cpu" and d.id == "cpu") for d in devices)


def asked_of(workload: Workload, plan: Plan, objective: Objective, beside: Beside | None = None) -> Asked:
    """Of the plan only the locked counts matter, and for `balanced` the order."""
    counts = zip(plan.devices, plan.split.layers, strict=True)
    wanted = ((d, n if d.locked else None) for d, n in counts)
    devices = [d if d.layers == n else replace(d, layers=n) for d, n in wanted]
    if objective != "balanced":
        devices.sort(key=lambda d: d.name)
    return workload, tuple(devices), objective, beside


def remembered(asked: Asked) -> Best | None:
    """The answer, where it was found before: sliders ask for the same at every move. Takes no time."""
    return _remembered.get(asked)


def answer(asked: Asked) -> Best:
    """The answer, by a search where it is not known. On any thread."""
    best = _remembered.get(asked)
    if best is None:
        workload, devices, objective, beside = asked
        best = best_plan(workload, devices, objective, beside=beside)
        _remembered[asked] = best
        while len(_remembered) > _MOST_REMEMBERED:
            # Another thread may have been faster.
            with suppress(StopIteration, RuntimeError):
                _remembered.pop(next(iter(_remembered)), None)
    return best


def wanted(workload: Workload, plan: Plan, objective: Objective, beside: Beside | None = None) -> Best:
    """What the planner would do with the plan's devices, at once or after a search."""
    return answer(asked_of(workload, plan, objective, beside))
