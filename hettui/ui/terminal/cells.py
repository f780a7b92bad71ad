"""What a terminal shows, as cells, and the shortest text that makes it show something else.

A `Picture` holds what the screen wants to be seen and what was written so far. However much was drawn in between, what
is written is the difference: cells that are as they were cost nothing, and of colours only the change is said.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from rich.cells import cell_len
from rich.color import Color, ColorSystem
from rich.segment import Segment

Look = tuple[tuple[str, ...], str, str]
"""Attributes, foreground and background as SGR codes; "" is the terminal's own."""

PLAIN: Look = ((), "", "")
_SGR = ("1", "2", "3", "4", "5", "6", "7", "8", "9", "21", "51", "52", "53")
_OFF = dict(zip(_SGR, ("22", "22", "23", "24", "25", "25", "27", "28", "29", "24", "54", "54", "55"), strict=True))
"""What switches an attribute off."""
_SEEN_ON_BLANKS = frozenset(("4", "7", "9", "21", "51", "52", "53"))
_BRIDGE_CELLS = 4
"""So many unchanged cells between two changes are written again: going to the next place costs as much."""
_UNKNOWN = "\0"
"""In a cell of which nobody knows what the terminal shows there."""

Cells = tuple[list[str], list[Look]]
"""Of one row: texts and looks. The second cell of a wide character has the text ""."""


@lru_cache(maxsize=4096)
def _look(color: Color | None, background: Color | None, attributes: int, system: ColorSystem) -> Look:
    codes = tuple(code for bit, code in enumerate(_SGR) if attributes & (1 << bit))
    front = ";".join(color.downgrade(system).get_ansi_codes()) if color is not None else ""
    back = ";".join(background.downgrade(system).get_ansi_codes(foreground=False)) if background is not None else ""
    return codes, front, back


def _of_blanks(look: Look) -> Look:
    """What of it can be seen on a blank: mostly its ground alone."""
    codes, front, back = look
    seen = tuple(code for code in codes if code in _SEEN_ON_BLANKS)
    return seen, front if seen else "", back


def _blank_looks_alike(look: Look, wanted: Look) -> bool:
    """A blank in one look is as good as in the other."""
    return look[2] == wanted[2] and not wanted[0] and not wanted[1] and not _SEEN_ON_BLANKS.intersection(look[0])


def cells_of(segments: Iterable[Segment], system: ColorSystem) -> Cells:
    """Segments of one row as cells."""
    texts: list[str] = []
    looks: list[Look] = []
    for text, style, control in segments:
        if control or not text:
            continue
        if style is None:
            look = PLAIN
        else:
            attributes = style._attributes & style._set_attributes
            look = _look(style._color, style._bgcolor, attributes, system)
            if text.isspace():
                look = _of_blanks(look)
        before = len(texts)
        if text.isascii():
            texts += text
        else:
            _add_characters(texts, text)
        looks += [look] * (len(texts) - before)
    return texts, looks


def _add_characters(texts: list[str], text: str) -> None:
    start = len(texts)
    for character in text:
        width = cell_len(character)
        if width:
            texts.append(character)
            texts += [""] * (width - 1)
        elif len(texts) > start:
            # It belongs to the character before.
            place = len(texts) - 1
            while place > start and not texts[place]:
                place -= 1
            texts[place] += character


def change_of_look(before: Look, after: Look) -> str:
    """The SGR sequence that leads from one look to another; "" when they are the same."""
    if before == after:
        return ""
    (old, front, back), (new, new_front, new_back) = before, after
    codes: list[str] = []
    gone = [code for code in old if code not in new]
    for off in dict.fromkeys(_OFF[code] for code in gone):
        codes.append(off)
    # Bold and dim go together, and so do the others that share their end.
    ended = {code for code in _SGR if _OFF[code] in codes}
    codes += [code for code in new if code not in old or code in ended]
    if new_front != front:
        codes.append(new_front or "39")
    if new_back != back:
        codes.append(new_back or "49")
    return f"\x1b[{';'.join(codes)}m"


