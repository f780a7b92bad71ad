"""The log pane: the lines of all processes in the order in which they came, each with its process's name."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.widgets import RichLog

from hettui.domain.text import clean_line
from hettui.ui.drawing import fit

MAX_LINES = 5000
_NAME_CELLS = 8
_COLOURS = ("cyan", "magenta", "yellow", "green", "blue")


class LogsPane(RichLog):
    """Follows the end until one scrolls up. Lines are plain text: nothing in them is markup."""

    DEFAULT_CSS = """
    LogsPane { height: 1fr; padding: 0 1; background: $background; scrollbar-size: 0 1; }
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, max_lines=MAX_LINES, wrap=False, markup=False, highlight=False, auto_scroll=True)
        self._seen: list[str] = []

    def add(self, process: str, lines: Sequence[str]) -> None:
        """New lines of one process."""
        if process not in self._seen:
            self._seen.append(process)
        colour = _COLOURS[self._seen.index(process) % len(_COLOURS)]
        name = fit(clean_line(process.removeprefix("worker ")), _NAME_CELLS) + " "
        at_end = self.is_vertical_scroll_end
        for line in lines:
            self.write(Text.assemble((name, colour), clean_line(line)), scroll_end=at_end)
