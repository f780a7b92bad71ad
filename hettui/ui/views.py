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
    measured: Memory | None = None
    """llama.cpp's own buffers, after a launch."""
    sample: DeviceSample | None = None
    stale_s: float | None = None
    """Age of the reading when it is too old; None when it is fresh."""
    temperatures: tuple[float | None, ...] = ()
    loads: tuple[float | None, ...] = ()
    is_cpu: bool = True
    process: str = ""
    """State of its process; empty when it has none now."""
    note: str = ""
    """One line that says why, when there is something to say."""
    entry: str | None = None
    """A number that is being typed for it."""

    @property
    def is_host(self) -> bool:
        return self.index < 0