class Picture:
    """The cells that are wanted, and those that were written."""

    def __init__(self) -> None:
        self.size = (0, 0)
        """Columns and lines."""
        self._wanted: list[Cells] = []
        self._shown: list[Cells] = []
        self._changed: set[int] = set()

    def resize(self, columns: int, lines: int) -> None:
        """Another size: nothing is wanted yet, and what is shown is not known."""
        if self.size == (columns, lines):
            return
        self.size = columns, lines
        self._wanted = [([" "] * columns, [PLAIN] * columns) for _ in range(lines)]
        self.forget()

    def forget(self) -> None:
        """What the terminal shows is not known any more: all will be written again."""
        columns, lines = self.size
        self._shown = [([_UNKNOWN] * columns, [PLAIN] * columns) for _ in range(lines)]
        self._changed = set(range(lines))

    def put(self, x: int, y: int, cells: Cells) -> None:
        """What is wanted from a place on; what lies outside of the picture is left out."""
        columns, lines = self.size
        if not 0 <= y < lines or x >= columns or x < 0:
            return
        texts, looks = cells
        room = columns - x
        if len(texts) > room:
            texts, looks = texts[:room], looks[:room]
        row_texts, row_looks = self._wanted[y]
        end = x + len(texts)
        if row_texts[x:end] != texts or row_looks[x:end] != looks:
            row_texts[x:end] = texts
            row_looks[x:end] = looks
            self._changed.add(y)

    @property
    def pending(self) -> bool:
        """Something may have to be written."""
        return bool(self._changed)

    def difference(self, most: int | None = None) -> str:
        """What makes the terminal show what is wanted, ending in its own colours; "" when it does already.

        With `most` only so many characters of it, those rows first of which least has changed: a letter that was typed,
        a number, and then what scrolls. The rest stays pending; one row at least is always written.
        """
        if most is None:
            text = self._write(sorted(self._changed))
            self._changed.clear()
            return text
        rows = {y: text for y in self._changed if (text := self._row(y)[0])}
        written: list[int] = []
        size = 0
        for y in sorted(rows, key=lambda y: (len(rows[y]), y)):
            if written and size + len(rows[y]) > most:
                break
            written.append(y)
            size += len(rows[y])
        text = self._write(sorted(written))
        self._changed = rows.keys() - set(written)
        return text

    def _write(self, rows: Iterable[int]) -> str:
        """Rows one after the other, which then count as shown."""
        written: list[str] = []
        look = PLAIN
        for y in rows:
            text, look = self._row(y, look)
            written.append(text)
            self._shown[y] = list(self._wanted[y][0]), list(self._wanted[y][1])
        if look != PLAIN:
            written.append("\x1b[m")
        return "".join(written)

    def _row(self, y: int, look: Look = PLAIN) -> tuple[str, Look]:
        """How a row differs, and the look after it."""
        texts, looks = self._wanted[y]
        written: list[str] = []
        for start, end in _runs(texts, looks, *self._shown[y]):
            # An absolute place, so that a terminal that takes a character for wider does not shift the rest.
            written.append(f"\x1b[{start + 1}G" if written else f"\x1b[{y + 1};{start + 1}H")
            for x in range(start, end):
                wanted = looks[x]
                if wanted is not look and not (texts[x] == " " and _blank_looks_alike(look, wanted)):
                    written.append(change_of_look(look, wanted))
                    look = wanted
                written.append(texts[x])
        return "".join(written), look


def _runs(
    texts: list[str], looks: list[Look], shown_texts: list[str], shown_looks: list[Look]
) -> Iterable[tuple[int, int]]:
    """Where two rows differ, as first cell and the one behind the last; whole characters, small gaps closed."""
    start = end = -1
    width = len(texts)
    for x in range(width):
        if texts[x] == shown_texts[x] and looks[x] == shown_looks[x]:
            continue
        if start >= 0 and x - end <= _BRIDGE_CELLS:
            end = x + 1
            continue
        if start >= 0:
            yield _whole(texts, shown_texts, start, end)
        start, end = x, x + 1
    if start >= 0:
        yield _whole(texts, shown_texts, start, end)


def _whole(texts: list[str], shown: list[str], start: int, end: int) -> tuple[int, int]:
    """Extended to the edges of wide characters: half of one cannot be written, nor half of one be left."""
    while start > 0 and (not texts[start] or not shown[start]):
        start -= 1
    while end < len(texts) and (not texts[end] or not shown[end]):
        end += 1
    return start, end
