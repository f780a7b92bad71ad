"""What terminals say of themselves, and what is made of it."""

from __future__ import annotations

import pytest

from hettui.domain.screen.terminal import ColourDepth, Glyphs, Terminal, colour_depth, glyphs


@pytest.mark.parametrize(
    ("environ", "terminfo", "depth"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, 256, "truecolor"),
        ({"TERM": "xterm-256color", "COLORTERM": "24bit"}, 256, "truecolor"),
        ({"TERM": "xterm-256color"}, 256, "256"),
        ({"TERM": "tmux-256color"}, 256, "256"),
        ({"TERM": "xterm-256color"}, None, "256"),
        ({"TERM": "xterm-direct"}, 1 << 24, "truecolor"),
        # Over ssh neither COLORTERM nor the terminfo entry comes along.
        ({"TERM": "xterm-kitty"}, None, "truecolor"),
        ({"TERM": "alacritty"}, None, "truecolor"),
        ({"TERM": "xterm-ghostty"}, None, "truecolor"),
        ({"TERM": "xterm"}, 8, "16"),
        ({"TERM": "linux"}, 8, "16"),
        ({"TERM": "linux", "COLORTERM": "truecolor"}, 8, "16"),
        ({"TERM": "rxvt"}, 8, "16"),
        ({"TERM": "rxvt-unicode"}, 88, "16"),
        ({"TERM": "new-one"}, None, "16"),
        ({"TERM": "new-one"}, 256, "256"),
        # GNU screen inherits COLORTERM from the terminal that it runs in; tmux inside it does not need it.
        ({"TERM": "screen", "COLORTERM": "truecolor", "STY": "1.x"}, 8, "16"),
        ({"TERM": "screen.xterm-256color", "COLORTERM": "truecolor", "STY": "1.x"}, 256, "256"),
        ({"TERM": "screen-256color", "COLORTERM": "truecolor", "STY": "1.x", "TMUX": "socket,1,0"}, 256, "truecolor"),
        ({"TERM": "vt100"}, -1, "none"),
        ({"TERM": "vt220", "COLORTERM": "truecolor"}, -1, "none"),
        ({"TERM": "dumb"}, -1, "none"),
        ({"TERM": "vt220"}, None, "none"),
        ({"TERM": "unknown"}, None, "none"),
        # GNOME's terminals begin like a VT220 and are none; colours are where terminfo has them.
        ({"TERM": "vte-256color"}, None, "256"),
        ({"TERM": "vte-256color"}, 256, "256"),
        ({"TERM": "vte-256color", "COLORTERM": "truecolor"}, 256, "truecolor"),
        ({"TERM": "vte"}, None, "16"),
        ({"TERM": "vte"}, 8, "16"),
        ({"TERM": "vte-2018"}, 8, "16"),
        ({"TERM": "vte-direct"}, 1 << 24, "truecolor"),
        ({"TERM": "vtnt"}, 8, "16"),
        ({"TERM": "vt525"}, 8, "16"),
        ({"TERM": "dumb-emacs-ansi"}, 8, "16"),
        ({"TERM": "vt340", "COLORTERM": "truecolor"}, 8, "16"),
        # The Linux console under its other names.
        ({"TERM": "linux-16color", "COLORTERM": "truecolor"}, 16, "16"),
        ({"TERM": "linux-m"}, -1, "none"),
        ({"TERM": "wyse60"}, -1, "none"),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor", "NO_COLOR": "1"}, 256, "none"),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, 256, "256"),
    ],
)
def test_colour_depth(environ: dict[str, str], terminfo: int | None, depth: ColourDepth) -> None:
    assert colour_depth(Terminal(environ, terminfo)) == depth


@pytest.mark.parametrize(
    ("environ", "wanted", "found"),
    [
        ({"TERM": "xterm", "LANG": "de_DE.UTF-8"}, None, "unicode"),
        ({"TERM": "xterm", "LANG": "en_US.utf8"}, None, "unicode"),
        ({"TERM": "xterm", "LANG": "C"}, None, "ascii"),
        ({"TERM": "xterm", "LANG": "de_DE.ISO-8859-1"}, None, "ascii"),
        # The first of LC_ALL, LC_CTYPE and LANG that says anything.
        ({"TERM": "xterm", "LC_ALL": "C", "LANG": "de_DE.UTF-8"}, None, "ascii"),
        ({"TERM": "xterm", "LC_ALL": "", "LC_CTYPE": "C.UTF-8", "LANG": "C"}, None, "unicode"),
        ({"TERM": "xterm", "LC_MESSAGES": "C.UTF-8", "LANG": "POSIX"}, None, "ascii"),
        # Nothing is known.
        ({"TERM": "xterm"}, None, "unicode"),
        ({"TERM": "vt100"}, None, "ascii"),
        ({"TERM": "dumb"}, None, "ascii"),
        ({}, None, "unicode"),
        ({"TERM": "vt220", "LANG": "en_US.UTF-8"}, None, "unicode"),
        ({"TERM": "linux", "LANG": "en_US.UTF-8"}, None, "console"),
        ({"TERM": "linux", "LANG": "C"}, None, "ascii"),
        ({"TERM": "linux-16color", "LANG": "C.UTF-8"}, None, "console"),
        ({"TERM": "vte-256color"}, None, "unicode"),
        # The configuration goes before the locale, the environment before the configuration.
        ({"TERM": "xterm", "LANG": "de_DE.UTF-8"}, True, "ascii"),
        ({"TERM": "xterm", "LANG": "C"}, False, "unicode"),
        ({"TERM": "xterm", "LANG": "de_DE.UTF-8", "HETTUI_ASCII": "1"}, False, "ascii"),
        ({"TERM": "xterm", "LANG": "C", "HETTUI_ASCII": "0"}, None, "unicode"),
        ({"TERM": "xterm", "LANG": "de_DE.UTF-8", "HETTUI_ASCII": "perhaps"}, None, "unicode"),
    ],
)
def test_glyphs(environ: dict[str, str], wanted: bool | None, found: Glyphs) -> None:
    assert glyphs(Terminal(environ), wanted) == found
