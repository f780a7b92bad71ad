"""The compute buffer of every device and of the host: the graph that llama.cpp reserves, laid out as it does.

Three things make it up: what arrives from elsewhere (the activations, the attention masks, positions; in four copies
where a newer build overlaps micro-batches), the results that are alive at the same time, and the holes between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from hettui.domain.allocator import Tensor, peak_bytes
from hettui.domain.architecture import BlockContext
from hettui.domain.graph import F32, Batch, Graph, Rules, Shapes, add_block

COPIES = 4
"""`GGML_SCHED_MAX_COPIES`: what a pipelining build keeps of every input."""

_REPEATS = 3
"""So many equal blocks in a row are laid out; the next ones find the same holes again."""


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
    """i32 positions per token: 4 with multi-axis rope."""
    last_block: int
    """After it only the rows that become logits are computed."""
    mixed_inputs: bool
    """Newer builds prepare batches of tokens and embeddings: three more tensors as wide as the activations."""

    @property
    def row_bytes(self) -> int:
        """The activations between two blocks."""
        return self.n_embd * self.batch.tokens * F32

    @cached_property
    def kinds(self) -> tuple[tuple[object, ...], ...]:
        """Blocks of the same kind need the same."""
        return tuple((c, tuple(sorted(b.items()))) for b, c in zip(self.blocks, self.contexts, strict=True))


def device_bytes(layout: Layout, blocks: range, *, first: bool, output: bool, copies: int) -> int:
    """The compute buffer of a device that holds `blocks`, and the output layer if `output`.

    `first`: the activations come from the embedding. `copies`: of every input, `COPIES` when pipelining, else 1.
    """
    g = Graph(layout.batch, layout.rules)
    if not blocks:
        _output(g, layout, g.arrives(layout.n_embd * layout.batch.outputs * F32, copies))
        return peak_bytes(g.operations)
    mixed = [g.arrives(layout.row_bytes, copies) for _ in range(2)] if first and layout.mixed_inputs else []
    x = g.arrives(layout.row_bytes, copies)
    _small_inputs(g, layout, blocks, copies)
    if mixed:
        target = g.raw(layout.row_bytes, mixed[0])
        g.operations.append(Tensor(0, (mixed[1], target), source=target))
    for i in _worth_laying_out(layout, blocks):
        x = _block(g, layout, x, i)
    if output:
        _output(g, layout, x)
    return peak_bytes(g.operations)


def host_bytes(layout: Layout, blocks: range, *, output: bool, copies: int) -> int:
    """The compute buffer of the master's CPU: the inputs, the embedding's rows, and the blocks that stay there."""
    g = Graph(layout.batch, layout.rules)
    # For batches of embeddings; reserved whether they are used or not.
    g.operations.append(Tensor(layout.row_bytes, permanent=True))
    ids = g.arrives(2 * layout.batch.tokens * F32, copies)
    every_block = range(len(layout.blocks))
    _small_inputs(g, layout, every_block, copies)
    if layout.mixed_inputs:
        mixed = g.arrives(layout.row_bytes, copies)
        x = g.arrives(layout.row_bytes, copies) if copies > 1 else g.raw(layout.row_bytes, ids)
        token_rows = g.raw(layout.row_bytes, ids)
        if blocks:
            target = g.raw(layout.row_bytes, mixed)
            g.operations.append(Tensor(0, (token_rows, target), source=target))
        else:
            g.held(mixed, token_rows)
    else:
        x = g.raw(layout.row_bytes, ids)
    for i in _worth_laying_out(layout, blocks):
        x = _block(g, layout, x, i)
    if output:
        _output(g, layout, x)
    else:
        g.held(x)
    return peak_bytes(g.operations)


def _small_inputs(g: Graph, layout: Layout, blocks: Sequence[int], copies: int) -> None:
    """Positions, cache indices and masks that these blocks read."""
    batch = layout.batch
    g.arrives(layout.positions * batch.tokens * F32, copies)
    attending = [layout.contexts[i] for i in blocks if layout.contexts[i].k_width]
    for windowed in (False, True):
        group = [c for c in attending if (c.window > 0) == windowed]
        if not group:
            continue
        # Without flash attention V is stored transposed, one index per value.
        values = 1 if batch.flash_attn else max(c.v_width for c in group)
        g.arrives(8 * batch.tokens, copies)
        g.arrives(8 * batch.tokens * values, copies)
        mask = g.arrives(batch.window_mask_bytes if windowed else batch.mask_bytes, copies)
        if windowed:
            g.window_mask = mask
        else:
            g.mask = mask


def _block(g: Graph, layout: Layout, x: Tensor, block: int) -> Tensor:
    return add_block(
        g, x, layout.blocks[block], layout.contexts[block], layout.inner, layout.kernel,
        last=block == layout.last_block,
    )  # fmt: skip


def _output(g: Graph, layout: Layout, x: Tensor) -> None:
    g.raw(layout.n_vocab * layout.batch.outputs * F32, g.norm(x))


def _worth_laying_out(layout: Layout, blocks: range) -> list[int]:
    """The blocks without the long runs of equal ones."""
    kept: list[int] = []
    run = 0
    for i in blocks:
        same = i > blocks.start and layout.kinds[i] == layout.kinds[i - 1] and i != layout.last_block
        run = run + 1 if same else 0
        if run < _REPEATS:
            kept.append(i)
    return kept
