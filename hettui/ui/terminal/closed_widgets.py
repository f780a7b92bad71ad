"""What was drawn of a widget goes with it.

Textual 8.2.8 remembers the grounds of the last 1,024 widgets together with all rows that it has drawn of them: every
dialog that was opened and closed stayed, at a megabyte each.
"""

from __future__ import annotations

from functools import lru_cache

from textual._styles_cache import StylesCache
from textual.color import Color
from textual.style import Style


@lru_cache(maxsize=256)
def _grounds(base: Color, ground: Color) -> tuple[Style, Style]:
    return Style(background=base + ground), Style(background=base)


def let_go_of_closed_widgets() -> None:
    """From now on, in all apps of this process: grounds are remembered by their colours alone."""

    def get_inner_outer(_: StylesCache, base_background: Color, background: Color) -> tuple[Style, Style]:
        return _grounds(base_background, background)

    StylesCache.get_inner_outer = get_inner_outer  # type: ignore[method-assign, assignment]
