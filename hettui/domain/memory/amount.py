"""How much lies on a device, by what it is for. Whoever only tells of it needs nothing of how it is worked out."""

from __future__ import annotations

from hettui.domain.records import dataclass


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on one device or on the host, by llama.cpp's buffers."""

    weights_bytes: int = 0
    context_bytes: int = 0
    compute_bytes: int = 0
    overhead_bytes: int = 0
    draft_bytes: int = 0
    """Everything of a draft model's: its weights, its context, its compute buffer."""
    beside_bytes: int = 0
    """Of a projector, of LoRA adapters, of control vectors: weights and compute buffers."""

    @property
    def own_bytes(self) -> int:
        """The model's, in llama.cpp's buffers."""
        return self.weights_bytes + self.context_bytes + self.compute_bytes

    @property
    def total_bytes(self) -> int:
        return self.own_bytes + self.overhead_bytes + self.draft_bytes + self.beside_bytes
