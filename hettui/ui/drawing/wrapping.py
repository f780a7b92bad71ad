"""Wraps plain text that grows at its end. Rows that are full never change again."""

from __future__ import annotations

from collections.abc import Callable


class GrowingRows:
    """`rows` after each `feed`: at most `width` cells each, broken at blanks where there are any.

    A piece of text costs its own length, however long everything before it is.
    """

    def __init__(self, width: int, cells: Callable[[str], int] = len) -> None:
        """`cells` measures a text on the screen: wide characters take two."""
        self.width = max(1, width)
        self._cells = cells
        self.rows: list[str] = []
        self._open = False
        """The last row may still grow."""

    def feed(self, text: str) -> int:
        """Adds text. Returns the index of the first row that is new or has changed."""
        changed = len(self.rows) - 1 if self._open else len(self.rows)
        for index, line in enumerate(text.split("\n")):
            if index and not self._open:
                self.rows.append("")
            if index:
                self._open = False
            if line:
                held = self.rows.pop() if self._open else ""
                self.rows.extend(self._wrap(held + line))
                self._open = True
        return max(0, changed)

    def _wrap(self, line: str) -> list[str]:
        rows: list[str] = []
        start = 0
        while (window := self._window(line, start)) is not None:
            head = self._head(window)
            rows.append(window[:head].rstrip(" "))
            start += head
        rows.append(line[start:])
        return rows

    def _window(self, line: str, start: int) -> str | None:
        """Enough of the line to fill a row, so that a line of a megabyte is not measured for every row; None when the
        rest fits."""
        size = 2 * self.width + 2
        while True:
            window = line[start : start + size]
            if self._cells(window) > self.width:
                return window
            if start + size >= len(line):
                return None
            # Characters without a width.
            size *= 2

    def _head(self, line: str) -> int:
        """How many characters go into the first row: up to its last blank if there is one, never none."""
        room = self._fitting(line)
        if line[room : room + 1] == " ":
            return room + 1
        blank = line.rfind(" ", 1, room)
        # An indentation is no place to break.
        return blank + 1 if blank > 0 and line[:blank].strip() else max(1, room)

    def _fitting(self, line: str) -> int:
        if line[: self.width].isascii():
            return self.width
        used = 0
        for index, character in enumerate(line):
            used += self._cells(character)
            if used > self.width:
                return index
        return len(line)
