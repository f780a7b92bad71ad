"""What still happens to a row before it is written to this terminal: colours that it has, glyphs that it shows."""

from __future__ import annotations

from collections.abc import Sequence

from textual.filter import ANSIToTruecolor, LineFilter, Monochrome, NoColor
from textual.scrollbar import ScrollBar, ScrollBarRender
from textual.theme import Theme

from hettui.domain.screen.terminal import ColourDepth, Glyphs, Terminal, colour_depth, glyphs
from hettui.ui.terminal.filters import GlyphFilter, colour_filter


class WholeCells(ScrollBarRender):
    """A bar without the eighths at its ends, which would be letters beside it."""

    VERTICAL_BARS = [" "]
    HORIZONTAL_BARS = [" "]


class Output:
    """For an app's `get_line_filters`; on a terminal that shows everything it adds nothing and costs nothing."""

    def __init__(self, terminal: Terminal | None) -> None:
        """None: everything can be shown, as in pictures and tests."""
        self._terminal = terminal
        self._depth: ColourDepth = "truecolor" if terminal is None else colour_depth(terminal)
        self._glyphs: Glyphs = "unicode" if terminal is None else glyphs(terminal)
        self._colour_filter: LineFilter | None = None
        self._own: list[LineFilter] = []

    def use_theme(self, theme: Theme) -> None:
        """Which grounds only set apart depends on the theme's own."""
        self._colour_filter = colour_filter(self._depth, theme)
        self._combine()

    def use_ascii(self, wanted: bool | None) -> None:
        """`[ui] ascii`, once the configuration is known."""
        self._glyphs = glyphs(self._terminal or Terminal({}), wanted)
        self._combine()

    def _combine(self) -> None:
        drawn = [] if self._glyphs == "unicode" else [GlyphFilter(self._glyphs)]
        ScrollBar.renderer = WholeCells if drawn else ScrollBarRender
        self._own = [*([self._colour_filter] if self._colour_filter else []), *drawn]

    def filters(self, before: Sequence[LineFilter]) -> Sequence[LineFilter]:
        """All of them.

        Textual's own way with NO_COLOR, which writes greys, is left out; and where no colour stands for "dim" that it
        turns what is dim into colours.
        """
        if not self._own:
            return before
        without = (Monochrome, NoColor, ANSIToTruecolor) if self._depth in ("16", "none") else (Monochrome, NoColor)
        return [*(f for f in before if not isinstance(f, without)), *self._own]
