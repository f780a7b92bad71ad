"""The draft model as a workload of its own.

llama-server loads it after the model, with a second context: as many tokens, slots and micro-batches as the model's,
its own types of the cache, all of its layers in one place. Seen in real loads of b10068 and b10434; the rule is that of
`common_base_params_to_speculative` (b11549).
"""

from __future__ import annotations

from dataclasses import replace

from hettui.domain.llama.params import DRAFT_MTP, RuntimeParams
from hettui.domain.memory.context import context_size, padded
from hettui.domain.memory.workload import Workload, remembered
from hettui.domain.model.shape import ModelShape
from hettui.domain.model.weights import Part


@remembered
def draft_workload(workload: Workload) -> Workload | None:
    """The draft model with the settings that it runs with; None without one, or where nobody has read it. Of a model
    with an MTP block, that block as a model: its context is built on the model's own weights."""
    params, draft = workload.params, workload.params.draft
    shape = None
    if draft is not None:
        shape = workload.draft if draft.has_model else _mtp_shape(workload.shape) if draft.type == DRAFT_MTP else None
    if draft is None or shape is None:
        return None
    own = RuntimeParams(
        ctx_size=padded(context_size(workload)),
        parallel=params.parallel,
        kv_unified=params.kv_unified,
        batch_size=params.batch_size,
        ubatch_size=params.ubatch_size,
        cache_type_k=draft.cache_type_k,
        cache_type_v=draft.cache_type_v,
        flash_attn=params.flash_attn,
        swa_full=params.swa_full,
        load_mode=params.load_mode,
    )
    return Workload(shape, own, workload.build)


def _mtp_shape(shape: ModelShape) -> ModelShape | None:
    """The MTP blocks alone, with embedding and output: what their second context computes (b10068, b10434: qwen35)."""
    count, file = shape.mtp_blocks, shape.file
    if not count:
        return None
    first, arch, tensors = shape.blocks - count, file.architecture, []
    for placed in shape.placed:
        tensor = placed.tensor
        if placed.part is not Part.BLOCK:
            tensors.append(tensor)
        elif placed.block >= first and ".nextn." not in tensor.name:
            name = tensor.name.removeprefix(f"blk.{placed.block}.")
            tensors.append(replace(tensor, name=f"blk.{placed.block - first}.{name}"))
    metadata = {k: v for k, v in file.metadata.items() if k != f"{arch}.nextn_predict_layers"}
    # None of them is recurrent.
    metadata |= {f"{arch}.block_count": count, f"{arch}.full_attention_interval": 1}
    return ModelShape.of(replace(file, metadata=metadata, tensors=tuple(tensors)))
