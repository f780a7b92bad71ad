"""What the configuration says of kept contexts."""

from __future__ import annotations

from typing import Literal

from hettui.domain.records import dataclass
from hettui.domain.units import GIB

AtStop = Literal["delete", "keep"]
AT_STOP: tuple[AtStop, ...] = ("delete", "keep")
LEAST_TOKENS = 32
"""What is read again in a moment is not worth a file."""


@dataclass(frozen=True, slots=True)
class KeepPolicy:
    """`context-…` of `[serving]`. The files hold what was said, as numbers from which it can be read again."""

    limit_bytes: int = 16 * GIB
    """Of all files together; 0: nothing is kept."""
    folder: str | None = None
    """Where they lie; None: in the state folder."""
    at_stop: AtStop = "delete"
    """What becomes of them when a running cluster is stopped."""
    snapshot_s: float = 300.0
    """A slot that rests with something new is saved so long after its last saving; 0: not by time."""
    snapshot_tokens: int = 4096
    """So many new tokens are saved at once, when the slot rests; 0: not by tokens."""

    @property
    def on(self) -> bool:
        return self.limit_bytes > 0

    @property
    def snapshots(self) -> bool:
        """Whether slots are saved while all runs."""
        return self.on and (self.snapshot_s > 0 or self.snapshot_tokens > 0)

    def due(self, new_tokens: int, since_s: float) -> bool:
        """Whether a slot that rests is saved now: what is new in it, and how long ago it was saved last."""
        if not self.snapshots or new_tokens <= 0:
            return False
        by_time = self.snapshot_s > 0 and since_s >= self.snapshot_s
        return by_time or (0 < self.snapshot_tokens <= new_tokens)
