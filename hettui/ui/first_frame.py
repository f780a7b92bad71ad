"""The first frame before there is a screen: as Textual will draw it a moment later, without it.

It needs a session and no more. Importing Textual and making widgets takes longer than everything before: whoever waits
reads meanwhile what is planned. What stands beside the devices and what is explained below them comes with the
screen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rich.cells import cell_len
from rich.color import Color, ColorSystem
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import DEFAULT_TERMINAL_THEME

from hettui.domain.plan.plan import History
from hettui.domain.records import dataclass
from hettui.domain.screen.panes import CHAT, DEVICES, PanesState
from hettui.domain.screen.terminal import Terminal, colour_depth, glyphs
from hettui.ui.colours.colour_math import rgb_of
from hettui.ui.colours.roles import Look, filled
from hettui.ui.colours.theme_file import ThemeColours
from hettui.ui.drawing import card_rows, key_row, tabs_row, top_rows
from hettui.ui.drawing.card_rows import Frame
from hettui.ui.drawing.device_row import row_titles
from hettui.ui.drawing.footer_row import footer
from hettui.ui.drawing.gauges import Runs
from hettui.ui.drawing.layout import arrange
from hettui.ui.drawing.rooms import ULTRA_CELLS, Room, Rooms, below_cards, card_rooms, rooms, seen
from hettui.ui.presenting import circumstances, presenter
from hettui.ui.presenting.facts import Facts
from hettui.ui.presenting.views import CardView
from hettui.ui.terminal.cells import PLAIN, Cells, Picture, cells_of, change_of_look
from hettui.ui.terminal.colour_depth import in_depth
from hettui.ui.terminal.glyphs import in_glyphs

LEAST_CELLS = 20
_BESIDE = 1
"""Cells left and right of every row."""
_DIM = 0.66
"""What Textual leaves of the difference between what is dim and its ground (8.2.8)."""
_EDGES = {"outer": "▌", "wide": "▎", "vkey": "▏"}
"""Textual's borders at the left, on the ground of what they are of (8.2.8)."""


@dataclass(frozen=True, slots=True)
class FirstFrame:
    """What the terminal shall show, and the text that makes an empty one show it."""

    picture: Picture
    text: str


@dataclass(frozen=True, slots=True)
class Begin:
    """What the screen begins with."""

    facts: Facts
    place: int
    """Of the selected device in the list of devices."""
    history: History
    panes: PanesState
    refusal: str = ""
    """Why nothing may be changed here."""


def first_frame(begin: Begin, size: tuple[int, int], theme: ThemeColours, terminal: Terminal) -> FirstFrame | None:
    """`size` in columns and lines; None where there is no room for all of the rows, or another pane has them all."""
    columns, lines = size
    panes = begin.panes
    if columns < LEAST_CELLS or lines < top_rows.SHORT_ROWS or (panes.zoomed and panes.front != DEVICES):
        return None
    if DEVICES in seen(size, panes):
        # Where they are to be seen they have the keyboard, whatever had it before.
        begin = replace(begin, panes=panes.with_front(DEVICES))
    ink = _Ink(theme, terminal, begin.facts.session.config.ascii)
    canvas = _Canvas(ink, size)
    there = rooms(size, panes)
    _draw_top(canvas, begin, there, columns)
    _draw_tabs(canvas, begin, there, size)
    if begin.panes.front == DEVICES:
        views = presenter.cards(begin.facts)
        _draw_devices(canvas, views, begin.place, there.devices)
        _draw_footer(canvas, begin, views, Room(0, there.footer, columns, 1))
    return FirstFrame(canvas.picture, ink.clear + canvas.picture.difference())


def _draw_top(canvas: _Canvas, begin: Begin, there: Rooms, columns: int) -> None:
    facts, width = begin.facts, columns - 2 * _BESIDE
    rows = [
        *top_rows.layer_rows(presenter.layer_bar(facts), width, there.layer_rows),
        *([top_rows.time_row(presenter.time_bar(facts), width)] if there.time_rows else []),
        top_rows.plan_row(presenter.plan_line(facts), width),
    ]
    canvas.row(Room(0, 0, columns, 1), top_rows.header_row(presenter.header(facts), width), top_rows.LOOKS, "panel")
    for y, runs in enumerate(rows, 1):
        canvas.row(Room(0, y, columns, 1), runs, top_rows.LOOKS)


def _draw_tabs(canvas: _Canvas, begin: Begin, there: Rooms, size: tuple[int, int]) -> None:
    """And the lines at the left of what stands beside the devices."""
    top, first, second = tabs_row.tabs_views(begin.facts.keys, begin.panes, both=size[0] >= ULTRA_CELLS)
    placed = [(there.tabs, top)] if there.tabs else []
    views = (first, second) if len(there.beside) > 1 else (first if begin.panes.side == CHAT else second,)
    placed += list(zip(there.beside, views, strict=False))
    for room, view in placed:
        runs = tabs_row.tabs_row(view, room.width - 2 * _BESIDE)
        canvas.row(room, runs, tabs_row.LOOKS, "panel")
    for room in there.beside:
        for y in range(room.y, room.y + room.rows):
            canvas.edge(room.x - 1, y, "vkey", "panel", "background")


