"""llama.cpp's model buffers: what lies on a device, and what in the master's RAM."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from hettui.domain.llama.build import OVERLAPPING_BUILD
from hettui.domain.llama.params import DRAFT_MTP, RuntimeParams, override_pattern
from hettui.domain.memory.workload import Workload, remembered
from hettui.domain.model.architecture import architecture
from hettui.domain.model.reads import Read, reads_by_layer
from hettui.domain.model.shape import ModelShape
from hettui.domain.model.weights import BufferKind, Part, Placed, host_bytes
from hettui.domain.records import dataclass


@dataclass(frozen=True, slots=True)
class ModelBuffers:
    """Bytes in buffers of one kind."""

    blocks: tuple[int, ...]
    output: int
    rope: int


def used(workload: Workload, placed: Placed) -> bool:
    """MTP blocks are not loaded unless they are asked for; older builds load the biases of their attention, and of some
    architectures all of them."""
    shape, draft = workload.shape, workload.params.draft
    if placed.part is not Part.BLOCK or placed.block < shape.blocks - shape.mtp_blocks:
        return True
    if draft is not None and draft.type == DRAFT_MTP:
        return True
    if workload.build < OVERLAPPING_BUILD and architecture(shape.file.architecture).mtp_apart:
        return True
    return (
        workload.build < OVERLAPPING_BUILD and placed.tensor.name.endswith(".bias") and ".attn_" in placed.tensor.name
    )


@lru_cache(maxsize=16)
def _patterns(said: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    return tuple(override_pattern(one) for one in said)


def stays_on_host(placed: Placed, params: RuntimeParams) -> bool:
    """The tensor of a block lies in the master's RAM wherever the block lies."""
    if placed.expert and placed.block < params.n_cpu_moe:
        return True
    if placed.dense_ffn and placed.block < params.n_cpu_ffn:
        return True
    return any(pattern.search(placed.tensor.name) for pattern in _patterns(params.override_tensor))


@remembered
def tensor_bytes(workload: Workload) -> tuple[Mapping[str, int], ...]:
    """Per block: its tensors by their names in the block; their bytes."""
    return _by_block(workload.shape, workload.shape.placed)


@remembered
def tensors_on_host(workload: Workload) -> tuple[Mapping[str, int], ...]:
    """As `tensor_bytes`, of those that the host keeps wherever the block lies."""
    shape, params = workload.shape, workload.params
    return _by_block(shape, [p for p in shape.placed if stays_on_host(p, params)] if params.overrides else ())


def _by_block(shape: ModelShape, tensors: Iterable[Placed]) -> tuple[Mapping[str, int], ...]:
    found: tuple[dict[str, int], ...] = tuple({} for _ in range(shape.blocks))
    for placed in tensors:
        if placed.part is Part.BLOCK:
            name = placed.tensor.name.removeprefix(f"blk.{placed.block}.")
            found[placed.block][name] = placed.tensor.size_bytes
    return found


@remembered
def model_buffers(workload: Workload, kind: BufferKind) -> ModelBuffers:
    """What a device whose buffers are of this kind holds of each block, and with the output layer."""
    shape, params = workload.shape, workload.params
    blocks, output, rope = [0] * shape.blocks, 0, 0
    for placed in shape.placed:
        size = kind.size_bytes(placed.tensor)
        if placed.part is Part.BLOCK and used(workload, placed) and not stays_on_host(placed, params):
            blocks[placed.block] += size
        elif placed.part is Part.OUTPUT or (shape.tied and placed.tensor.name == "token_embd.weight"):
            output += size
        elif placed.part is Part.ROPE:
            rope += size
    return ModelBuffers(tuple(blocks), output, rope)


@dataclass(frozen=True, slots=True)
class HostWeights:
    """The weights in the master's RAM."""

    buffers_bytes: int
    """What llama.cpp prints: with mapped files the range from the first to the last of them, whatever lies between."""
    read_bytes: int
    """What is really read, and must find room there."""


@remembered
def host_weights(workload: Workload, host_blocks: int, output: bool, repacks: bool = True) -> HostWeights:
    """With the first `host_blocks` blocks there and, if `output`, the output layer."""

    params = workload.params

    def held(placed: Placed) -> bool:
        if placed.part is Part.BLOCK:
            mine = placed.block < host_blocks or stays_on_host(placed, params)
            return mine and used(workload, placed)
        if placed.part is Part.ROPE:
            return host_blocks > 0
        # A tied output on the host is the embedding itself; only a device gets a copy.
        return placed.part is Part.INPUT or output

    found = [p for p in workload.shape.placed if held(p)]
    buffers = host_bytes(found, maps_files=params.maps_files, repacks=repacks)
    return HostWeights(buffers, sum(p.tensor.size_bytes for p in found))


Reads = tuple[Mapping[str, float], ...]


@remembered
def reads_apart(workload: Workload) -> tuple[Reads, Reads]:
    """`ModelShape.layer_reads` of the tensors that stay on the host wherever their block lies, and of all others."""
    shape, params = workload.shape, workload.params
    there, here = list[Read](), list[Read]()
    for placed, read in shape.reads:
        (there if placed.part is Part.BLOCK and stays_on_host(placed, params) else here).append(read)
    return reads_by_layer(there, shape.layers), reads_by_layer(here, shape.layers)
