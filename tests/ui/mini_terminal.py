"""As much of a terminal as the screen needs: places, looks, text. What it does not know it counts."""

from __future__ import annotations

import re

from rich.cells import cell_len

_PIECE = re.compile(r"\x1b\[([0-9;]*)([A-Za-z])|\x1b\[[?>=<][0-9;$]*[A-Za-z]|\x1b\][^\x07]*\x07|([^\x1b])", re.DOTALL)
_ENDS = {"22": "12", "23": "3", "24": "4", "25": "56", "27": "7", "28": "8", "29": "9"}

Cell = tuple[str, frozenset[str], str, str]
"""Text, attributes, foreground, background."""


class MiniTerminal:
    """`feed` it what a program writes."""

    def __init__(self, columns: int, lines: int) -> None:
        self.columns, self.lines = columns, lines
        blank: Cell = (" ", frozenset(), "", "")
        self.rows: list[list[Cell]] = [[blank] * columns for _ in range(lines)]
        self.x = self.y = 0
        self.questions = 0
        """For the cursor's place."""
        self.cells_written = 0
        self._attributes: frozenset[str] = frozenset()
        self._front = self._back = ""

    def feed(self, text: str) -> None:
        for match in _PIECE.finditer(text):
            if match[3] is not None:
                self._put(match[3])
            elif match[2] is not None:
                self._obey(match[2], match[1])

    def _obey(self, letter: str, numbers: str) -> None:
        values = [int(n or 0) for n in numbers.split(";")] if numbers else []
        if letter == "H":
            self.y, self.x = (values[0] - 1, values[1] - 1) if values else (0, 0)
        elif letter == "G":
            self.x = values[0] - 1
        elif letter == "n":
            self.questions += 1
        elif letter == "m":
            self._look(numbers.split(";") if numbers else ["0"])

    def _look(self, codes: list[str]) -> None:
        while codes:
            code = codes.pop(0)
            if code == "0":
                self._attributes, self._front, self._back = frozenset(), "", ""
            elif code in ("38", "48"):
                rest = [codes.pop(0)]
                rest += [codes.pop(0) for _ in range(3 if rest[0] == "2" else 1)]
                colour = ";".join([code, *rest])
                self._front, self._back = (colour, self._back) if code == "38" else (self._front, colour)
            elif code == "39":
                self._front = ""
            elif code == "49":
                self._back = ""
            elif len(code) > 1 and code[:-1] in ("3", "9"):
                self._front = code
            elif len(code) > 1 and code[:-1] in ("4", "10"):
                self._back = code
            elif code in _ENDS:
                self._attributes -= set(_ENDS[code])
            else:
                self._attributes |= {code}

    def _put(self, character: str) -> None:
        width = cell_len(character)
        cell: Cell = (character, self._attributes, self._front, self._back)
        if not width:
            before = self.rows[self.y][self.x - 1]
            self.rows[self.y][self.x - 1] = (before[0] + character, *before[1:])
            return
        self.cells_written += width
        row = self.rows[self.y]
        row[self.x] = cell
        if width == 2:
            row[self.x + 1] = ("", *cell[1:])
        self.x += width

    @property
    def text(self) -> str:
        return "\n".join("".join(cell[0] for cell in row).rstrip() for row in self.rows)
