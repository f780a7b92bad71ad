"""What would fit: the largest context for a split, what stands in the way of a plan, and the smallest changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from hettui.domain.devices.device import Device
from hettui.domain.llama.params import LAYER_MODE, RuntimeParams
from hettui.domain.memory.context import context_size
from hettui.domain.memory.costs import LayerCosts
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.model.ggml import TYPES_BY_NAME
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.split import Split
from hettui.domain.planner.headroom import propose
from hettui.domain.planner.objectives import LEAST_USEFUL_CONTEXT, fits_any_way, largest_context_that, roomiest_context
from hettui.domain.records import dataclass
from hettui.domain.text import clean_line
from hettui.domain.units import format_bytes

_LEAST_UBATCH = 64
_SMALLER_TYPES = ("q8_0", "q6_K", "q5_K", "q4_K", "iq4_xs", "q3_K", "iq3_xxs", "q2_K", "iq2_xs", "iq2_xxs")
"""What models are quantised to, the largest first."""


@dataclass(frozen=True, slots=True)
class Way:
    """One change with which everything fits."""

    words: str
    workload: Workload
    split: Split | None
    """None: the planner finds one, in another order of the devices."""


@dataclass(frozen=True, slots=True)
class Question:
    """A plan that is asked about."""

    workload: Workload
    split: Split
    devices: Sequence[Device]

    def fits(self, workload: Workload | None = None, split: Split | None = None) -> bool:
        return forecast(workload or self.workload, split or self.split, self.devices).fits


def largest_context(asked: Question) -> int:
    """The largest `ctx-size` with which this split fits, up to the model's training length; 0 when none does."""
    return largest_context_that(asked.workload, asked.fits)


def obstacle(asked: Question) -> str | None:
    """Why no split at all puts the model on the devices, in one sentence; None when one does."""
    workload, shape, devices = asked.workload, asked.workload.shape, tuple(asked.devices)
    if not devices:
        return "There is no device to put layers on: everything stays on this machine's CPU."
    locked = [(d, d.layers or 0) for d in devices if d.locked]
    if sum(n for _, n in locked) > shape.layers:
        names = ", ".join(f"{clean_line(d.name, 40)} {n}" for d, n in locked)
        return f"The locks ask for more than the {shape.layers} layers there are: {names}."
    if fits_any_way(workload, devices):
        return None
    if workload.params.shares_tensors:
        return "In no proportions that were tried do the shares fit on the cards of this machine."
    costs = LayerCosts(workload, devices, several=len(devices) > 1)
    reach = [costs.reach(i, d.budget_bytes) for i, d in enumerate(devices)]
    most = [max((last + 1 - first for last, first in enumerate(r)), default=0) for r in reach]
    for i, device in enumerate(devices):
        count = device.layers or 0
        if device.locked and count > most[i]:
            return f"{clean_line(device.name, 40)} is locked at {count} layers, but at most {most[i]} fit there."
    if not any(most):
        least = min(costs.held_bytes(i, 1, 1) for i in range(len(devices))) if shape.blocks > 1 else 0
        largest = max((d.budget_bytes or 0 for d in devices), default=0)
        return (
            f"No device can hold even one block: it takes {format_bytes(least)} with its share of the context and "
            f"compute buffers, and the largest budget is {format_bytes(largest)}."
        )
    if fits_any_way(workload, tuple(replace(d, locked=False) for d in devices)):
        names = ", ".join(clean_line(d.name, 40) for d, _ in locked)
        return f"With the locks ({names}) no split fits; without them one does."
    return _too_little_room(shape, devices, reach)


def _too_little_room(shape: ModelShape, devices: Sequence[Device], reach: Sequence[Sequence[int]]) -> str:
    """How many blocks find room at most when one device holds the output layer, too. `reach` is of every device the
    smallest first layer for every last one; the last is the output layer."""
    blocks = [max((last + 1 - first for last, first in enumerate(r[:-1])), default=0) for r in reach]
    beside = [shape.layers - r[-1] - 1 for r in reach]
    ends = [i for i in range(len(devices)) if beside[i] >= 0]
    if not ends:
        return (
            f"No device can hold the output layer: it takes {format_bytes(shape.output_bytes)} beside its compute "
            "buffers."
        )
    end = max(ends, key=lambda i: beside[i] - blocks[i])
    counts = [beside[i] if i == end else n for i, n in enumerate(blocks)]
    names = ", ".join(
        f"{clean_line(d.name, 40)} {n}{' and the output layer' if i == end else ''}"
        for i, (d, n) in enumerate(zip(devices, counts, strict=True))
    )
    if sum(counts) >= shape.blocks:
        return f"By themselves the devices hold enough of the {shape.blocks} blocks ({names}), but no split does fit."
    return f"The devices can hold at most {sum(counts)} of the {shape.blocks} blocks: {names}."


