"""Texts that want something from a terminal, a markup parser or a pair of eyes. What is readable in each must stay."""

from __future__ import annotations

HOSTILE: dict[str, tuple[str, str]] = {
    "colours": ("\x1b[31mred\x1b[0m", "red"),
    "title": ("\x1b]0;EVIL-TITLE\x07title", "title"),
    "title, ended by ST": ("\x1b]2;EVIL-TITLE\x1b\\title2", "title2"),
    "link": ("\x1b]8;;http://EVIL.example\x1b\\link\x1b]8;;\x1b\\", "link"),
    "clipboard": ("\x1b]52;c;RVZJTA==\x07clip", "clip"),
    "cursor": ("\x1b[2J\x1b[1;1Hcursor", "cursor"),
    "query": ('\x1b[6n\x1b[c\x1bP$q"p\x1b\\query', "query"),
    "keyboard and mouse modes": ("\x1b[?1003h\x1b[>31umodes", "modes"),
    "C1": ("\x9b31mC1 \x9d0;EVIL-TITLE\x9cstays", "C1 stays"),
    "C0": ("a\x00b\x07c\x08d\x0be\x0cf\x7fg", "abcdefg"),
    "bidi": ("\u202egnp.exe\u202c \u2066iso\u2069", "gnp.exe iso"),
    "zero width": ("zero\u200bwidth\ufeff", "zerowidth"),
    "tags": ("t\U000e0041\U000e0042ags", "tags"),
    "carriage return": ("hidden\rseen", "seen"),
    "closing markup": ("x [/] y", "x [/] y"),
    "quantisation": ("model [Q4_K_M] file", "model [Q4_K_M] file"),
    "style": ("[red]not red[/red]", "[red]not red[/red]"),
    "action link": ("[@click=app.quit]quit[/]", "[@click=app.quit]quit[/]"),
    "open bracket": ("[[[b", "[[[b"),
    "backslash": ("\\[b]slash\\", "\\[b]slash\\"),
    "wide": ("日本語 🦙", "日本語"),
    "unfinished": ("\x1b]0;EVIL-TITLE without an end", ""),
    "lone surrogate": ("lone\udce9s", "lones"),
}
"""By name: the text, and what a person must be able to read of it on one line."""

NEVER = ("EVIL-TITLE", "RVZJTA==", "EVIL.example")
"""What must not reach the terminal in any form."""
