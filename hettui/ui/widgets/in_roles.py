"""Widgets whose text stands in roles, which the theme colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rich.segment import Segment
from textual.content import Content
from textual.strip import Strip
from textual.widget import Widget

from hettui.ui.colours.roles import Look
from hettui.ui.drawing.gauges import Runs


class InRoles(Widget):
    """With another theme its app refreshes it: Textual knows nothing of roles."""

    ROLES: ClassVar[Mapping[str, Look]] = {}

    def in_roles(self, runs: Runs) -> Strip:
        """A piece may name several roles, the later ones over the earlier: `device-3 selected`."""
        variables = self.app.theme_variables
        base = self.rich_style
        segments = []
        for text, roles in runs:
            style = base
            for role in roles.split():
                style += self.ROLES[role].style(variables)
            segments.append(Segment(text, style))
        # Neighbours of one style are written as one: each of its own would cost its colours once more.
        return Strip(segments).simplify().crop(0, self.content_size.width)


def content_of(runs: Runs, looks: Mapping[str, Look]) -> Content:
    """A row that Textual draws itself, so that it can be selected."""
    words = ((text, " ".join(looks[role].words for role in roles.split())) for text, roles in runs if text)
    return Content.assemble(*words)
