"""Widgets whose text stands in roles, which the theme colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.content import Content
from textual.strip import Strip
from textual.widget import Widget

from hettui.ui.colours.roles import Look
from hettui.ui.drawing.gauges import Runs


class InRoles(Widget):
    """With another theme its app refreshes it: Textual knows nothing of roles."""

    ROLES: ClassVar[Mapping[str, Look]] = {}
    _mixed: dict[str, Style]
    _mixed_of: tuple[object, object] | None = None
    """What the mixed styles are made of: the widget's own, and the theme."""

    def in_roles(self, runs: Runs) -> Strip:
        """A piece may name several roles, the later ones over the earlier: `device-3 selected`."""
        # As `rich_style`, which asks all ancestors every time.
        base, variables = self.visual_style.rich_style, self.app.theme_variables
        if self._mixed_of is None or self._mixed_of[0] is not base or self._mixed_of[1] is not variables:
            self._mixed, self._mixed_of = {}, (base, variables)
        segments = []
        for text, roles in runs:
            style = self._mixed.get(roles)
            if style is None:
                style = self._mixed[roles] = self._mix(base, roles)
            segments.append(Segment(text, style))
        # Neighbours of one style are written as one: each of its own would cost its colours once more.
        return Strip(segments).simplify().crop(0, self.content_size.width)

    def _mix(self, base: Style, roles: str) -> Style:
        for role in roles.split():
            base += self.ROLES[role].style(self.app.theme_variables)
        return base


def content_of(runs: Runs, looks: Mapping[str, Look]) -> Content:
    """A row that Textual draws itself, so that it can be selected."""
    words = ((text, " ".join(looks[role].words for role in roles.split())) for text, roles in runs if text)
    return Content.assemble(*words)