def _draw_devices(canvas: _Canvas, views: list[CardView], selected: int, room: Room) -> None:
    """Nothing where they have to be scrolled."""
    devices, experts = len(views) - 1, any(view.experts is not None for view in views)
    found = arrange(devices, room.rows, room.width, int(experts))
    places = card_rooms(found, devices, room)
    if places is None:
        return
    if found.titles:
        canvas.bordered(Room(room.x, room.y, room.width, 1), [row_titles(room.width - 3)], ("outer", "background"))
    for place, (view, card) in enumerate(zip(views, places, strict=True)):
        chosen = place == selected
        marker = card_rows.FOCUSED if chosen else " "
        rows = card_rows.device_rows(view, Frame(found.form, card.width - 3, card.rows, found.graph_rows, marker))
        own = f"hettui-device-{view.colour}" if view.colour else "primary" if chosen else "background"
        kind = "outer" if chosen or not view.colour else "wide"
        canvas.bordered(card, rows, (kind, own), "surface" if chosen else "background")
    if found.details_rows:
        below = below_cards(found, devices, room)
        frame = card_rows.details_frame(below.width - 3, below.rows, found.graph_rows)
        rows = card_rows.details_rows(views[selected], frame, beside=found.form)
        canvas.bordered(below, rows, ("outer", "surface"), "surface")


def _draw_footer(canvas: _Canvas, begin: Begin, views: list[CardView], room: Room) -> None:
    short = any(view.short_bytes > 0 for view in views)
    situation = circumstances.situation(begin.facts, begin.history, refusal=begin.refusal, short=short)
    entries, stays = footer(begin.facts.keys, replace(situation, pane=DEVICES))
    width = room.width - 2 * _BESIDE
    canvas.row(room, key_row.fitting(width, entries, stays).runs(width), key_row.LOOKS, "panel")


class _Canvas:
    """Puts rows where they belong."""

    def __init__(self, ink: _Ink, size: tuple[int, int]) -> None:
        self._ink = ink
        self.picture = Picture()
        self.picture.resize(*size)
        # Blanks are written, too: not every terminal clears in a colour.
        blank = ink.cells("background", [(" " * size[0], "")], {})
        for y in range(size[1]):
            self.picture.put(0, y, blank)

    def row(self, room: Room, runs: Runs, looks: Mapping[str, Look], ground: str = "background") -> None:
        """In the first row of the room, with air at both sides."""
        width = room.width - 2 * _BESIDE
        rest = max(0, width - sum(cell_len(text) for text, _ in runs))
        texts, styles = self._ink.cells(ground, [*runs, (" " * rest, "")], looks)
        beside, ground_looks = self._ink.cells(ground, [(" " * _BESIDE, "")], {})
        cells = [*beside, *texts[:width], *beside], [*ground_looks, *styles[:width], *ground_looks]
        self.picture.put(room.x, room.y, cells)

    def bordered(self, room: Room, rows: list[Runs], edge: tuple[str, str], ground: str = "background") -> None:
        """Rows of a device, behind an edge: its kind, and its colour in the theme."""
        for y in range(room.rows):
            inner = Room(room.x + 1, room.y + y, room.width - 1, 1)
            self.row(inner, rows[y] if y < len(rows) else [], card_rows.LOOKS, ground)
            self.edge(room.x, room.y + y, *edge, ground)

    def edge(self, x: int, y: int, kind: str, colour: str, ground: str) -> None:
        """One cell of it."""
        self.picture.put(x, y, self._ink.cells(ground, [(_EDGES[kind], kind)], {kind: Look(colour)}))


class _Ink:
    """Makes cells of rows, in colours and glyphs that the terminal has."""

    def __init__(self, theme: ThemeColours, terminal: Terminal, ascii_wanted: bool | None) -> None:
        self._colours = theme.all
        self._glyphs = glyphs(terminal, ascii_wanted)
        self._background = rgb_of(self._colours["background"])
        self._dims = colour_depth(terminal) in ("truecolor", "256")
        # No role is a colour that has a name only.
        self._in_depth = in_depth(
            colour_depth(terminal), self._background, dark=theme.dark, named=DEFAULT_TERMINAL_THEME
        )

    @property
    def clear(self) -> str:
        """Makes the terminal an empty one in the theme's background."""
        _, (ground, *_) = self.cells("background", [(" ", "")], {})
        return f"{change_of_look(PLAIN, ground)}\x1b[H\x1b[J{change_of_look(ground, PLAIN)}"

    def cells(self, ground: str, runs: Runs, looks: Mapping[str, Look]) -> Cells:
        """Pieces with roles, on a ground of the theme."""
        base = filled(self._colours["foreground"], self._colours[ground])
        segments = [Segment(text, self._style(base, roles, looks)) for text, roles in runs if text]
        segments = list(Segment.simplify(segments))
        if self._in_depth is not None:
            segments = self._in_depth.apply(segments, self._background)
        return cells_of(in_glyphs(self._glyphs, segments), ColorSystem.TRUECOLOR)

    def _style(self, base: Style, roles: str, looks: Mapping[str, Look]) -> Style:
        for role in roles.split():
            base += looks[role].style(self._colours)
        return _dimmed(base) if base.dim and self._dims else base


def _dimmed(style: Style) -> Style:
    """As Textual's filter writes what is dim: in a colour between it and its ground."""
    ink, ground = (color.get_truecolor() for color in (style.color, style.bgcolor) if color is not None)
    mixed = (g + (i - g) * _DIM for i, g in zip(ink, ground, strict=True))
    return style + Style(color=Color.from_rgb(*mixed), dim=False)
