"""Fewer colours and fewer glyphs as Textual's filters of a line."""

from __future__ import annotations

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter
from textual.theme import Theme

from hettui.domain.screen.terminal import ColourDepth, Glyphs
from hettui.ui.colours.themes import terminal_theme
from hettui.ui.terminal.colour_depth import InDepth, in_depth
from hettui.ui.terminal.glyphs import in_glyphs


def colour_filter(depth: ColourDepth, theme: Theme) -> LineFilter | None:
    """What makes a theme readable at that depth; None where nothing has to be done."""
    ground = Color.parse(theme.background or "#000000").rgb
    found = in_depth(depth, ground, dark=theme.dark, named=terminal_theme(theme))
    return None if found is None else DepthFilter(found)


class DepthFilter(LineFilter):
    """Colours by those that the terminal has."""

    def __init__(self, in_depth: InDepth) -> None:
        super().__init__()
        self._in_depth = in_depth

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return self._in_depth.apply(segments, background.rgb)


class GlyphFilter(LineFilter):
    """Text that the terminal cannot show by text that it can."""

    def __init__(self, glyphs: Glyphs) -> None:
        super().__init__()
        self._glyphs = glyphs

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return in_glyphs(self._glyphs, segments)
