"""Whether llama.cpp computes attention as one operation, and where: what `--flash-attn auto` comes to.

With `auto` llama.cpp looks where the operation of each block would be computed, for one token a slot, and does without
when that is another device than the block's (llama-context.cpp of b11549, seen in real loads of lfm2 and deepseek2 in
b10068 and b11434). That happens where a device has no kernel for such heads, and where the last block on the host
attends: what follows it in the graph is the lookup of a recurrent state on a device, and the operation goes there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from hettui.domain.devices.device import Device
from hettui.domain.memory.context import contexts
from hettui.domain.memory.workload import Workload, remembered
from hettui.domain.model.architecture import architecture
from hettui.domain.model.block_context import head_width
from hettui.domain.plan.split import HOST, Split

Attention = Literal["fused", "apart", "given up", "on the host"]
"""One operation; several, as asked for; several, since one was not possible everywhere; one, by the host."""

_SAME_WIDTHS = frozenset({40, 64, 72, 80, 96, 112, 128, 256, 512})
"""Of a head of K and V, of those that are as wide (`ggml_cuda_get_best_fattn_kernel`, fattn.cu)."""
_OTHER_WIDTHS = {(192, 128): 8, (320, 256): 32, (576, 512): 1}
"""K's and V's, and of what the query heads for each head of K must be a multiple."""


def attention(workload: Workload, split: Split, devices: Sequence[Device]) -> Attention:
    """How one plan's attention is computed. Without devices all are CPU workers."""
    asked = workload.params.flash_attn
    if asked == "off" or not architecture(workload.shape.file.architecture).flash_attn:
        return "apart"
    attending = [i for i, kept in enumerate(contexts(workload)) if kept.k_width]
    cards = {i for i, d in enumerate(devices) if d.helps_host and d.backend == "cuda"}
    lacks_kernel = bool(cards) and not _has_kernel(workload)
    if asked == "on":
        return "on the host" if lacks_kernel and cards & set(split.active) else "fused"
    places = _places(workload, split)
    if lacks_kernel and any(places[i] in cards for i in attending):
        return "given up"
    return "given up" if any(places[i] == HOST != places[j] for i, j in _followed(workload)) else "fused"


def _places(workload: Workload, split: Split) -> list[int]:
    places = [HOST] * min(split.host_layers, workload.shape.blocks)
    for i in split.active:
        places += [i] * len(split.block_range(i))
    return places


@remembered
def _followed(workload: Workload) -> tuple[tuple[int, int], ...]:
    """Blocks that attend, each with the recurrent one whose state is looked up next: what is between comes into the
    graph when something needs its result, the lookup at once (`build_rs`), and so do chosen experts."""
    found, before = list[tuple[int, int]](), None
    for i, (kept, tensors) in enumerate(zip(contexts(workload), workload.shape.tensor_shapes, strict=True)):
        if kept.k_width:
            before = None if kept.state_values or "ffn_gate_inp.weight" in tensors else i
        elif kept.state_values:
            # Linear attention puts what it reads into the graph first.
            at_once = "shortconv.in_proj.weight" in tensors or "attn_gate.weight" not in tensors
            if before is not None and at_once:
                found.append((before, i))
            before = None
    return tuple(found)


@remembered
def _has_kernel(workload: Workload) -> bool:
    """Whether CUDA has a kernel for heads of these widths."""
    shape = workload.shape
    file, kept = shape.file, [c for c in contexts(workload) if c.k_width]
    heads = max(shape.n_head, default=0)
    if any(c.latent for c in kept):
        widths = file.integer("attention.key_length"), file.integer("attention.value_length")
        heads_kv = 1
    else:
        widths = head_width(file, shape.blocks, "key"), head_width(file, shape.blocks, "value")
        heads_kv = max((c.k_width for c in kept), default=0) // max(1, widths[0])
    if widths[0] == widths[1]:
        return widths[0] in _SAME_WIDTHS
    multiple = _OTHER_WIDTHS.get(widths)
    return multiple is not None and heads_kv > 0 and heads // heads_kv % multiple == 0
