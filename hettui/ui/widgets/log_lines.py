"""Lines with a name before each, drawn as they are looked at: five thousand of them are filtered between two keys."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from rich.cells import cell_len
from rich.segment import Segment
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from hettui.ui.colours.roles import Look
from hettui.ui.drawing.gauges import fit

_NAME_CELLS = 8
_EDGE = "▌"
"""Before each line, in its device's colour."""

Row = tuple[int, str, str]
"""The number of its device's colour, 0 for a process without one, its process's name, and the line: clean text."""


class LogLines(ScrollView, can_focus=False):
    """Follows the end until one scrolls up."""

    ALLOW_SELECT = False

    def __init__(self, most: int) -> None:
        super().__init__()
        self._rows: deque[Row] = deque(maxlen=most)
        self._cells = 0
        self._follows = True
        """The reader has not scrolled away from the end. Kept: what is not to be seen has no end to be at."""

    def __len__(self) -> int:
        return len(self._rows)

    def __bool__(self) -> bool:
        return True

    def show(self, rows: Sequence[Row]) -> None:
        """These and no others, from their end."""
        self._rows.clear()
        self._cells = 0
        self._grow(rows)
        self._follows = True
        self._to_end()

    def add(self, rows: Sequence[Row]) -> None:
        """More at the end."""
        self._grow(rows)
        self._to_end()

    def on_mount(self) -> None:
        self._to_end()

    def on_resize(self) -> None:
        """Also the first time that its pane is to be seen."""
        self._to_end()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if self.size:
            self._follows = self.is_vertical_scroll_end

    def _to_end(self) -> None:
        if self._follows and self.size:
            self.scroll_end(animate=False)

    def _grow(self, rows: Sequence[Row]) -> None:
        self._rows.extend(rows)
        self._cells = max((self._cells, *(_NAME_CELLS + 2 + cell_len(line) for _, _, line in rows)))
        self.virtual_size = Size(self._cells, len(self._rows))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        left, top = self.scroll_offset
        width, style = self.size.width, self.rich_style
        if top + y >= len(self._rows):
            return Strip.blank(width, style)
        colour, name, line = self._rows[top + y]
        variables = self.app.theme_variables
        edge = Segment(_EDGE if colour else " ", style + Look(f"hettui-device-{colour or 1}").style(variables))
        named = Segment(fit(name, _NAME_CELLS) + " ", style + Look("hettui-muted").style(variables))
        return Strip([edge, named, Segment(line, style)]).crop_extend(left, left + width, style)
