"""What each block keeps for the slots: KV cache and recurrent state, to the byte."""

from __future__ import annotations

from hettui.domain.llama.build import OVERLAPPING_BUILD
from hettui.domain.llama.params import DRAFT_MTP, RuntimeParams
from hettui.domain.memory.workload import Workload, remembered
from hettui.domain.model.architecture import architecture
from hettui.domain.model.block_context import BlockContext
from hettui.domain.model.shape import ModelShape
from hettui.domain.records import dataclass

CACHE_BYTES = {
    "f32": (4, 1), "f16": (2, 1), "bf16": (2, 1), "q8_0": (34, 32), "q5_1": (24, 32),
    "q5_0": (22, 32), "q4_1": (20, 32), "q4_0": (18, 32), "iq4_nl": (18, 32),
}  # fmt: skip
"""Of ggml's cache types: bytes, and how many elements they hold."""


def padded(value: int, to: int = 256) -> int:
    return -(-value // to) * to


def context_size(workload: Workload) -> int:
    """`ctx-size` with 0 replaced by the model's training length."""
    return workload.params.ctx_size or workload.shape.n_ctx_train


def context_step(params: RuntimeParams) -> int:
    """What a context is padded to: 256 for each stream."""
    return 256 if params.unified else 256 * params.slots


@dataclass(frozen=True, slots=True)
class Cells:
    """The KV cache's geometry (`llama_context` and `llama_kv_cache_iswa`, the same in both builds)."""

    streams: int
    """One for all slots when unified, else one per slot."""
    full: int
    """Cells of one stream for a block that sees everything."""
    ubatch: int
    """Tokens of a micro-batch, after the context's limit."""

    def windowed(self, window: int, params: RuntimeParams) -> int:
        """Cells of one stream for a block that sees `window` tokens: the window and one micro-batch."""
        if params.swa_full:
            return self.full
        seen = window * (params.slots if params.unified else 1) + self.ubatch
        return min(self.full, padded(min(self.full, seen)))


def cells(params: RuntimeParams, ctx_size: int) -> Cells:
    """llama.cpp pads the context to 256, and each stream's share of it again."""
    total = padded(ctx_size)
    ubatch = min(params.ubatch_size, params.batch_size, max(1, ctx_size))
    if params.unified:
        return Cells(1, total, ubatch)
    return Cells(params.slots, padded(total // params.slots), ubatch)


@remembered
def contexts(workload: Workload) -> tuple[BlockContext, ...]:
    """What each block keeps. Newer builds keep nothing for MTP blocks, older ones for those of some architectures."""
    shape = workload.shape
    found = shape.contexts
    apart = workload.build >= OVERLAPPING_BUILD or architecture(shape.file.architecture).mtp_apart
    if apart and shape.mtp_blocks:
        return found[: -shape.mtp_blocks] + (BlockContext(),) * shape.mtp_blocks
    return found


def known(shape: ModelShape) -> bool:
    """Whether the architecture was read in llama.cpp; another one gets the general rule."""
    return architecture(shape.file.architecture).known


def _cell_bytes(context: BlockContext, params: RuntimeParams, v_width: int) -> int:
    k_bytes, k_elements = CACHE_BYTES[params.cache_type_k]
    v_bytes, v_elements = CACHE_BYTES[params.cache_type_v]
    return context.k_width * k_bytes // k_elements + v_width * v_bytes // v_elements


def kv_bytes_per_cell(workload: Workload, block: int) -> int:
    """K and V of one cell in one block; 0 for a block that keeps a state or nothing."""
    context = workload.shape.contexts[block]
    return _cell_bytes(context, workload.params, context.v_width)


@remembered
def kept_bytes_per_cell(workload: Workload) -> tuple[int, ...]:
    """K and V of one cell in each block, as they are reserved."""
    params, kept = workload.params, contexts(workload)
    widest_v = max((c.v_width for c in kept), default=0)
    # Without flash attention V lies transposed, with the same width in every block.
    transposed = params.flash_attn == "off"
    return tuple(_cell_bytes(c, params, widest_v if transposed and c.v_width else c.v_width) for c in kept)


def state_copies(workload: Workload) -> int:
    """Of a recurrent state: what an MTP block proposed may have to be taken back (`need_n_rs_seq`)."""
    draft = workload.params.draft
    back = draft is not None and draft.type == DRAFT_MTP and architecture(workload.shape.file.architecture).rolls_back
    return 1 + draft.most if draft is not None and back else 1


@remembered
def context_bytes_per_block(workload: Workload) -> tuple[int, ...]:
    """What each block keeps, for all slots: KV cache and recurrent state."""
    params = workload.params
    geometry, copies = cells(params, context_size(workload)), state_copies(workload)
    found = []
    for context, cell_bytes in zip(contexts(workload), kept_bytes_per_cell(workload), strict=True):
        depth = geometry.windowed(context.window, params) if context.window else geometry.full
        found.append(cell_bytes * depth * geometry.streams + context.state_values * 4 * params.slots * copies)
    return tuple(found)
