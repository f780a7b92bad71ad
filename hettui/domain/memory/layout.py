"""A model and its settings as the facts from which the compute buffer is sketched (`compute`)."""

from __future__ import annotations

from dataclasses import replace

from hettui.domain.llama.build import OVERLAPPING_BUILD
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory import compute
from hettui.domain.memory.altup import AltUp
from hettui.domain.memory.beside_model import ranks
from hettui.domain.memory.context import CACHE_BYTES, cells, context_size, contexts, padded, state_copies
from hettui.domain.memory.flash import Attention
from hettui.domain.memory.graph import Batch, Rules, Shapes
from hettui.domain.memory.weights import tensor_bytes, tensors_on_host
from hettui.domain.memory.workload import Workload, remembered
from hettui.domain.model.architecture import architecture
from hettui.domain.model.block_context import head_width
from hettui.domain.model.shape import ModelShape
from hettui.domain.model.weights import Part
from hettui.domain.units import MIB

_NOT_QUANTISED = ("f32", "f16", "bf16")


@remembered
def layout_of(
    workload: Workload,
    full_offload: bool,
    backend: str = "cpu",
    attached: bool = False,
    attends: Attention = "fused",
) -> compute.Layout:
    """`full_offload`: nothing stays on the host. `backend`: of the device whose buffer is asked for, and whether the
    master drives it itself."""
    shape, params = workload.shape, workload.params
    file, arch, newer = shape.file, shape.file.architecture, workload.build >= OVERLAPPING_BUILD
    kind, kept = architecture(arch), contexts(workload)
    window = max((c.window for c in kept), default=0)
    head_k, head_v = (head_width(file, shape.blocks, which) for which in ("key", "value"))
    return compute.Layout(
        blocks=tuple(Shapes(s) for s in shape.tensor_shapes),
        contexts=kept,
        rules=replace(
            _rules(workload, head_v, full_offload=full_offload, windows=window > 0),
            fuses=newer and attached and backend == "cuda",
            newer=newer,
            state_copies=state_copies(workload),
            attends_on_host=attends == "on the host",
        ),
        batch=_batch(workload, window, attends, cache_in_f16=newer and backend == "cuda"),
        n_embd=shape.n_embd,
        n_vocab=shape.n_vocab,
        inner=file.integer("ssm.inner_size"),
        kernel=file.integer("ssm.conv_kernel"),
        positions=4 if f"{arch}.rope.dimension_sections" in file.metadata else 1,
        last_block=shape.blocks - 1 - shape.mtp_blocks,
        mixed_inputs=newer and kind.mixed_batches,
        late_outputs=kind.late_outputs if newer or kind.late_in_older_builds else "",
        scaled_embedding=kind.scaled_embedding or f"{arch}.embedding_scale" in file.metadata,
        rotation_k=0 if params.cache_type_k in _NOT_QUANTISED else _rotation(head_k),
        rotation_v=0 if params.cache_type_v in _NOT_QUANTISED else min(64, _rotation(head_v)),
        on_host=tensors_on_host(workload),
        tensors=() if full_offload else tensor_bytes(workload),
        altup=_altup(shape),
        adapted=ranks(workload),
        rope_table_bytes=max((p.tensor.size_bytes for p in shape.placed if p.part is Part.ROPE), default=0),
    )


def _altup(shape: ModelShape) -> AltUp | None:
    copies, width = (shape.file.integer(key) for key in ("altup.num_inputs", "embedding_length_per_layer_input"))
    return AltUp(min(copies, 16), width, shape.blocks) if copies > 1 and width else None


def _batch(workload: Workload, window: int, attends: Attention, *, cache_in_f16: bool) -> Batch:
    """The largest micro-batch, for which llama.cpp reserves. `cache_in_f16`: the backend converts other types."""
    params, geometry = workload.params, cells(workload.params, context_size(workload))
    asked = params.flash_attn != "off" and architecture(workload.shape.file.architecture).flash_attn
    flash = asked and attends not in ("apart", "given up")
    window_cells = geometry.windowed(window, params)
    tokens = padded(geometry.ubatch, params.slots)
    mask_row = tokens * (2 if flash else 4)
    return Batch(
        tokens=tokens,
        sequences=params.slots,
        outputs=_outputs(params, tokens),
        flash_attn=flash,
        streams=geometry.streams,
        cells=geometry.full,
        window_cells=window_cells,
        mask_bytes=geometry.full * mask_row,
        window_mask_bytes=window_cells * mask_row,
        cache_types=(CACHE_BYTES[params.cache_type_k], CACHE_BYTES[params.cache_type_v]),
        turns_values=asked and not flash,
        cache_in_f16=cache_in_f16 and (params.cache_type_k, params.cache_type_v) != ("f16", "f16"),
    )


def _outputs(params: RuntimeParams, tokens: int) -> int:
    """Rows of a micro-batch that become logits: one a slot, and one for each token that is proposed to be checked
    (`server_output_limits`; b10068 and b11549 alike)."""
    each = 1 + (params.draft.most if params.draft is not None else 0)
    return min(params.slots * each, params.batch_size, tokens) if each > 1 else min(params.slots, tokens)


def _rules(workload: Workload, head_v: int, *, full_offload: bool, windows: bool) -> Rules:
    shape, file = workload.shape, workload.shape.file
    kind = architecture(file.architecture)
    return Rules(
        heads=max(shape.n_head, default=0),
        experts_used=file.integer("expert_used_count"),
        softcap=f"{file.architecture}.attn_logit_softcapping" in file.metadata,
        keys_first=windows,
        weights_before_experts=kind.weights_before_experts,
        norms_expert_weights=kind.norms_expert_weights
        or (
            kind.norms_expert_weights is None and file.metadata.get(f"{file.architecture}.expert_weights_norm") is True
        ),
        residual_first=kind.residual_first,
        full_offload=full_offload,
        rank_mla=file.integer("attention.kv_lora_rank"),
        rope_dims=file.integer("rope.dimension_count"),
        head_v=file.integer("attention.value_length_mla") or head_v,
    )


def _rotation(head: int) -> int:
    """The largest power of two, at least 64, that divides a head (`llama_kv_cache`, both builds)."""
    width = 64
    if not head or head % width:
        return 0
    while head % (2 * width) == 0:
        width *= 2
    return width


def input_copies(workload: Workload, *, several: bool, full_offload: bool) -> int:
    """How many copies llama.cpp keeps of every input: several when it overlaps micro-batches."""
    overlaps = several and full_offload and workload.build >= OVERLAPPING_BUILD and not workload.params.overrides
    return compute.COPIES if overlaps else 1


def compute_error_bytes(shape: ModelShape, compute_bytes: int) -> int:
    """How far the real compute buffer may be off the forecast: see docs/measurements.md."""
    if not compute_bytes:
        return 0
    kind = architecture(shape.file.architecture)
    part = kind.compute_error if kind.known else 0.5
    return max(MIB, round(compute_bytes * part))
