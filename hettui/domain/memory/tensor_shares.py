"""`--split-mode tensor`: the bytes of every device's share, and what devices take to add up each other's results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import ceil, log2
from operator import add as add_up

from hettui.domain.memory.context import CACHE_BYTES, cells, context_size, contexts, state_copies
from hettui.domain.memory.graph import F32
from hettui.domain.memory.tensor_split import Cutter, blocks_of, counts
from hettui.domain.memory.weights import stays_on_host, used
from hettui.domain.memory.workload import Workload, remembered
from hettui.domain.model.architecture import architecture
from hettui.domain.model.block_context import BlockContext, state_parts
from hettui.domain.model.header import TensorInfo
from hettui.domain.model.weights import BufferKind, Part, Placed
from hettui.domain.records import dataclass


@dataclass(frozen=True, slots=True)
class Shares:
    """Bytes for every device in device order."""

    weights: tuple[int, ...]
    context: tuple[int, ...]


@remembered
def shares(workload: Workload, proportions: tuple[int, ...], kinds: tuple[BufferKind, ...], first: int) -> Shares:
    """What each device gets. `proportions` are those of `--tensor-split`, without devices that get nothing; `kinds` are
    the devices' buffers; `first` is the first block that does not stay on the host."""
    cutter, loaded = Cutter(workload, proportions), _loaded(workload)
    weights, context = [0] * len(kinds), [0] * len(kinds)

    def add(to: list[int], tensors: Iterable[TensorInfo]) -> None:
        for j, (tensor, kind) in enumerate(zip(tensors, kinds, strict=True)):
            # A part of no elements is no tensor to the allocator.
            to[j] += kind.size_bytes(tensor) if all(tensor.shape) else 0

    for placed in loaded.beside:
        add(weights, cutter.tensor(placed))
    known: dict[tuple[int, int], tuple[list[int], list[int]]] = {}
    for number, kept in enumerate(contexts(workload)):
        if number < first:
            continue
        # Blocks that are alike and at the same turn are cut alike: a slider asks for all of them at each key.
        key = loaded.likeness[number], cutter.blocks[number].turn % len(kinds)
        if key not in known:
            mine = known[key] = [0] * len(kinds), [0] * len(kinds)
            for placed in loaded.blocks[number]:
                add(mine[0], cutter.tensor(placed))
            for tensors in _kept(workload, cutter, number, kept):
                add(mine[1], tensors)
        for total, part in zip((weights, context), known[key], strict=True):
            total[:] = map(add_up, total, part)
    return Shares(tuple(weights), tuple(context))


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The tensors that devices get, whatever the split is."""

    blocks: tuple[tuple[Placed, ...], ...]
    beside: tuple[Placed, ...]
    """The output layer's, and what every device has of RoPE."""
    likeness: tuple[int, ...]
    """The same number for blocks that are alike."""


@remembered
def _loaded(workload: Workload) -> _Loaded:
    shape, params = workload.shape, workload.params
    blocks: list[list[Placed]] = [[] for _ in range(shape.blocks)]
    beside = []
    for placed in shape.placed:
        if placed.part is Part.BLOCK:
            if used(workload, placed) and not stays_on_host(placed, params):
                blocks[placed.block].append(placed)
        elif placed.part in (Part.OUTPUT, Part.ROPE) or (shape.tied and placed.tensor.name == "token_embd.weight"):
            beside.append(placed)
    seen: dict[object, int] = {}
    likeness = []
    for number, (held, kept, block) in enumerate(zip(blocks, contexts(workload), blocks_of(workload), strict=True)):
        prefix = f"blk.{number}."
        rows = tuple((p.tensor.name.removeprefix(prefix), p.tensor.shape, p.tensor.type_name) for p in held)
        own = block.recurrent, block.heads, block.heads_kv, block.head_k, block.head_v, block.n_ff
        likeness.append(seen.setdefault((rows, own, tuple(sorted(block.types.items())), kept), len(seen)))
    return _Loaded(tuple(map(tuple, blocks)), tuple(beside), tuple(likeness))


def _kept(workload: Workload, cutter: Cutter, number: int, kept: BlockContext) -> Iterator[Iterable[TensorInfo]]:
    """A block's cache and state, as each device has them."""
    params, block = workload.params, cutter.blocks[number]
    geometry = cells(params, context_size(workload))
    depth = (geometry.windowed(kept.window, params) if kept.window else geometry.full) * geometry.streams
    types, steps = (params.cache_type_k, params.cache_type_v), cutter.cache_steps(block)
    for width, name, step in zip((kept.k_width, kept.v_width), types, steps, strict=True):
        size, elements = CACHE_BYTES[name]
        whole = [width] * len(cutter.proportions)
        mine = whole if cutter.mirrors else counts([(width, 1, step)], cutter.proportions, block.turn)
        yield [TensorInfo("", (n, depth), name, n * size // elements * depth) for n in mine]
    if kept.state_values:
        rows = params.slots * state_copies(workload)
        for values in cutter.states(block, *state_parts(workload.shape.file)):
            yield [TensorInfo("", (n, rows), "f32", n * rows * F32) for n in values]


@remembered
def exchange_bytes(workload: Workload, devices: int) -> int:
    """What each device takes to add up the others' results to its own: as much as the largest of them for a whole
    micro-batch, once for each step (`max_tmp_size` of ggml-backend-meta.cpp). Only there once a prompt was read."""
    shape, params = workload.shape, workload.params
    if devices < 2:
        return 0
    tokens, last = cells(params, context_size(workload)).ubatch, shape.blocks - shape.mtp_blocks - 1
    chosen = max(1, shape.file.integer("expert_used_count"))
    # Of each token one result for every expert that was chosen; in the last block of those that become logits only.
    late = architecture(shape.file.architecture).late_outputs
    rows = tokens
    mixtures = {p.block for p in shape.placed if p.expert and not stays_on_host(p, params)}
    if mixtures:
        whole = late or any(block < last for block in mixtures)
        rows = max(tokens, (tokens if whole else min(params.slots, tokens)) * chosen)
    return shape.n_embd * rows * F32 * ceil(log2(devices))
