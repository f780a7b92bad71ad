"""ggml's graph allocator: the size of the buffer that a list of operations needs.

A port of what `ggml_gallocr_reserve` does for one buffer (ggml-alloc.c of b11434, the same in b10068): best fit among
the holes, the end of the buffer otherwise; a tensor is freed after its last reader; some operations overwrite a
parent that nobody else reads. How the holes lie decides a tenth of a compute buffer, so it is followed exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

ALIGNMENT_BYTES = 128
"""Of CUDA; CPU and RPC use 32 or 64. Tensors of any size that matters are multiples of all of them."""


class Tensor:
    """One operation's result. `parents` are what it reads; weights and caches have buffers of their own."""

    __slots__ = (
        "allocated", "children", "early", "empty", "home", "inplace", "offset", "parents", "permanent", "place",
        "size_bytes", "source", "views", "weight",
    )  # fmt: skip

    def __init__(
        self,
        size_bytes: int,
        parents: Sequence[Tensor] = (),
        *,
        inplace: bool = False,
        source: Tensor | None = None,
        home: int | None = None,
        early: bool = False,
        permanent: bool = False,
        weight: bool = False,
        empty: bool = False,
    ) -> None:
        self.size_bytes = -(-size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        self.parents = parents
        self.inplace = inplace
        """Whether it may overwrite a parent of the same layout; here: of the same size."""
        self.source: Tensor | None = None if source is None else source.source or source
        """The tensor that this one is a view of."""
        self.home = self.place = home
        """The device whose weights or cache it uses; None if it uses none. `place` is where it is computed."""
        self.early = early or permanent
        """Allocated before everything else: an input."""
        self.permanent = permanent
        """Early, and never freed: inputs that exist in several copies."""
        self.weight = weight
        """A tensor of the model that is read on another device than the one where it lies."""
        self.empty = empty
        """A result of no bytes that has a place all the same, and leaves a hole of no bytes there; any other of size 0
        is no result at all."""
        self.children = self.views = self.offset = 0
        self.allocated = False

    @property
    def span_bytes(self) -> int:
        """What a copy on another device takes: the columns of a partial view lie as far apart as in the whole."""
        if self.empty:
            return 0
        return self.source.size_bytes if self.source is not None and not self.size_bytes else self.size_bytes


class _Holes:
    """The free ranges of one buffer, by address; the last one has no end."""

    def __init__(self) -> None:
        self._ranges: list[list[int]] = [[0, 1 << 62]]
        self.peak_bytes = 0

    def take(self, size: int) -> int:
        ranges = self._ranges
        best, best_size = len(ranges) - 1, 1 << 63
        for i in range(len(ranges) - 1):
            length = ranges[i][1]
            # Of equal holes the later one, as llama.cpp does.
            if size <= length <= best_size:
                best, best_size = i, length
        chosen = ranges[best]
        offset = chosen[0]
        chosen[0] += size
        chosen[1] -= size
        if not chosen[1]:
            del ranges[best]
        self.peak_bytes = max(self.peak_bytes, offset + size)
        return offset

    def give(self, offset: int, size: int) -> None:
        """Grows together with the first hole beside it, and with that one's next. A hole of no bytes may lie between
        two that touch, and keeps them apart (`ggml_dyn_tallocr_free_bytes`, both builds)."""
        ranges, end = self._ranges, offset + size
        place = 0
        for i, hole in enumerate(ranges):
            start, length = hole
            if start + length == offset:
                hole[1] += size
                if i + 1 < len(ranges) and ranges[i + 1][0] == end:
                    hole[1] += ranges.pop(i + 1)[1]
                return
            if start == end:
                hole[0], hole[1] = offset, length + size
                if i and sum(ranges[i - 1]) == offset:
                    ranges[i - 1][1] += ranges.pop(i)[1]
                return
            if start < offset:
                place = i + 1
        ranges.insert(place, [offset, size])


def peak_bytes(operations: Sequence[Tensor]) -> int:
    """The buffer for `operations` in their order. They may be measured again afterwards."""
    holes = _Holes()
    for tensor in operations:
        tensor.children = tensor.views = 0
        tensor.allocated = False
    for tensor in operations:
        if tensor.source is not None:
            tensor.source.views += 1
        for parent in tensor.parents:
            parent.children += 1
        if tensor.early:
            tensor.allocated = not tensor.permanent
            tensor.offset = holes.take(tensor.size_bytes)
    for tensor in operations:
        if tensor.source is None and not tensor.early and (tensor.size_bytes or tensor.empty):
            tensor.allocated = True
            if not (tensor.inplace and _overwrite(tensor)):
                tensor.offset = holes.take(tensor.size_bytes)
        for parent in tensor.parents:
            parent.children -= 1
            if parent.children or parent.views:
                continue
            source = parent.source
            if source is not None:
                source.views -= 1
                if not source.views and not source.children and source.allocated:
                    source.allocated = False
                    holes.give(source.offset, source.size_bytes)
            elif parent.allocated:
                parent.allocated = False
                holes.give(parent.offset, parent.size_bytes)
    return holes.peak_bytes


def _overwrite(tensor: Tensor) -> bool:
    """Puts a result where a parent lies that nobody reads after it. Never where a view does: what a view shows is no
    buffer of its own to llama.cpp (`ggml_gallocr_is_own`, both builds)."""
    for parent in tensor.parents:
        alone = parent.children == 1 and not parent.views
        if alone and parent.allocated and parent.source is None and parent.size_bytes == tensor.size_bytes:
            parent.allocated = False
            tensor.offset = parent.offset
            return True
    return False
