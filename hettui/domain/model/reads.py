"""What decoding one token reads of each layer, by kind: a device takes longer for some than for others.

A kind is how the weights are used and how they are packed: `dense q4`, `expert q4`, `dense q6`. Experts are read in
small pieces, and unpacking costs a CPU more for some quantisations than for others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hettui.domain.records import dataclass

GB = 1e9
_LEAST_PART = 0.02
"""Of a layer: a kind with less is counted with the layer's largest (norms, biases)."""

_FAMILIES = {
    "f32": "f16", "f16": "f16", "bf16": "f16", "mxfp4": "fp4", "nvfp4": "fp4",
}  # fmt: skip


def family(type_name: str) -> str:
    """`q4` for `q4_K`, `q4_0` and `iq4_xs`; types that are unpacked in the same way have one."""
    known = _FAMILIES.get(type_name)
    if known is not None:
        return known
    bits = next((c for c in type_name if c.isdigit()), "")
    return f"q{bits}" if bits else type_name


@dataclass(frozen=True, slots=True)
class Read:
    """A tensor as decoding reads it."""

    layer: int
    type_name: str
    expert: bool
    read_bytes: float


def reads_by_layer(reads: Iterable[Read], layers: int) -> tuple[Mapping[str, float], ...]:
    """GB by kind for every layer."""
    found: Sequence[dict[str, float]] = [{} for _ in range(layers)]
    for read in reads:
        kind = f"{'expert' if read.expert else 'dense'} {family(read.type_name)}"
        found[read.layer][kind] = found[read.layer].get(kind, 0.0) + read.read_bytes / GB
    return tuple(_without_crumbs(kinds) for kinds in found)


def _without_crumbs(kinds: dict[str, float]) -> dict[str, float]:
    whole = sum(kinds.values())
    kept = {kind: size for kind, size in kinds.items() if size >= _LEAST_PART * whole}
    if kept:
        kept[max(kept, key=lambda kind: kept[kind])] += whole - sum(kept.values())
    return kept
