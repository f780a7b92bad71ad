"""What a role looks like, in the names of a theme's variables.

Textual's way for this are component classes. It styles every one of them again whenever their widget is styled: 22 of
a card took 8 ms, which sixteen cards made a quarter of a second for every form that they change to. A look-up while a
row is drawn costs nothing, and what a role looks like depends on the theme alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from rich.style import Style
from textual.color import Color

from hettui.domain.records import dataclass


@dataclass(frozen=True, slots=True)
class Look:
    """`colour` and `ground` are variables of the theme without `$`, empty: as what is below; `text` is Rich's words."""

    colour: str = ""
    ground: str = ""
    text: str = ""

    def style(self, variables: Mapping[str, str]) -> Style:
        """Says only what the role changes. Raises KeyError for a variable that no theme has."""
        colour = variables[self.colour] if self.colour else ""
        ground = variables[self.ground] if self.ground else ""
        return _style(colour, ground, self.text)


@lru_cache(maxsize=1024)
def _style(colour: str, ground: str, text: str) -> Style:
    style = Style(
        color=Color.parse(colour).rich_color if colour else None,
        bgcolor=Color.parse(ground).rich_color if ground else None,
    )
    return style + Style.parse(text)
