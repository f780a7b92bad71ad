"""The log of a held worker, which is our stdout, a file: its own words, and ours on lines of their own."""

from __future__ import annotations

import contextlib
import os

from hettui.domain.text import clean_line

_STDOUT = 1
_LINE_CHARS = 600
_begun = False
"""Whether the last line has not ended."""


def write(data: bytes) -> None:
    """What the worker said, as it is. Where no room is left it is lost."""
    global _begun  # noqa: PLW0603 - there is one stdout
    if data:
        _begun = not data.endswith(b"\n")
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(_STDOUT, data) :]


def say(text: str, *, hopeless: bool = False) -> None:
    """A line of ours. `hopeless`: starting again without a change meets the same."""
    begin = "hettui gives up" if hopeless else "hettui"
    newline = "\n" if _begun else ""
    write(f"{newline}{begin}: {clean_line(text, _LINE_CHARS)}\n".encode())
