"""What a role looks like, in the names of a theme's variables.

Textual's way for this are component classes. It styles every one of them again whenever their widget is styled: 22 of
a card took 8 ms, which sixteen cards made a quarter of a second for every form that they change to. A look-up while a
row is drawn costs nothing, and what a role looks like depends on the theme alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from rich.color import Color
from rich.style import Style

from hettui.domain.records import dataclass
from hettui.ui.colours.colour_math import rgb_of


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

    @property
    def words(self) -> str:
        """The same in the words of Textual's content."""
        colour, ground = f"${self.colour}" if self.colour else "", f"on ${self.ground}" if self.ground else ""
        return " ".join(filter(None, (self.text, colour, ground)))


@lru_cache(maxsize=1024)
def _style(colour: str, ground: str, text: str) -> Style:
    return filled(colour, ground) + Style.parse(text)


def filled(colour: str, ground: str) -> Style:
    """Colours as a theme has them, `#RRGGBB`; empty: as what is below."""
    return Style(
        color=Color.from_rgb(*rgb_of(colour)) if colour else None,
        bgcolor=Color.from_rgb(*rgb_of(ground)) if ground else None,
    )
