"""What widgets draw: frozen, complete, made by the presenter. Equal views mean that nothing need be drawn."""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.devices.colours import COLOURS
from hettui.domain.memory.forecast import Memory
from hettui.domain.model.movable import Movable
from hettui.domain.records import dataclass
from hettui.domain.telemetry.readings import DeviceSample


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
    experts: tuple[int, int] | None = None
    """Of how many of its blocks the experts, or the FFN of a dense model, lie there, and how many have any. None: not
    shown, as of dense models as long as none lies in RAM."""
    moves: Movable = "experts"
    """Which of them."""
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
    """State of its process, or of the line to it; empty when it has none now."""
    note: str = ""
    """One line: why it is slow, or what else there is to say."""
    note_role: str = "warn"
    """A colour's role in `hettui.ui.drawing.gauges`."""
    share: float | None = None
    """Of a token's time, with this plan; None is not known, or it holds nothing."""
    entry: str | None = None
    """A number that is being typed for it."""
    colour: int = 0
    """Its number among the theme's colours for devices; 0: none."""
    idle: bool = False
    """It holds nothing and is not asked for anything: drawn faint, with the reason."""

    @property
    def is_host(self) -> bool:
        return self.index < 0


@dataclass(frozen=True, slots=True)
class LayerBarView:
    """Names and layers in device order, the host's layers apart."""

    names: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()
    host_layers: int = 0
    selected: int | None = None
    """A place in `names`, or HOST."""
    colours: tuple[int, ...] = ()
    """Of each device its number among the theme's colours; left out: by their places."""

    def colour(self, place: int) -> int:
        return device_colour(self.colours, place)


@dataclass(frozen=True, slots=True)
class TimeBarView:
    """A token's time by device, in device order."""

    names: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    """Parts of the token's time; empty where a speed is not known."""
    token_s: float | None = None
    basis: Literal["measured", "planned", "by data", "not known"] = "not known"
    """`measured`: of what runs; `planned`: what answers on these devices say of this plan."""
    selected: int | None = None
    colours: tuple[int, ...] = ()
    """As in the layer bar."""

    def colour(self, place: int) -> int:
        return device_colour(self.colours, place)


def device_colour(colours: tuple[int, ...], place: int) -> int:
    """A device's number among the theme's colours."""
    return colours[place] if place < len(colours) else place % COLOURS + 1


Tone = Literal["muted", "ok", "warn", "crit", "entry"]


@dataclass(frozen=True, slots=True)
class PlanLineView:
    """The text, and how it is meant."""

    text: str = ""
    tone: Tone = "muted"
    fraction: float | None = None
    """Of a load bar drawn before the text; None: no bar."""
    extra: str = ""
    """Said where there is room for it."""
    faint: str = ""
    """The part of the text that is only expected: nothing has been measured of what it says."""


@dataclass(frozen=True, slots=True)
class HeaderView:
    """Everything that the top line says."""

    model: str
    state: ClusterState = ClusterState.DOWN
    address: str = ""
    rate: str = ""
    mark: str = ""
    """`DEMO`, `REC`, `REPLAY 01:23 / 05:00 ▶ 1×`: what must not be overlooked."""
    differs: bool = False
    """The plan is not what runs."""
