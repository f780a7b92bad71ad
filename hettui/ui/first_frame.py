"""The rows at the top of the screen before there is a screen: as Textual will draw them a moment later, without it.

They need a session and no more. Importing Textual and making widgets takes longer than everything before: whoever
waits reads meanwhile what is planned.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import DEFAULT_TERMINAL_THEME

from hettui.domain.records import dataclass
from hettui.domain.screen.terminal import Terminal, colour_depth, glyphs
from hettui.ui.colours.colour_math import rgb_of
from hettui.ui.colours.roles import filled
from hettui.ui.colours.theme_file import ThemeColours
from hettui.ui.drawing.gauges import Runs
from hettui.ui.drawing.top_rows import LOOKS, SHORT_ROWS, bar_rows, header_row, layer_rows, plan_row, time_row
from hettui.ui.presenting import presenter
from hettui.ui.presenting.facts import Facts
from hettui.ui.terminal.cells import PLAIN, Cells, Picture, cells_of, change_of_look
from hettui.ui.terminal.colour_depth import in_depth
from hettui.ui.terminal.glyphs import in_glyphs

LEAST_CELLS = 20
_BESIDE = 1
"""Cells left and right of every row."""


@dataclass(frozen=True, slots=True)
class FirstFrame:
    """What the terminal shall show, and the text that makes an empty one show it."""

    picture: Picture
    text: str


def first_frame(facts: Facts, size: tuple[int, int], theme: ThemeColours, terminal: Terminal) -> FirstFrame | None:
    """`size` in columns and lines; None where there is no room for all of the rows."""
    columns, lines = size
    if columns < LEAST_CELLS or lines < SHORT_ROWS:
        return None
    ink = _Ink(theme, terminal, facts.session.config.ascii)
    picture = Picture()
    picture.resize(columns, lines)
    rows = [ink.cells(ground, runs, columns) for ground, runs in _rows(facts, columns - 2 * _BESIDE, lines)]
    _, (ground, *_) = ink.cells("background", [], 1)
    clear = f"{change_of_look(PLAIN, ground)}\x1b[H\x1b[J{change_of_look(ground, PLAIN)}"
    return FirstFrame(picture, clear + picture.first(rows))


def _rows(facts: Facts, width: int, lines: int) -> Sequence[tuple[str, Runs]]:
    """From the top, each with the theme's name of its ground."""
    layer, time = bar_rows(lines)
    return [
        ("panel", header_row(presenter.header(facts), width)),
        *(("background", runs) for runs in layer_rows(presenter.layer_bar(facts), width, layer)),
        *([("background", time_row(presenter.time_bar(facts), width))] if time else []),
        ("background", plan_row(presenter.plan_line(facts), width)),
    ]


class _Ink:
    """Makes cells of rows, in colours and glyphs that the terminal has."""

    def __init__(self, theme: ThemeColours, terminal: Terminal, ascii_wanted: bool | None) -> None:
        self._colours = theme.all
        self._glyphs = glyphs(terminal, ascii_wanted)
        self._background = rgb_of(self._colours["background"])
        # No role is a colour that has a name only.
        self._in_depth = in_depth(
            colour_depth(terminal), self._background, dark=theme.dark, named=DEFAULT_TERMINAL_THEME
        )

    def cells(self, ground: str, runs: Runs, columns: int) -> Cells:
        """One row, as wide as the terminal."""
        base = filled(self._colours["foreground"], self._colours[ground])
        beside = " " * _BESIDE
        rest = max(0, columns - 2 * _BESIDE - sum(cell_len(text) for text, _ in runs))
        pieces = [(beside, ""), *runs, (" " * rest, ""), (beside, "")]
        segments = [Segment(text, self._style(base, roles)) for text, roles in pieces if text]
        segments = list(Segment.simplify(segments))
        if self._in_depth is not None:
            segments = self._in_depth.apply(segments, self._background)
        texts, looks = cells_of(in_glyphs(self._glyphs, segments), ColorSystem.TRUECOLOR)
        return texts[:columns], looks[:columns]

    def _style(self, base: Style, roles: str) -> Style:
        for role in roles.split():
            base += LOOKS[role].style(self._colours)
        return base
