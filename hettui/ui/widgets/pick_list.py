"""A list of any length of which only the rows on the screen are drawn. The screen above it moves the cursor."""

from __future__ import annotations

from collections.abc import Callable

from rich.cells import cell_len
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from hettui.ui.colours.roles import Look
from hettui.ui.drawing import gauges
from hettui.ui.drawing.gauges import Runs
from hettui.ui.widgets.in_roles import InRoles

Draw = Callable[[int, int], Runs]
"""The row of a number in so many cells."""

_WHEEL_ROWS = 3
NOWHERE = -1
"""The cursor of a list in which nothing is chosen."""


class PickList(InRoles):
    """Rows of text in roles, which the theme colours; a thumb at the right shows where one is."""

    ALLOW_SELECT = False
    ROLES = {
        "cursor": Look(ground="panel", text="bold"),
        "muted": Look("hettui-muted"),
        "ok": Look("hettui-ok"),
        "warn": Look("hettui-warn"),
        "crit": Look("hettui-crit"),
        "strong": Look(text="bold"),
        "thumb": Look("hettui-muted"),
    }
    DEFAULT_CSS = "PickList { height: 1fr; background: $surface; }"

    class Clicked(Message):
        """The mouse chose a row; `again`: the one that the cursor was on already."""

        def __init__(self, index: int, *, again: bool) -> None:
            super().__init__()
            self.index = index
            self.again = again

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._count = 0
        self._draw: Draw = lambda index, width: []
        self._cursor = NOWHERE
        self._top = 0
        self._drawn: list[Runs] = []
        """What stands on the screen."""

    @property
    def cursor(self) -> int:
        """The number of the row it is on; NOWHERE: none."""
        return self._cursor

    @property
    def rows(self) -> int:
        """How many are on the screen at once."""
        return max(1, self.content_size.height)

    def show(self, count: int, draw: Draw, cursor: int, *, steady: bool = False, anew: bool = False) -> None:
        """Other rows. `steady`: the row with the cursor stays where it is on the screen, whatever came before it;
        `anew`: from the first row on, if the cursor is in view then."""
        place = self._cursor - self._top
        self._count, self._draw = count, draw
        self._cursor = min(cursor, count - 1)
        if anew:
            self._top = 0
        elif steady and self._cursor != NOWHERE and 0 <= place < self.rows:
            self._top = self._cursor - place
        self._settle()

    def move(self, cursor: int) -> None:
        """The cursor to a row that exists, in view."""
        self._cursor = min(max(cursor, 0), self._count - 1)
        self._settle()

    def on_resize(self) -> None:
        self._settle()

    def _settle(self) -> None:
        rows = self.rows
        if self._cursor != NOWHERE:
            self._top = min(max(self._top, self._cursor - rows + 1), self._cursor)
        self._scroll_within()
        self._repaint()

    def _scroll_within(self) -> None:
        self._top = min(max(self._top, 0), max(0, self._count - self.rows))

    # -- drawing -------------------------------------------------------------------------------------------

    def _repaint(self) -> None:
        """Only the lines that changed: over a slow line a key costs two rows."""
        before, self._drawn = self._drawn, self._lines()
        if len(before) != len(self._drawn):
            self.refresh()
            return
        changed = [y for y, (old, new) in enumerate(zip(before, self._drawn, strict=True)) if old != new]
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    def _lines(self) -> list[Runs]:
        width, rows = self.content_size.width, self.content_size.height
        thumb = gauges.thumb(rows, self._top, self._count)
        lines: list[Runs] = []
        for y in range(rows):
            index = self._top + y
            runs = self._draw(index, max(0, width - 2)) if index < self._count else []
            room = width - 1 - sum(cell_len(text) for text, _ in runs)
            if index == self._cursor:
                runs = [(text, f"cursor {role}".strip()) for text, role in runs]
            lines.append([*runs, (" " * max(0, room), ""), ("┃" if y in thumb else " ", "thumb")])
        return lines

    def render_line(self, y: int) -> Strip:
        if y == 0 or y >= len(self._drawn):
            self._drawn = self._lines()
        return self.in_roles(self._drawn[y] if y < len(self._drawn) else [(" " * self.content_size.width, "")])

    # -- mouse ---------------------------------------------------------------------------------------------

    def on_click(self, event: events.Click) -> None:
        index = self._top + event.y
        if 0 <= event.y < self.rows and index < self._count:
            event.stop()
            self.post_message(self.Clicked(index, again=index == self._cursor))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, _WHEEL_ROWS)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, -_WHEEL_ROWS)

    def _wheel(self, event: events.MouseEvent, rows: int) -> None:
        event.stop()
        self._top += rows
        self._scroll_within()
        self._repaint()
