"""The screen for terminals and fonts without the glyphs that it is drawn with: the one place that knows of it.

Every cell is translated just before it is written, and stays as wide as it was. Fills and levels stay as different as
they were, so that a bar says the same.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment

from hettui.domain.screen.terminal import Glyphs

_ASCII = dict(
    zip(
        "█▓▒░▤·┃▚╱◆◇━╌┆●■○◐◑◒◌✗✓▶▸▾⏸×–—−…°⏎↵±µ™®←→↑↓⇧•▁▂▃▄▅▆▇▀▔‘’“”„‹›«»",
        '#=+-@.|X/*^=-:O#oooo.xv>>v"x---~ <<~u  <>^v^*_:-=+*%"-\'\'"""<><>',
        strict=True,
    )
)
_CONSOLE = dict(zip("▤━╌┃╭╮╰╯▁▂▃▅▆▇▏▎▊", "≡═─║┌┐└┘__▄▄██│││", strict=True))
"""Code page 437's next of kin, where there is one."""
_CONSOLE_ALSO = "←→↑↓"
"""In code page 437 as well, at places where Python's codec has control characters."""
_DOTS = " .:-=+*%#"
"""Braille, by how many of its eight dots there are."""


def in_glyphs(glyphs: Glyphs, segments: Iterable[Segment]) -> list[Segment]:
    """Text that the terminal cannot show by text that it can."""
    if glyphs == "unicode":
        return list(segments)
    other = console_text if glyphs == "console" else ascii_text
    return [
        segment if segment.control or segment.text.isascii() else Segment(other(segment.text), segment.style)
        for segment in segments
    ]


@lru_cache(4096)
def ascii_text(text: str) -> str:
    """As many ASCII characters as `text` has cells."""
    return _as_wide("".join(map(_ascii_glyph, text)), cell_len(text))


@lru_cache(4096)
def console_text(text: str) -> str:
    """The same for a console that has code page 437's glyphs."""
    return _as_wide("".join(map(_console_glyph, text)), cell_len(text))


def _as_wide(written: str, cells: int) -> str:
    """Where characters stand together as one, as flags and families do, they are narrower than each alone."""
    return written[:cells].ljust(cells, "?")


@lru_cache(4096)
def _ascii_glyph(char: str) -> str:
    if char.isascii():
        return char
    cells = cell_len(char)
    if char in _ASCII:
        return _ASCII[char].ljust(cells)
    code = ord(char)
    if 0x2500 <= code < 0x2580:
        return _line_glyph(unicodedata.name(char))
    if 0x2580 <= code < 0x25A0:
        return "|" if "LEFT" in (name := unicodedata.name(char)) or "RIGHT" in name else "#"
    if 0x2800 <= code < 0x2900:
        return _DOTS[(code - 0x2800).bit_count()]
    plain = unicodedata.normalize("NFKD", char)[0]
    if plain.isascii() and plain.isprintable():
        return plain.ljust(cells)[:cells]
    return "?" * cells


def _line_glyph(name: str) -> str:
    """Of a piece of a box."""
    words = set(name.replace("-", " ").split())
    if "DIAGONAL" in words:
        return "X" if "CROSS" in words else "\\" if "UPPER LEFT TO" in name else "/"
    across = bool(words & {"HORIZONTAL", "LEFT", "RIGHT"})
    upright = bool(words & {"VERTICAL", "UP", "DOWN"})
    if across and upright:
        return "+"
    return "|" if upright else "=" if words & {"HEAVY", "DOUBLE"} else "-"


@lru_cache(4096)
def _console_glyph(char: str) -> str:
    if char in _CONSOLE:
        return _CONSOLE[char]
    try:
        char.encode("cp437")
    except UnicodeEncodeError:
        return char if char in _CONSOLE_ALSO else _ascii_glyph(char)
    return char
