"""What a terminal can show, from what it says of itself: how many colours, and which glyphs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass

ColourDepth = Literal["truecolor", "256", "16", "none"]
Glyphs = Literal["unicode", "console", "ascii"]
"""`console`: the 256 glyphs that the Linux console's fonts have, which are those of code page 437."""

_TRUECOLOR_TERMINALS = ("kitty", "alacritty", "ghostty", "foot", "wezterm", "contour", "rio", "iterm")
"""They say so in COLORTERM as well, but ssh does not carry that along, nor their terminfo."""
_PLAIN_TERMINAL = late_pattern(r"dumb|unknown|vt\d")
"""Beginnings of names: older than UTF-8, and without colours unless terminfo knows better. `vte` is none of them."""
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclass(frozen=True, slots=True)
class Terminal:
    """What the program was started with."""

    environ: Mapping[str, str]
    terminfo_colours: int | None = None
    """What terminfo says: -1 for none; None when it does not know the terminal."""


def colour_depth(terminal: Terminal) -> ColourDepth:
    """NO_COLOR (https://no-color.org) before everything, then the name, then what COLORTERM and terminfo say."""
    environ = terminal.environ
    name = environ.get("TERM", "").lower()
    colours = terminal.terminfo_colours
    if environ.get("NO_COLOR"):
        return "none"
    if _PLAIN_TERMINAL.match(name):
        # COLORTERM is of the terminal around it.
        return "none" if colours is None or colours < 8 else "256" if colours >= 256 else "16"
    if _is_console(name):
        return "none" if colours is not None and colours < 8 else "16"
    in_screen = bool(environ.get("STY")) and not environ.get("TMUX")
    says_truecolor = environ.get("COLORTERM", "").lower() in ("truecolor", "24bit") or "direct" in name
    # GNU screen hands COLORTERM on from the terminal around it, and does not understand 24-bit colours itself.
    if not in_screen and (says_truecolor or any(known in name for known in _TRUECOLOR_TERMINALS)):
        return "truecolor"
    if "256color" in name or (colours is not None and colours >= 256):
        return "256"
    return "none" if colours is not None and colours < 8 else "16"


def _is_console(name: str) -> bool:
    """The Linux console, under any of its names: `linux-16color`, `linux-m`."""
    return name == "linux" or name.startswith("linux-")


def glyphs(terminal: Terminal, wanted: bool | None = None) -> Glyphs:
    """`wanted` is `[ui] ascii`; HETTUI_ASCII goes before it; where neither says anything, locale and TERM decide.

    Where no locale is named at all, as in most containers, nothing is known: then only a terminal that is older than
    UTF-8 gets ASCII, as Python itself takes such a place for UTF-8.
    """
    said = terminal.environ.get("HETTUI_ASCII", "").lower()
    wanted = True if said in _YES else False if said in _NO else wanted
    if wanted is not None:
        return "ascii" if wanted else "unicode"
    name = terminal.environ.get("TERM", "").lower()
    locales = (terminal.environ.get(variable, "") for variable in ("LC_ALL", "LC_CTYPE", "LANG"))
    locale = next((value for value in locales if value), None)
    named = "utf-8" if locale is None and not _PLAIN_TERMINAL.match(name) else (locale or "")
    utf8 = "utf8" in named.lower().replace("-", "")
    if not utf8:
        return "ascii"
    return "console" if _is_console(name) else "unicode"
