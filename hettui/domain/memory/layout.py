"""A model and its settings as the facts from which the compute buffer is sketched (`compute`)."""

from __future__ import annotations

from hettui.domain.llama.build import OVERLAPPING_BUILD
from hettui.domain.memory import compute
from hettui.domain.memory.context import cells, context_size, contexts, known, padded
from hettui.domain.memory.graph import Batch, Rules, Shapes
from hettui.domain.memory.weights import host_experts
from hettui.domain.memory.workload import Workload, remembered
from hettui.domain.model.architecture import head_width
from hettui.domain.model.shape import ModelShape
from hettui.domain.units import MIB

_NOT_QUANTISED = ("f32", "f16", "bf16")

_NO_FLASH_ATTENTION = frozenset({"grok"})

_WEIGHTS_BEFORE_EXPERTS = frozenset({"llama4"})

_RESIDUAL_FIRST = frozenset({"lfm2", "lfm2moe"})

_NO_MIXED_BATCHES = frozenset({"cogvlm", "deepseek4", "granite-switch", "eagle3", "dflash", "gemma4-assistant"})
"""`llm_arch_supports_mixed_batch` of b11434."""

_LATE_OUTPUTS = frozenset({"qwen35", "qwen35moe"})

_LATE_OUTPUTS_SINCE_OVERLAPPING = frozenset(
    {"bailingmoe3", "cohere2moe", "gemma4", "gpt-oss", "hy-v3", "nemotron_h", "nemotron_h_moe", "qwen3next",
     "qwen4exp", "step35"}
)  # fmt: skip
"""src/models/*.cpp: `inp_out_ids` are applied in the last block only with `embeddings_nextn_masked`."""


@remembered
def layout_of(workload: Workload, full_offload: bool, backend: str = "cpu") -> compute.Layout:
    """`full_offload`: nothing stays on the host. `backend`: of the device whose buffer is asked for."""
    shape, params, build = workload.shape, workload.params, workload.build
    file, arch, newer = shape.file, shape.file.architecture, build >= OVERLAPPING_BUILD
    kept = contexts(workload)
    geometry = cells(params, context_size(workload))
    flash = params.flash_attn != "off" and arch not in _NO_FLASH_ATTENTION
    window = max((c.window for c in kept), default=0)
    window_cells = geometry.windowed(window, params)
    tokens = padded(geometry.ubatch, params.slots)
    mask_row = tokens * (2 if flash else 4)
    batch = Batch(
        tokens=tokens,
        sequences=params.slots,
        outputs=min(params.slots, tokens),
        flash_attn=flash,
        streams=geometry.streams,
        cells=geometry.full,
        window_cells=window_cells,
        mask_bytes=geometry.full * mask_row,
        window_mask_bytes=window_cells * mask_row,
        cache_in_f16=newer and backend == "cuda" and (params.cache_type_k, params.cache_type_v) != ("f16", "f16"),
    )
    head_k, head_v = (head_width(file, shape.blocks, which) for which in ("key", "value"))
    rules = Rules(
        heads=max(shape.n_head, default=0),
        experts_used=file.integer("expert_used_count"),
        softcap=f"{arch}.attn_logit_softcapping" in file.metadata,
        keys_first=window > 0,
        weights_before_experts=arch in _WEIGHTS_BEFORE_EXPERTS,
        residual_first=arch in _RESIDUAL_FIRST,
        full_offload=full_offload,
        rank_mla=file.integer("attention.kv_lora_rank"),
        rope_dims=file.integer("rope.dimension_count"),
        head_v=file.integer("attention.value_length_mla") or head_v,
    )
    late = arch in _LATE_OUTPUTS or (newer and arch in _LATE_OUTPUTS_SINCE_OVERLAPPING)
    return compute.Layout(
        blocks=tuple(Shapes(s) for s in shape.tensor_shapes),
        contexts=kept,
        rules=rules,
        batch=batch,
        n_embd=shape.n_embd,
        n_vocab=shape.n_vocab,
        inner=file.integer("ssm.inner_size"),
        kernel=file.integer("ssm.conv_kernel"),
        positions=4 if f"{arch}.rope.dimension_sections" in file.metadata else 1,
        last_block=shape.blocks - 1 - shape.mtp_blocks,
        mixed_inputs=newer and arch not in _NO_MIXED_BATCHES,
        late_outputs="" if not late else "before norm" if arch == "gpt-oss" else "after norm",
        scaled_embedding=arch.startswith("gemma") or f"{arch}.embedding_scale" in file.metadata,
        rotation_k=0 if params.cache_type_k in _NOT_QUANTISED else _rotation(head_k),
        rotation_v=0 if params.cache_type_v in _NOT_QUANTISED else min(64, _rotation(head_v)),
        host_experts=host_experts(workload),
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
    """How far the real compute buffer may be off the forecast: see the measured table in README."""
    if not compute_bytes:
        return 0
    arch = shape.file.architecture
    part = _ERROR_PARTS.get(arch, 0.02) if known(shape) else 0.5
    return max(MIB, round(compute_bytes * part))


_ERROR_PARTS = {
    "deepseek2": 0.18, "ernie4_5-moe": 0.07, "falcon-h1": 0.44, "gemma3n": 1.4, "gpt-oss": 0.07,
    "granitehybrid": 0.4, "granitemoe": 0.05, "hunyuan-moe": 0.05, "jamba": 0.12, "llama4": 0.17, "mamba": 0.14,
    "mamba2": 0.57, "minimax-m2": 0.07, "nemotron_h": 0.28, "nemotron_h_moe": 0.28, "qwen2moe": 0.09,
    "qwen35": 0.08, "qwen35moe": 0.2, "qwen3moe": 0.05, "qwen3next": 0.05, "smollm3": 0.06,
}  # fmt: skip
"""Of 100 measured loads of an architecture 99 are nearer than this; 2 % or 1 MiB for the others."""
