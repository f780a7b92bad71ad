"""What the terminal says of itself: the environment that hettui was started with, and terminfo."""

from __future__ import annotations

import curses
import os
from pathlib import Path

from hettui.adapters.files.bounded import kernel_bytes
from hettui.domain.screen.terminal import Terminal

_ENVIRON = Path("/proc/self/environ")


def this_terminal() -> Terminal:
    """The terminal that hettui runs in."""
    environ = _started_with()
    return Terminal(environ, _terminfo_colours(environ.get("TERM", "")))


def _started_with() -> dict[str, str]:
    """Not `os.environ`: in the C locale Python writes LC_CTYPE=C.UTF-8 into that before any of our code runs."""
    try:
        pairs = kernel_bytes(_ENVIRON).split(b"\0")
    except OSError:
        return dict(os.environ)
    found = (os.fsdecode(pair).partition("=") for pair in pairs if b"=" in pair)
    return {name: value for name, _, value in found}


def _terminfo_colours(name: str) -> int | None:
    try:
        # The file descriptor is not written to. A second call changes nothing, which is fine: one terminal, one name.
        curses.setupterm(name or "unknown", 2)
        return curses.tigetnum("colors")
    except curses.error:
        return None
