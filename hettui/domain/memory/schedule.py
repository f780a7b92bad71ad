"""Where ggml computes each operation, and what one device's buffer must hold for its share.

The rules are those of `ggml_backend_sched_split_graph` (ggml-backend.cpp of b11434): what uses a weight or the cache
is computed where that lies; the rest goes with the device before it, then with the device after it, and to the host
only between operations of the host. What a split reads from elsewhere is copied to it when the split begins; a weight
from elsewhere begins a split of its own, so that the place of the one before can be used again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hettui.domain.memory.allocator import Tensor, peak_bytes
from hettui.domain.plan.split import HOST


def settle(operations: Sequence[Tensor]) -> None:
    """Sets `place` of every operation; views go with what they show."""
    computed = [op for op in operations if _computes(op) and not op.early]
    for op in computed:
        op.place = op.home
    # Devices first, forwards and backwards, stopping at the host; then the host takes what is left.
    for order, over_host in ((computed, False), (computed[::-1], False), (computed, True), (computed[::-1], True)):
        here: int | None = None
        for op in order:
            if op.place is not None:
                here = None if op.place == HOST and not over_host else op.place
            elif here is not None:
                op.place = here
    for op in operations:
        if op.source is not None and op.home is None:
            op.place = op.source.place


def buffer_bytes(operations: Sequence[Tensor], device: int, copies: int) -> int:
    """The compute buffer of `device` (or `HOST`) for the graph; `settle` comes first. Changes the operations.

    With several copies of the inputs (pipelining) all of them are there from the beginning to the end.
    """
    inputs = [op for op in operations if op.early and op.place == device]
    first = [Tensor(op.size_bytes, permanent=True) for op in inputs if op.permanent for _ in range(copies - 1)]
    laid_out: list[Tensor] = inputs
    arrived: dict[int, Tensor] = {}
    kept_for: set[tuple[int, int | None]] = set()
    for split in _splits([op for op in operations if not op.early]):
        place = next((op.place for op in split if _computes(op)), None)
        for op in split:
            if not _computes(op):
                continue
            for parent in op.parents:
                if parent.place is None or parent.place == place:
                    continue
                if place == device and id(parent) not in arrived:
                    arrived[id(parent)] = copy = _copied(parent, copies)
                    laid_out.append(copy)
                    first += [Tensor(copy.size_bytes, permanent=True) for _ in range(copies - 1)]
                elif parent.place == device and (id(parent), place) not in kept_for:
                    # Until the reader's split begins it stays where it was computed.
                    kept_for.add((id(parent), place))
                    laid_out.append(Tensor(0, (parent,)))
        for op in split:
            if op.place == device:
                op.parents = tuple(arrived.get(id(p), p) if p.place != device else p for p in op.parents)
                laid_out.append(op)
    return peak_bytes(first + laid_out)


def _copied(tensor: Tensor, copies: int) -> Tensor:
    return Tensor(tensor.span_bytes, permanent=copies > 1, empty=tensor.empty)


def _computes(op: Tensor) -> bool:
    return op.source is None or op.home is not None


def _splits(operations: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Runs of operations on one device. A view belongs to no run of its own."""
    split: list[Tensor] = []
    place: int | None = None
    copied: set[tuple[int, int | None]] = set()
    inputs = False
    for op in operations:
        if _computes(op):
            if op.place != place or (inputs and any(parent.weight for parent in op.parents)):
                if split:
                    yield split
                split, place, inputs = [], op.place, False
            foreign = {(id(parent), place) for parent in op.parents if parent.place not in (None, place)} - copied
            copied |= foreign
            inputs = inputs or bool(foreign)
        split.append(op)
    if split:
        yield split
