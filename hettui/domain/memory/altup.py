"""gemma3n's graph: several copies of the activations (AltUp), a short-cut (LAuReL), an embedding of its own per block.

From src/models/gemma3n.cpp of b11549, the same in b10068 and b11434; compared with real loads of both.
"""

from __future__ import annotations

from hettui.domain.memory.allocator import Tensor
from hettui.domain.memory.graph import Graph, Shapes
from hettui.domain.model.block_context import BlockContext
from hettui.domain.records import dataclass

_SPARSE_BLOCKS = 10
"""`n_layer_sparsity`: their activations are cut by mean and deviation."""


@dataclass(frozen=True, slots=True)
class AltUp:
    """How many copies of the activations there are, and how wide each block's own embedding is."""

    copies: int
    width: int
    blocks: int
    """Of the whole model: its embeddings for all of them are looked up together."""


class Stack:
    """Lays the blocks out on one graph."""

    def __init__(self, g: Graph, kind: AltUp, n_embd: int, output: int) -> None:
        self.g, self.kind, self.n_embd, self.output = g, kind, n_embd, output
        g.norms_values = True
        self.row = n_embd * g.token_bytes
        self.own: Tensor | None = None
        """The blocks' own embeddings, as soon as they are computed."""
        self._looked_up: Tensor | None = None
        self._first: Tensor | None = None

    def begin(self, x: Tensor) -> Tensor:
        """From the embedding: the other copies, computed where the output layer lies."""
        g, others, row = self.g, self.kind.copies - 1, self.row
        self._first, before = x, g.place
        repeated = g.raw(others * row, x, anchored=False)
        g.place = self.output
        added = g.raw(others * row, repeated)
        g.place = before
        size = self._magnitude(x)
        added_by = g.over(added, size)
        scaled = g.over(added_by, self._magnitude(added_by))
        return g.raw(self.kind.copies * row, x, scaled, anchored=False)

    def look_up(self) -> None:
        """All blocks' own embeddings, by the master."""
        g = self.g
        rows = g.looked_up(self.kind.width * self.kind.blocks * g.token_bytes, g.given("tokens"))
        self._looked_up = g.over(g.view(rows))
        g.fix()

    def elsewhere(self) -> Tensor:
        """What arrives where the first blocks are not laid out."""
        self.own = self.g.raw(self.kind.width * self.kind.blocks * self.g.token_bytes)
        return self.g.raw(self.kind.copies * self.row)

    def _own(self) -> Tensor:
        """The blocks' own embeddings, with what the activations say to them: computed with the first block."""
        if self.own is None:
            g, size = self.g, self.kind.width * self.kind.blocks * self.g.token_bytes
            projected = g.over(g.weighted("per_layer_model_proj.weight", size, *filter(None, (self._first,))))
            projected = g.over(g.norm(g.view(projected)), *filter(None, (self._looked_up,)))
            self.own = g.raw(size, g.view(g.over(projected)), anchored=False)
        return self.own

    def _magnitude(self, x: Tensor) -> Tensor:
        squares = self.g.over(x)
        copies = x.size_bytes // max(1, self.row)
        return self.g.over(self.g.rows(max(1, copies), squares, anchored=False))

    def _router(self, x: Tensor, b: Shapes) -> Tensor:
        """How much of each copy: one number for each."""
        g = self.g
        return g.over(g.project("altup_router", b, g.over(g.norm(x))))

    def block(self, x: Tensor, b: Shapes, context: BlockContext, number: int) -> Tensor:
        """One block: predicts the copies, computes with the first, corrects all."""
        g, copies, row = self.g, self.kind.copies, self.row
        whole = copies * row
        turned = g.raw(whole, g.view(x), anchored=False)
        coefficients = g.project("altup_predict_coef", b, self._router(g.view(x, row), b))
        predicted = g.raw(whole, turned, g.view(coefficients), anchored=False)
        predictions = g.over(g.raw(whole, g.view(predicted), anchored=False), x)
        active = g.view(predictions, row)
        normed = g.norm(active)
        mixed = g.norm(self._attended(normed, b, context))
        mixed = g.over(mixed, active)
        short = g.norm(g.project("laurel_r", b, g.project("laurel_l", b, normed)))
        kept = g.over(g.over(mixed, g.over(short, normed)))
        fed = g.over(g.norm(self._fed(g.norm(kept), b, number)), kept)
        corrected = self._corrected(predictions, active, fed, b)
        first = g.weighted("altup_correct_scale.weight", row, g.view(corrected, row))
        gated = g.over(g.project("inp_gate", b, first))
        gated = g.over(gated, g.view(self._own(), self.kind.width * g.token_bytes))
        first = g.norm(g.project("proj", b, gated))
        rest = g.over(g.view(corrected, (copies - 1) * row), first)
        return g.raw(whole, g.view(corrected, row), rest, anchored=False)

    def _attended(self, normed: Tensor, b: Shapes, context: BlockContext) -> Tensor:
        if not context.k_width:
            # It looks into the cache of an earlier block.
            b = Shapes({name: shape for name, shape in b.items() if name not in ("attn_k.weight", "attn_v.weight")})
        return self.g.attention(normed, b, context)()

    def _fed(self, x: Tensor, b: Shapes, number: int) -> Tensor:
        g = self.g
        up = g.project("ffn_up", b, x)
        gate = g.project("ffn_gate", b, x)
        if number < _SPARSE_BLOCKS:
            mean = g.rows(1, gate, anchored=False)
            off = g.over(g.raw(gate.size_bytes, gate, mean, inplace=True, anchored=False))
            deviation = g.over(g.over(g.rows(1, off, anchored=False)))
            cut = g.raw(mean.size_bytes, mean, g.over(deviation), inplace=True, anchored=False)
            gate = g.over(g.over(gate, cut))
        return g.project("ffn_down", b, g.over(up, g.over(gate)))

    def _corrected(self, predictions: Tensor, active: Tensor, fed: Tensor, b: Shapes) -> Tensor:
        g, copies = self.g, self.kind.copies
        news = g.over(fed, active)
        repeated = g.raw(copies * self.row, news, anchored=False)
        weights = g.rows(copies, g.over(g.project("altup_correct_coef", b, self._router(fed, b))), anchored=False)
        return g.over(g.over(repeated, weights), predictions)

    def end(self, x: Tensor) -> Tensor:
        """The copies become one again."""
        g, row, others = self.g, self.row, self.kind.copies - 1
        g.place = self.output
        merged = g.raw(others * row, g.view(x, others * row))
        scaled = g.over(merged, self._magnitude(g.view(x, row)))
        scaled = g.over(scaled, self._magnitude(scaled))
        total = g.raw(row, g.view(x, row), g.view(scaled, row), anchored=False)
        for _ in range(others - 1):
            total = g.over(total, g.view(scaled, row))
        return g.over(total)
