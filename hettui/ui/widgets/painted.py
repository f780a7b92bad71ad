"""Widgets that draw their rows themselves and repaint only the cells that change: cheap over a slow line, and sixteen
of them within a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from rich.cells import cell_len
from textual.geometry import Region, Size
from textual.strip import Strip

from hettui.ui.drawing import gauges
from hettui.ui.drawing.gauges import Runs
from hettui.ui.widgets.in_roles import InRoles


class Painted(InRoles):
    """Heirs say what stands in each row, as pieces with roles, and in `ROLES` what those look like."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._drawn: list[Runs] = []
        """What stands on the screen."""
        self._drawn_for: Size | None = None
        """The room that these rows were made for; None: what they are made of may have changed since."""

    def drawn_rows(self) -> Sequence[Runs]:
        """At most as many as there is room for; each at most as wide as the content."""
        raise NotImplementedError

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Self:
        self._drawn_for = None
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def repaint(self) -> None:
        """After any change of what the rows are made of."""
        before = self._drawn
        self._fill()
        size = self._drawn_for
        if len(before) != len(self._drawn):
            self.refresh()
        else:
            changes = (gauges.changed_cells(old, new) for old, new in zip(before, self._drawn, strict=True))
            regions = [Region(cells[0], y, cells[1], 1) for y, cells in enumerate(changes) if cells]
            if regions:
                self.refresh(*regions)
        self._drawn_for = size

    def _fill(self) -> None:
        width, height = self._drawn_for = self.content_size
        self._drawn = [
            [*runs, (" " * max(0, width - sum(cell_len(text) for text, _ in runs)), "")]
            for runs in self.drawn_rows()[:height]
        ]

    def render_line(self, y: int) -> Strip:
        if self._drawn_for is None or self._drawn_for != self.content_size:
            self._fill()
        return self.in_roles(self._drawn[y] if y < len(self._drawn) else [(" " * self.content_size.width, "")])
