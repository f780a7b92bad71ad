"""The compute buffer of every device and of the host: the graph that llama.cpp reserves, laid out as it does.

Three things make it up: what arrives from elsewhere (the activations, the attention masks, positions; in four copies
where a newer build overlaps micro-batches), the results that are alive at the same time, and the holes between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import cached_property
from typing import Literal

from hettui.domain.memory.allocator import Tensor
from hettui.domain.memory.altup import AltUp, Stack
from hettui.domain.memory.graph import F32, Batch, Graph, Rules, Shapes, add_block
from hettui.domain.memory.schedule import buffer_bytes, settle
from hettui.domain.model.block_context import BlockContext
from hettui.domain.plan.split import HOST
from hettui.domain.records import dataclass

COPIES = 4
"""`GGML_SCHED_MAX_COPIES`: what a pipelining build keeps of every input."""

REPEATS = 3
"""So many equal blocks in a row are laid out; the next ones find the same holes again."""

_MOST_BLOCKS = 96
"""More differing blocks on one device are not laid out: only a made-up file has them."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Everything about a model and its settings that the compute buffers follow from."""

    blocks: tuple[Shapes, ...]
    contexts: tuple[BlockContext, ...]
    rules: Rules
    batch: Batch
    n_embd: int
    n_vocab: int
    inner: int
    """`ssm.inner_size`."""
    kernel: int
    """`ssm.conv_kernel`."""
    positions: int
    """i32 positions per token: 4 with multi-axis RoPE."""
    last_block: int
    """The last one before the MTP blocks; after it only the rows that become logits are computed."""
    mixed_inputs: bool
    """Newer builds prepare batches of tokens and embeddings: three more tensors as wide as the activations."""
    late_outputs: Literal["", "before norm", "after norm"]
    """The last block computes all rows; only after it, before or after the output norm, those that become logits
    are picked."""
    scaled_embedding: bool
    rotation_k: int
    """Width of the matrix that rotates K for a quantised cache; 0: not rotated."""
    rotation_v: int
    on_host: tuple[Mapping[str, int], ...]
    """Per block: its tensors that stay on the host wherever the block lies, with their bytes."""
    tensors: tuple[Mapping[str, int], ...]
    """Per block: all of them; empty where no block lies on the host."""
    rope_table_bytes: int = 0
    altup: AltUp | None = None
    adapted: tuple[tuple[tuple[str, tuple[int, ...]], ...], ...] = ()
    """Per block: its tensors that LoRA adapters change, with the adapters' ranks; empty without any."""
    sizes: dict[tuple[object, ...], int] = field(default_factory=dict)
    """What was laid out already, by `_signature`."""

    @property
    def row_bytes(self) -> int:
        """The activations between two blocks."""
        return self.n_embd * self.batch.tokens * F32

    @cached_property
    def kinds(self) -> tuple[int, ...]:
        """A number per block; blocks of the same kind need the same."""
        known: dict[tuple[object, ...], int] = {}
        return tuple(
            known.setdefault((c, tuple(sorted(b.items())), tuple(sorted(kept.items())), adapted), len(known))
            for b, c, kept, adapted in zip(
                self.blocks, self.contexts, self.on_host, self.adapted or ((),) * len(self.blocks), strict=True
            )
        )

    @cached_property
    def run_ends(self) -> tuple[int, ...]:
        """Per block: the first block after it that is of another kind. The last block is one of its own."""
        ends = [len(self.blocks)] * len(self.blocks)
        for i in range(len(self.blocks) - 2, -1, -1):
            alike = self.kinds[i] == self.kinds[i + 1] and self.last_block not in (i, i + 1)
            ends[i] = ends[i + 1] if alike else i + 1
        return tuple(ends)


_BEHIND = -3
"""Whoever holds what comes after a run of blocks."""


def device_bytes(
    layout: Layout, device: int, places: Sequence[int], output: int, copies: int, helper: int | None = None
) -> int:
    """The compute buffer of one device or of the host.

    `places`: the device of each block, `HOST` among them. `output`: the device of the output layer.
    `copies`: of every input, `COPIES` when llama.cpp pipelines, else 1. `helper`: the device that computes large
    batches for the host.
    """
    helps = device == helper
    own = [
        i
        for i, place in enumerate(places[: layout.last_block + 1])
        if place == device or (helps and place == HOST) or ((helps or device == HOST) and layout.on_host[i])
    ]
    if device != HOST and output != device and not own:
        return 0
    blocks = _worth_laying_out(layout, own, device)
    return _laid_out(layout, blocks, {i: places[i] for i in blocks}, device, output, copies, helper)


