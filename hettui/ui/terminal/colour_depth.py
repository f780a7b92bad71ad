"""The screen on terminals with fewer colours, or none: the last thing that happens to a row before it is written.

Textual leaves this to Rich, which takes the nearest colour of each: in 256 colours every dark ground becomes black; in
16 a text and its ground may become the same; and with NO_COLOR greys are written.

| depth | ground | what |
| 256 | the theme's | the nearest of the 240 fixed colours; a text keeps its contrast up to 4.5 |
| 16 | black, in light themes white | hues; what matters less is grey; grounds that only set apart are not drawn |
| none | the terminal's own | fills and what is chosen are reversed; bold and underlined stay |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache

from rich.cells import cell_len
from rich.color import Color as RichColor
from rich.color_triplet import ColorTriplet
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import TerminalTheme

from hettui.domain.screen.terminal import ColourDepth
from hettui.ui.colours.colour_math import RGB, contrast, oklab
from hettui.ui.colours.theme_file import TEXT_CONTRAST

_CUBE = (0, 95, 135, 175, 215, 255)
_FIXED: dict[int, RGB] = {
    16 + 36 * r + 6 * g + b: (_CUBE[r], _CUBE[g], _CUBE[b]) for r in range(6) for g in range(6) for b in range(6)
} | {232 + n: (8 + 10 * n, 8 + 10 * n, 8 + 10 * n) for n in range(24)}
"""The colours of 256 that are the same on every terminal."""
_FIXED_OKLAB = {number: oklab(color) for number, color in _FIXED.items()}

_FILL = 1.6
"""Contrast with the theme's ground from which on a ground is meant to be seen: surfaces and panels are below."""
_HIDDEN = 1.12
"""Contrast below which a glyph was never meant to be seen, as the edge of a card that is not selected."""
_FAINT = 2.0
_STRONG = 8.0
"""Contrast of the text that matters most; what is muted has less."""
_GREY_CHROMA = 0.05

BLACK, RED, GREEN, YELLOW, BLUE, MAGENTA, CYAN, WHITE = range(8)
BRIGHT = 8
_HUES = ((50, RED), (115, YELLOW), (170, GREEN), (222, CYAN), (285, BLUE), (345, MAGENTA), (361, RED))
"""OKLab's angle up to which a hue is called so."""
_WHITE_ON = (RED, BLUE, MAGENTA)
_READABLE_ON_WHITE = (RED, BLUE, MAGENTA)


def in_depth(depth: ColourDepth, ground: RGB, *, dark: bool, named: TerminalTheme) -> InDepth | None:
    """What makes a theme of this ground readable at that depth; None where nothing has to be done. `named` says what
    colours are that have names only."""
    if depth == "truecolor":
        return None
    if depth == "256":
        return InDepth(_in_256, named)
    if depth == "16":
        return InDepth(lambda ink, behind, dim: _in_16(ink, behind, ground, dim=dim, dark=dark), named)
    return InDepth(lambda ink, behind, dim: _in_none(ink, behind, ground), named)


class InDepth:
    """Every style by another that stands for it; what was never to be seen becomes blank."""

    def __init__(self, mapping: Callable[[RGB, RGB, bool], Style], named: TerminalTheme) -> None:
        """`mapping` turns the colours of a text and its ground, and whether it is dim, into what is written instead."""
        self._mapping = mapping
        self._named = named
        self._known: dict[Style, tuple[Style, bool]] = {}

    def apply(self, segments: Iterable[Segment], background: RGB) -> list[Segment]:
        """`background` is behind what names no ground."""
        written = []
        for text, style, control in segments:
            if style is None or control:
                written.append(Segment(text, style, control))
                continue
            other, hidden = self._known.get(style) or self._translate(style, background)
            written.append(Segment(" " * cell_len(text) if hidden else text, other))
        return written

    def _translate(self, style: Style, background: RGB) -> tuple[Style, bool]:
        ink, ground = self._rgb(style.color, background), self._rgb(style.bgcolor, background)
        if style.reverse:
            ink, ground = ground, ink
        plain = style.without_color + Style(reverse=False)
        found = plain + self._mapping(ink, ground, bool(style.dim)), contrast(ink, ground) < _HIDDEN
        # Not for ever: the colours of a syntax highlighter in a long chat are many, those of the screen are few.
        if len(self._known) > 4096:
            self._known.clear()
        self._known[style] = found
        return found

    def _rgb(self, color: RichColor | None, otherwise: RGB) -> RGB:
        triplet = None if color is None or color.is_default else color.get_truecolor(self._named)
        return otherwise if triplet is None else (triplet.red, triplet.green, triplet.blue)


# -- 256 ---------------------------------------------------------------------------------------------------------


@lru_cache(4096)
def nearest_fixed(color: RGB) -> int:
    """The number of the fixed colour that looks most like it."""
    wanted = oklab(color)
    return min(_FIXED, key=lambda number: math.dist(_FIXED_OKLAB[number], wanted))


def _in_256(ink: RGB, ground: RGB, dim: bool) -> Style:
    behind = nearest_fixed(ground)
    front = nearest_fixed(ink)
    needed = min(contrast(ink, ground), TEXT_CONTRAST)
    if contrast(_FIXED[front], _FIXED[behind]) < needed:
        wanted = oklab(ink)
        enough = [n for n, color in _FIXED.items() if contrast(color, _FIXED[behind]) >= needed]
        front = min(enough, key=lambda number: math.dist(_FIXED_OKLAB[number], wanted), default=front)
    return Style(color=_numbered(front), bgcolor=_numbered(behind), dim=False)


def _numbered(number: int) -> RichColor:
    return RichColor.from_ansi(number)


# -- 16 ----------------------------------------------------------------------------------------------------------


def _hue(color: RGB) -> int | None:
    """One of the six colours, or None for grey."""
    _, a, b = oklab(color)
    if math.hypot(a, b) < _GREY_CHROMA:
        return None
    angle = math.degrees(math.atan2(b, a)) % 360
    return next(name for end, name in _HUES if angle < end)


def _in_16(ink: RGB, ground: RGB, theme_ground: RGB, *, dim: bool, dark: bool) -> Style:
    paper, pen = (BLACK, WHITE) if dark else (WHITE + BRIGHT, BLACK)
    if contrast(ground, theme_ground) >= _FILL:
        fill = _hue(ground)
        if fill is None:
            return Style(color=_numbered(paper), bgcolor=_numbered(pen))
        if fill in _WHITE_ON:
            return Style(color=_numbered(WHITE + BRIGHT), bgcolor=_numbered(fill))
        return Style(color=_numbered(BLACK), bgcolor=_numbered(fill))
    strength, hue = contrast(ink, ground), _hue(ink)
    if dim or strength < _FAINT:
        front = BLACK + BRIGHT
    elif hue is None:
        front = WHITE + BRIGHT if dark and strength >= _STRONG else pen
    elif dark:
        front = hue + BRIGHT
    else:
        front = hue if hue in _READABLE_ON_WHITE else pen
    return Style(color=_numbered(front), bgcolor=_numbered(paper), dim=False)


# -- none --------------------------------------------------------------------------------------------------------


def _in_none(ink: RGB, ground: RGB, theme_ground: RGB) -> Style:
    if contrast(ground, theme_ground) >= _FILL:
        return Style(reverse=True)
    return Style(dim=True) if contrast(ink, ground) < _FAINT else Style.null()


def fixed_rgb(number: int) -> ColorTriplet:
    """What one of the fixed 240 looks like."""
    return ColorTriplet(*_FIXED[number])
