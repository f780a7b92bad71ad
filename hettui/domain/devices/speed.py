"""How fast a device is, as far as it was measured: what each kind of work costs there, and how sure that is."""

from __future__ import annotations

from math import sqrt

from hettui.domain.records import dataclass

LAYER, HOP, CONTEXT = "layer", "hop", "context"
"""Beside kinds of weights: what a layer costs whatever it weighs, what a token costs for coming and going, and what is
read of the KV cache, which grows with the conversation."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Milliseconds by kind of work: of weights per GB that is read, per layer, per hop."""

    names: tuple[str, ...]
    """Kinds of weights (`dense q4`, see `domain/model/reads.py`), `LAYER` and `HOP`."""
    values_ms: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    """Of the values, in their order: what is not sure of one may be sure of a sum of several."""
    windows: int = 0
    """Answers that it was read from."""
    at_unix_s: float = 0.0
    """When the last one was."""
    slower_now: float = 1.0
    """So many times longer than it is by itself, while `why_now` holds."""
    why_now: str = ""
    """`shared`, `throttled`; empty when nothing is the matter."""

    @property
    def sound(self) -> bool:
        """Reading takes time, and nothing takes less than none: what comes from a file may be damage."""
        n = len(self.names)
        if [len(row) for row in self.covariance] != [n] * n or len(self.values_ms) != n or self.slower_now < 1:
            return False
        alone = [row[i] for i, row in enumerate(self.covariance)]
        known = zip(self.names, self.values_ms, strict=True)
        return min(alone, default=0.0) >= 0 and all(ms >= 0 if name == LAYER else ms > 0 for name, ms in known)

    def value_ms(self, name: str) -> float | None:
        return self.values_ms[self.names.index(name)] if name in self.names else None

    def doubt_ms(self, amounts: dict[str, float]) -> float:
        """The standard deviation of what this much work takes; kinds that were never measured are left out."""
        x = [amounts.get(name, 0.0) for name in self.names]
        spread = sum(a * b * self.covariance[i][j] for i, a in enumerate(x) for j, b in enumerate(x))
        return sqrt(max(spread, 0.0)) * self.slower_now
