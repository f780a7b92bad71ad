"""What would fit: the largest context for a split, and the smallest changes that make a plan fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hettui.domain.device import Device
from hettui.domain.memory import context_size, forecast
from hettui.domain.model import ModelShape
from hettui.domain.params import RuntimeParams
from hettui.domain.planner import propose
from hettui.domain.split import Split

_STEP = 256
"""llama.cpp pads the context to this."""
_LEAST_USEFUL_CONTEXT = 1024
_LEAST_UBATCH = 64


@dataclass(frozen=True, slots=True)
class Way:
    """One change with which everything fits."""

    words: str
    params: RuntimeParams
    split: Split


@dataclass(frozen=True, slots=True)
class Question:
    """A plan that is asked about."""

    shape: ModelShape
    params: RuntimeParams
    split: Split
    devices: Sequence[Device]
    build: int

    def fits(self, params: RuntimeParams | None = None, split: Split | None = None) -> bool:
        outlook = forecast(self.shape, params or self.params, split or self.split, self.devices, build=self.build)
        return outlook.fits


def largest_context(asked: Question) -> int:
    """The largest `ctx-size` with which this split fits, up to the model's training length; 0 when none does."""
    base = asked.params
    step = _STEP if base.unified else _STEP * base.slots
    low, high = 0, max(asked.shape.n_ctx_train, context_size(asked.shape, base)) // step
    while low < high:
        middle = (low + high + 1) // 2
        if asked.fits(replace(base, ctx_size=middle * step)):
            low = middle
        else:
            high = middle - 1
    return low * step


def ways_to_fit(asked: Question) -> list[Way]:
    """What makes a plan fit that does not, each change by itself, the mildest first; empty when nothing does."""
    shape, params, split = asked.shape, asked.params, asked.split
    found = []
    other = propose(shape, params, asked.devices, build=asked.build)
    if not other.host_layers and asked.fits(split=other):
        layers = ",".join(map(str, other.layers))
        found.append(Way(f"another split: {layers}", params, other))
    halved = params.ubatch_size // 2
    while halved >= _LEAST_UBATCH:
        smaller = replace(params, ubatch_size=halved)
        if asked.fits(smaller):
            found.append(Way(f"a smaller micro-batch: --ubatch-size {halved}", smaller, split))
            break
        halved //= 2
    if params.flash_attn != "off":
        for kind in ("q8_0", "q4_0"):
            quantised = replace(params, cache_type_k=kind, cache_type_v=kind)
            if (params.cache_type_k, params.cache_type_v) != (kind, kind) and asked.fits(quantised):
                found.append(Way(f"a {kind} KV cache: -ctk {kind} -ctv {kind}", quantised, split))
                break
    if params.slots > 1:
        for slots in range(params.slots - 1, 0, -1):
            fewer = replace(params, parallel=slots, kv_unified=params.unified)
            if asked.fits(fewer):
                found.append(Way(f"fewer slots: --parallel {slots}", fewer, split))
                break
    context = largest_context(asked)
    if _LEAST_USEFUL_CONTEXT <= context < context_size(shape, params):
        found.append(Way(f"a smaller context: --ctx-size {context}", replace(params, ctx_size=context), split))
    if not found and other.active and other.host_layers and asked.fits(split=other):
        found.append(Way(f"the first {other.host_layers} layers on the host", params, other))
    return found