def range_bytes(
    layout: Layout, first: int, stop: int, before: int, *, output: bool, copies: int, helps: bool = False
) -> int:
    """As `device_bytes` for a device that holds the blocks first … stop - 1, and the output layer if `output`.

    `before`: who holds the blocks before them, `HOST` or any other number below it. `helps`: it computes large batches
    for the host, whosever blocks they are of.
    """
    inside = range(first, min(stop, layout.last_block + 1))
    if not inside and not output:
        return 0
    # Whose blocks stand before it may lie on the host, and are then computed here, too.
    near = range(first if before != HOST else 0, inside.stop)
    own = [i for i in range(layout.last_block + 1) if i in near or layout.on_host[i]] if helps else inside
    blocks = _worth_laying_out(layout, own, 0)
    places = {i: before if i < first else 0 if i < stop else _BEHIND for i in blocks}
    return _laid_out(layout, blocks, places, 0, 0 if output else _BEHIND, copies, 0 if helps else None)


def _laid_out(
    layout: Layout, blocks: Sequence[int], places: Mapping[int, int], device: int, output: int, copies: int,
    helper: int | None,
) -> int:  # fmt: skip
    signature = _signature(layout, blocks, places, device, output, copies, helper)
    size = layout.sizes.get(signature)
    if size is None:
        g = _graph(layout, blocks, places, output, copies, helper)
        settle(g.operations)
        size = layout.sizes[signature] = buffer_bytes(g.operations, device, copies)
    return size


def _signature(
    layout: Layout, blocks: Sequence[int], places: Mapping[int, int], device: int, output: int, copies: int,
    helper: int | None,
) -> tuple[object, ...]:  # fmt: skip
    """Equal for two places in a model that need the same buffer."""
    names: dict[int, int] = {HOST: HOST, device: 0}
    relative = [names.setdefault(places[i], len(names)) for i in blocks]
    kinds = tuple(layout.kinds[i] for i in blocks)
    ends = (bool(blocks) and blocks[0] == 0, bool(blocks) and blocks[-1] >= layout.last_block)
    others = (names.setdefault(output, len(names)), None if helper is None else names.setdefault(helper, len(names)))
    return (device == HOST, kinds, tuple(relative), ends, others, copies)


def _graph(
    layout: Layout, blocks: Sequence[int], places: Mapping[int, int], output: int, copies: int, helper: int | None
) -> Graph:
    g = Graph(layout.batch, layout.rules)
    g.helper = helper
    if layout.rope_table_bytes:
        g.rope_table = Tensor(layout.rope_table_bytes, home=HOST, weight=True)
    _inputs(g, layout, copies)
    stack = None if layout.altup is None else Stack(g, layout.altup, layout.n_embd, output)
    if not blocks or blocks[0] == 0:
        x = _embedding(g, layout, copies)
        if stack is not None:
            stack.look_up()
        if layout.scaled_embedding and not layout.rules.newer:
            x = g.over(x)
            g.fix()
        x = x if stack is None else stack.begin(x)
    else:
        g.place = places[blocks[0]]
        x = g.raw(layout.row_bytes) if stack is None else stack.elsewhere()
    for i in blocks:
        g.place = places[i]
        g.on_host = layout.tensors[i] if g.helped else layout.on_host[i]
        g.weights = {}
        g.adapted = dict(layout.adapted[i]) if layout.adapted else {}
        last = i == layout.last_block and not layout.late_outputs
        if stack is not None:
            x = stack.block(x, layout.blocks[i], layout.contexts[i], i)
        else:
            x = add_block(g, x, layout.blocks[i], layout.contexts[i], layout.inner, layout.kernel, last=last)
    if blocks and blocks[-1] < layout.last_block:
        return g
    if stack is not None:
        x = stack.end(x)
    few = layout.n_embd * layout.batch.outputs * F32
    if layout.late_outputs == "before norm":
        x = g.raw(few, x, g.given("out_ids"), anchored=False)
    x = g.raw(x.size_bytes, x, inplace=True, anchored=False)
    g.place = output
    x = g.over(x, anchored=True)
    if layout.late_outputs == "after norm":
        x = g.raw(few, x, g.given("out_ids"))
    g.raw(layout.n_vocab * layout.batch.outputs * F32, x)
    return g


