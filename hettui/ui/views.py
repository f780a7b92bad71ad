"""What widgets draw: frozen, complete, made by the presenter. Equal views mean that nothing need be drawn."""

from __future__ import annotations

from dataclasses import dataclass, field

from hettui.domain.memory import Memory
from hettui.domain.telemetry import DeviceSample


@dataclass(frozen=True, slots=True)
class CardView:
    """One device's card."""

    index: int
    """Position in the device order; HOST for the master's CPU."""
    name: str
    role: str
    """`attached`, `worker :50052`, `worker on attic`"""
    layers: int
    maximum: int
    running: int | None = None
    """Layers in the running cluster; None when nothing runs."""
    ghost: int | None = None
    """Where the planner would put it."""
    locked: bool = False
    output: bool = False
    memory: Memory = field(default_factory=Memory)
    budget_bytes: int | None = None
    short_bytes: int = 0
    sample: DeviceSample | None = None
    """The last one; it may be stale."""
    card_bytes: int | None = None
    """The whole memory of the card."""
    own_bytes: int | None = None
    """What this cluster's processes hold of it now."""
    foreign_bytes: int | None = None
    """What others than this cluster hold of the card."""
    stale_s: float | None = None
    """Age of the reading when it is too old; None when it is fresh."""
    history: tuple[float | None, ...] = ()
    """Of two minutes: a card's temperature, a CPU's load."""
    loads: tuple[float | None, ...] = ()
    """Of two minutes: a card's load, where there is room to draw it."""
    is_cpu: bool = True
    process: str = ""
    """State of its process; empty when it has none now."""
    note: str = ""
    """One line: why it is slow, or what else there is to say."""
    note_role: str = "warn"
    """A colour's role in `hettui.ui.drawing`."""
    entry: str | None = None
    """A number that is being typed for it."""

    @property
    def is_host(self) -> bool:
        return self.index < 0
