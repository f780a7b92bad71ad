"""Why `--split-mode tensor` does not go together with something: known before anything is started.

From `llm_arch_supports_sm_tensor`, `llama_init_from_model` and ggml-backend-meta.cpp of b11434; what ends b10068 and
b11434 was seen in real loads (tests/truth/tensor.jsonl). Across workers llama.cpp would do it, and hettui does not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from hettui.domain.devices.device import Device
from hettui.domain.llama.build import OVERLAPPING_BUILD
from hettui.domain.llama.params import DRAFT_MODEL, DRAFT_MTP, TENSOR_MODE
from hettui.domain.memory.context import contexts
from hettui.domain.memory.weights import used
from hettui.domain.memory.workload import Workload, remembered
from hettui.domain.model.block_context import kv_heads, recurrent_blocks
from hettui.domain.model.weights import Part
from hettui.domain.plan.split import Split
from hettui.domain.text import clean_line

_REFUSED = (
    "bailingmoe3 bitnet deepseek2 deepseek32 dots3note falcon-h1 gemma3n glm-dsa glm5-next granitehybrid grok hy_v4 "
    "jamba kimi-k3 kimi-linear mamba mamba2 minicpm3 minimax-01 minimax-m2 minimax-m3 mistral4 mpt nemotron_h "
    "nemotron_h_moe olmo2 olmoe plamo2 qwen3tts t5"
)  # fmt: skip
NOT_SHARED = frozenset(_REFUSED.split())
"""Architectures that llama.cpp refuses."""
_NOT_IN_OLDER_BUILDS = frozenset({"lfm2", "lfm2moe"})
"""Those that b10068 refuses besides."""
_STATES_ON_ALL = frozenset({"lfm2", "lfm2moe"})
_FOR_ONE_HEAD = frozenset({"f16", "bf16"})
"""Of the cache. Of one head what is rotated for a quantised cache, or converted from f32, loses its place."""

_INSTEAD = 'or set [serving] split-mode = "layer"'


def why_not(workload: Workload, devices: Sequence[Device], split: Split, modes: Collection[str] = ()) -> str | None:
    """The first reason why a plan with `split-mode = "tensor"` cannot run, as a sentence with the remedy; None where
    nothing is known against it. `modes`: what the build at hand takes for `--split-mode`; empty: not known."""
    if not workload.params.shares_tensors:
        return None
    reason = _of_build(workload, modes) or _of_settings(workload) or _of_model(workload)
    return f"split-mode tensor: {reason}" if reason else across_workers(devices, split)


def possible(workload: Workload, modes: Collection[str] = ()) -> bool:
    """The build, the model and the settings do not speak against it, whatever the devices are."""
    return not (_of_build(workload, modes) or _of_settings(workload) or _of_model(workload))


def _of_build(workload: Workload, modes: Collection[str]) -> str | None:
    if modes and TENSOR_MODE not in modes:
        said = ", ".join(sorted(modes))
        return f"this llama.cpp does not have it (its --split-mode takes {said}): use a newer build, {_INSTEAD}"
    arch = workload.shape.file.architecture
    older = workload.build < OVERLAPPING_BUILD and arch in _NOT_IN_OLDER_BUILDS
    if older or arch in NOT_SHARED:
        newer = "use a newer build, or " if older else ""
        return (
            f"llama.cpp b{workload.build} cannot share the tensors of {clean_line(arch, 40)} models: {newer}set "
            '[serving] split-mode = "layer"'
        )
    return None


def across_workers(devices: Sequence[Device], split: Split) -> str | None:
    """Why these devices share no tensors; None where all that hold something are the master's own."""
    for device, layers in zip(devices, split.layers, strict=True):
        if layers and device.via == "worker":
            name = clean_line(device.name, 40)
            return (
                f"split-mode tensor: {name} is a worker, and every block's results would cross the network twice for "
                "each token; workers of newer builds (RPC protocol 8) also open a port on all networks for that. Only "
                f"cards that llama-server drives itself share tensors: give {name} no layers, {_INSTEAD}"
            )
    return None


def _of_settings(workload: Workload) -> str | None:
    params = workload.params
    if params.flash_attn == "off":
        return f'it needs flash attention: set [serving] flash-attn = "auto", {_INSTEAD}'
    if params.lora:
        return f"llama.cpp (b11434) ends when it loads a LoRA adapter with it: remove [serving] lora, {_INSTEAD}"
    if params.draft is not None and params.draft.type in (DRAFT_MODEL, DRAFT_MTP):
        return f"what [draft] type {params.draft.type} takes beside it is not known: remove [draft], {_INSTEAD}"
    others = {params.cache_type_k, params.cache_type_v} - _FOR_ONE_HEAD
    if others and 1 in _heads(workload):
        return (
            f"llama.cpp (b11434) ends with a KV cache of {min(others)} where a model has one head of K and V: set "
            f'[serving] cache-type-k and cache-type-v = "f16", {_INSTEAD}'
        )
    return None


@remembered
def _heads(workload: Workload) -> frozenset[int]:
    """Heads of K and V of the blocks that attend."""
    shape = workload.shape
    heads = kv_heads(shape.file, shape.blocks)
    return frozenset(heads[i] for i, kept in enumerate(contexts(workload)) if kept.k_width)


def _loads_half_a_block(workload: Workload) -> bool:
    """Of an MTP block that nobody uses older builds load some biases, not what these are to be cut like (b10068)."""
    shape = workload.shape
    loaded: dict[int, set[str]] = {}
    for placed in shape.placed:
        if placed.part is Part.BLOCK and placed.block >= shape.blocks - shape.mtp_blocks and used(workload, placed):
            loaded.setdefault(placed.block, set()).add(placed.tensor.name.removeprefix(f"blk.{placed.block}."))
    return any("attn_output.weight" not in names for names in loaded.values())


@remembered
def _of_model(workload: Workload) -> str | None:
    """llama.cpp goes by certain tensors' names, and divides by the number of heads."""
    shape = workload.shape
    arch, last = shape.file.architecture, shape.blocks - shape.mtp_blocks
    if workload.build < OVERLAPPING_BUILD and 1 in _heads(workload):
        return (
            f"llama.cpp b{workload.build} ends with it where a model has one head of K and V: use b11434 or newer, "
            f"{_INSTEAD}"
        )
    if _loads_half_a_block(workload):
        return (
            f"llama.cpp b{workload.build} ends with it where a model has an MTP block: use b11434 or newer, {_INSTEAD}"
        )
    heads, recurrent = kv_heads(shape.file, shape.blocks), recurrent_blocks(shape.file, shape.blocks)
    for i, (kept, tensors) in enumerate(zip(contexts(workload), shape.tensor_shapes, strict=True)):
        state = kept.state_values and arch not in _STATES_ON_ALL and "ssm_out.weight" not in tensors
        cache = kept.k_width and "attn_output.weight" not in tensors
        if state or cache or (i < last and not heads[i] and not recurrent[i]):
            return (
                f"llama.cpp does not know how to share block {i} of this model, and would end: set [serving] "
                'split-mode = "layer"'
            )
    return None