def ways_to_fit(asked: Question) -> list[Way]:
    """What makes a plan fit that does not, each change by itself, the mildest first; empty when nothing does.

    Where the plan's own split does not do even then, the planner's split or another order of the devices is said.
    """
    workload, params, split = asked.workload, asked.workload.params, asked.split
    shape = workload.shape
    found = [way for way in (_way(asked, "", workload),) if way]
    if params.shares_tensors:
        whole = workload.having(replace(params, split_mode=LAYER_MODE))
        layered = _way(asked, "whole layers: --split-mode layer", whole)
        found += [layered] if layered else []
    for changes in (_smaller_batches(params), _smaller_caches(params), _fewer_slots(params)):
        ways = (_way(asked, words, workload.having(changed)) for words, changed in changes)
        found += [way for way in (next((way for way in ways if way), None),) if way]
    context = largest_context(asked)
    if context < LEAST_USEFUL_CONTEXT:
        context = roomiest_context(workload, asked.devices)
    if LEAST_USEFUL_CONTEXT <= context < context_size(workload):
        roomy = workload.having(replace(params, ctx_size=context))
        smaller = _way(asked, f"a smaller context: --ctx-size {context}", roomy)
        found += [smaller] if smaller else []
    if not found:
        ways = (
            _way(asked, f"the model quantised to about {kind.upper()}", _quantised(workload, smaller))
            for kind, smaller in _smaller_models(shape)
        )
        found += [way for way in (next((way for way in ways if way), None),) if way]
        other = propose(workload, asked.devices)
        if other.active and other.host_layers and asked.fits(split=other):
            found.append(Way(f"the first {other.host_layers} layers on the host", workload, other))
        elif split.active and not other.active:
            found.append(Way("everything on the host", workload, other))
    return found


def _quantised(workload: Workload, smaller: ModelShape) -> Workload:
    return Workload(smaller, workload.params, workload.build, workload.extra_args, workload.draft, workload.companions)


def _way(asked: Question, words: str, workload: Workload) -> Way | None:
    """The change when something fits with it: this split, the planner's for this order, or any; None when not."""
    with_it = replace(asked, workload=workload)
    # A split that leaves layers on the host on purpose may stay so; one that had to may not.
    if with_it.fits() and (not asked.split.host_layers or not asked.fits()):
        return Way(words, workload, asked.split)
    other = propose(workload, asked.devices)
    sep = ", with " if words else ""
    if not other.host_layers and with_it.fits(split=other):
        return Way(f"{words}{sep}another split: {','.join(map(str, other.layers))}", workload, other)
    if fits_any_way(workload, asked.devices):
        return Way(f"{words}{sep}another order of the devices: --objective latency", workload, None)
    return None


_Changes = Iterator[tuple[str, RuntimeParams]]


def _smaller_batches(params: RuntimeParams) -> _Changes:
    halved = params.ubatch_size // 2
    while halved >= _LEAST_UBATCH:
        yield f"a smaller micro-batch: --ubatch-size {halved}", replace(params, ubatch_size=halved)
        halved //= 2


def _smaller_caches(params: RuntimeParams) -> _Changes:
    if params.flash_attn == "off":
        return
    for kind in ("q8_0", "q4_0"):
        if (params.cache_type_k, params.cache_type_v) != (kind, kind):
            yield (
                f"a {kind} KV cache: -ctk {kind} -ctv {kind}",
                replace(params, cache_type_k=kind, cache_type_v=kind),
            )


def _fewer_slots(params: RuntimeParams) -> _Changes:
    for slots in range(params.slots - 1, 0, -1):
        yield f"fewer slots: --parallel {slots}", replace(params, parallel=slots, kv_unified=params.unified)


def _smaller_models(shape: ModelShape) -> Iterator[tuple[str, ModelShape]]:
    """The same model with every matrix that takes more quantised to one type."""
    for name in _SMALLER_TYPES:
        kind, tensors, changed = TYPES_BY_NAME[name], [], False
        for tensor in shape.file.tensors:
            rows, rest = divmod(tensor.shape[0] if tensor.shape else 0, kind.elements)
            size = rows * kind.size_bytes
            for n in tensor.shape[1:]:
                size *= n
            if len(tensor.shape) < 2 or rest or size >= tensor.size_bytes:
                tensors.append(tensor)
            else:
                changed = True
                tensors.append(replace(tensor, type_name=name, size_bytes=size))
        if changed:
            yield name, ModelShape.of(replace(shape.file, tensors=tuple(tensors)))
