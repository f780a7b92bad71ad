"""What stands where on the main screen: a function of the terminal's size and of the panes.

The style sheet (`hettui.ui.screens.body`) lays it out, and says the same: the first frame, which has no style sheet,
and whoever needs a size before anything was laid out ask here.
"""

from __future__ import annotations

from hettui.domain.records import dataclass
from hettui.domain.screen.panes import PanesState
from hettui.ui.drawing.layout import Arrangement
from hettui.ui.drawing.top_rows import HIGH_ROWS, bar_rows

WIDE_CELLS, ULTRA_CELLS = 110, 200
"""From so many cells on a pane stands beside the devices, and two do."""
_LEAST_BESIDE_CELLS = 62


@dataclass(frozen=True, slots=True)
class Room:
    """A place on the terminal, in cells."""

    x: int
    y: int
    width: int
    rows: int


@dataclass(frozen=True, slots=True)
class Rooms:
    """Of one size. The header is the first row, and the plan line follows the bars."""

    layer_rows: int
    time_rows: int
    tabs: Room | None
    """Of all panes; None: they stand above the panes, or nowhere."""
    devices: Room
    """As it is, or would be if it were to be seen."""
    beside: tuple[Room, ...]
    """Panes beside the devices, each with its tabs and without the line at its left."""
    footer: int
    """Its row."""


def rooms(size: tuple[int, int], panes: PanesState) -> Rooms:
    """`size` in columns and lines."""
    width, height = size
    narrow, ultra = width < WIDE_CELLS, width >= ULTRA_CELLS
    layer, time = bar_rows(height)
    y = 2 + layer + time
    tabs = Room(0, y, width, 1) if narrow and layer else None
    y += tabs is not None
    footer = height - 1
    air = int(height >= HIGH_ROWS)
    if narrow or panes.zoomed:
        return Rooms(layer, time, tabs, Room(0, y + air, width, footer - y - air), (), footer)
    own = width * 40 // 100 if ultra else max(_LEAST_BESIDE_CELLS, width * 46 // 100)
    devices, rest = Room(0, y + air, own, footer - y - air), width - own - 1
    if not ultra:
        return Rooms(layer, time, tabs, devices, (Room(own + 1, y, rest, footer - y),), footer)
    half = rest // 2
    first = Room(own + 1, y, half, footer - y)
    second = Room(own + 1 + half + 1, y, rest - half - 1, footer - y)
    return Rooms(layer, time, tabs, devices, (first, second), footer)


def seen(size: tuple[int, int], panes: PanesState) -> frozenset[str]:
    """The panes that are to be seen in a terminal of this size."""
    return panes.shown(narrow=size[0] < WIDE_CELLS, both=size[0] >= ULTRA_CELLS)


def card_rooms(found: Arrangement, devices: int, room: Room) -> list[Room] | None:
    """Of each device, the host's last; None where they scroll. Where the last row of a grid has cells left, the host
    has those."""
    if found.titles + found.list_rows(devices) > room.rows:
        return None
    edges = [room.x + room.width * n // found.columns for n in range(found.columns + 1)]
    top, step = room.y + found.titles, found.card_rows + found.gap
    places = [divmod(n, found.columns) for n in range(devices + 1)]
    cards = [
        Room(edges[column], top + row * step, edges[column + 1] - edges[column], found.card_rows)
        for row, column in places[:-1]
    ]
    row, column = places[-1]
    return [*cards, Room(edges[column], top + row * step, edges[-1] - edges[column], found.host_rows)]


def below_cards(found: Arrangement, devices: int, room: Room) -> Room:
    """Of the selected device's details."""
    return Room(room.x, room.y + found.titles + found.list_rows(devices), room.width, found.details_rows)