def _inputs(g: Graph, layout: Layout, copies: int) -> None:
    """What llama.cpp sets before each micro-batch; it lies in the master's RAM."""
    batch = layout.batch

    def put(name: str, size_bytes: int, windowed: bool = False) -> None:
        tensor = Tensor(size_bytes, home=HOST, early=True, permanent=copies > 1)
        g.inputs[name, windowed] = tensor
        g.operations.append(tensor)

    # For batches of embeddings; reserved whether they are used or not.
    g.operations.append(Tensor(layout.row_bytes, home=HOST, early=True))
    if layout.mixed_inputs:
        put("mixed", layout.row_bytes)
        put("slots", 8 * batch.tokens)
    put("tokens", batch.tokens * F32)
    put("out_ids", batch.outputs * F32)
    put("positions", layout.positions * batch.tokens * F32)
    if any(c.state_values for c in layout.contexts):
        # Which states a micro-batch goes on with: a few bytes, but between two holes. Views of it are copied apart.
        put("rs_s_copy", batch.sequences * F32)
        if layout.rules.newer and any("ssm_in.weight" in b for b in layout.blocks):
            others = (batch.sequences - 1) * F32
            all_states = g.given("rs_s_copy")
            g.inputs["rs_s_copy_main", False] = g.view(all_states)
            g.inputs["rs_s_copy_tail", False] = g.view(all_states, others, empty=not others)
    attending = [c for c in layout.contexts if c.k_width]
    for windowed in (False, True):
        group = [c for c in attending if (c.window > 0) == windowed]
        if not group:
            continue
        # Without flash attention V is stored transposed, one index per value.
        values = 1 if batch.flash_attn or batch.turns_values else max(c.v_width for c in group)
        put("k_idxs", 8 * batch.tokens, windowed)
        put("v_idxs", 8 * batch.tokens * values, windowed)
        put("mask", batch.window_mask_bytes if windowed else batch.mask_bytes, windowed)
        for name, width in (("rot_k", layout.rotation_k), ("rot_v", layout.rotation_v)):
            if width:
                put(name, width * width * F32, windowed)


def _embedding(g: Graph, layout: Layout, copies: int) -> Tensor:
    """The rows of the token embedding, looked up by the master."""
    g.place = HOST
    tokens = g.given("tokens")
    if copies > 1:
        # Marked as an input, so it is copied like one.
        x = Tensor(layout.row_bytes, (tokens,), home=HOST, early=True, permanent=True)
        g.operations.append(x)
    else:
        x = g.looked_up(layout.row_bytes, tokens)
    if layout.mixed_inputs:
        rows = g.looked_up(layout.row_bytes, tokens)
        target = g.raw(layout.row_bytes, g.given("mixed"), anchored=False)
        g.raw(0, rows, target, g.given("slots"), anchored=False)
        # The result is a view that nobody reads here, so nothing ever frees what it shows.
        g.view(target)
    # Older builds scale it when it is needed.
    if layout.scaled_embedding and layout.rules.newer:
        x = g.over(x)
    g.fix()
    return x


def _worth_laying_out(layout: Layout, own: Sequence[int], device: int) -> list[int]:
    """A device's blocks without the long runs of equal ones, and the neighbours on either side."""
    if layout.altup is not None:
        # The output's device computes a part of the embedding, and all blocks' own ones arrive at once.
        return list(range(min(layout.last_block + 1, _MOST_BLOCKS)))
    if not own:
        if layout.last_block < 0:
            return []
        return [0 if device == HOST else layout.last_block]
    kept = list(range(_mixer(layout, own[0] - 1, -1), own[0])) if own[0] else []
    if device == HOST and kept and kept[0] > 0:
        # The embedding's rows are the host's, too.
        kept.insert(0, 0)
    kept += _without_repetitions(layout, own)
    if len(kept) > _MOST_BLOCKS:
        kept = kept[: _MOST_BLOCKS // 2] + kept[-_MOST_BLOCKS // 2 :]
    if own[-1] < layout.last_block:
        kept += range(own[-1] + 1, _mixer(layout, own[-1] + 1, 1) + 1)
    return kept


def _without_repetitions(layout: Layout, own: Sequence[int]) -> list[int]:
    """Of a run of equal blocks the first few, and of two kinds of runs that take turns the first few turns."""
    runs: list[Sequence[int]] = []
    n = 0
    while n < len(own):
        length = min(layout.run_ends[own[n]] - own[n], len(own) - n)
        runs.append(own[n : n + min(length, REPEATS)])
        n += length
    shapes = [(layout.kinds[run[0]], len(run), run[0] == layout.last_block) for run in runs]
    kept: list[int] = []
    n = 0
    while n < len(runs):
        if 4 <= n < len(runs) - 2 and shapes[n : n + 2] == shapes[n - 2 : n] == shapes[n - 4 : n - 2]:
            n += 2
            continue
        kept += runs[n]
        n += 1
    return kept


def _mixer(layout: Layout, block: int, step: int) -> int:
    """The nearest block from here on that keeps a context: what lies between is not computed before it is reached."""
    while 0 < block < layout.last_block and layout.contexts[block] == BlockContext():
        block += step
    return block
