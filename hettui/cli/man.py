"""`hettui man`: the manual page, written from the parser."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from hettui.cli.described import Command, Word, commands_of

_ABOUT = (
    "hettui plans, starts, watches and rebalances a llama.cpp cluster over GPUs that do not match, in one box or in "
    "several. Without a command it opens the screen: ? there shows every key."
)
_FILES = (
    ("~/.config/hettui/config.toml", "the configuration; hettui init writes one with every key and its meaning"),
    ("~/.local/state/hettui", "logs, runs, what was learned, contexts and conversations"),
    ("~/.cache/hettui", "fetched models"),
)
_ENVIRONMENT = (
    ("LLAMA_CPP_BIN", "folder of llama-server and ggml-rpc-server"),
    ("LLAMA_API_KEY", "the key for a server that wants one; it never stands in a command line"),
    ("HETTUI_ASCII", "1: only ASCII characters on the screen"),
    ("XDG_CONFIG_HOME, XDG_STATE_HOME, XDG_CACHE_HOME", "where the files above are instead"),
)
_EXITS = (
    ("0", "success"),
    ("1", "what was asked for failed; one or two lines on standard error say what, where and what to do"),
    ("2", "bad usage or bad configuration"),
)


def run_man(options: Namespace) -> int:
    from hettui.cli.parser import build_parser

    print(page(commands_of(build_parser())), end="")
    return 0


def page(commands: Sequence[Command]) -> str:
    """In man's language, without a date: the page changes with the program."""
    lines = [
        '.TH HETTUI 1 "" "hettui" "User Commands"', ".SH NAME", "hettui \\- llama.cpp clusters of unlike GPUs",
        ".SH SYNOPSIS", ".B hettui", "[\\fICONFIG\\fR]", ".br", ".B hettui", "\\fICOMMAND\\fR \\&...",
        ".SH DESCRIPTION", _text(_ABOUT), ".SH COMMANDS",
    ]  # fmt: skip
    for one in commands:
        lines += [f".SS {_text(one.name)}", _text(f"{one.summary[:1].upper()}{one.summary[1:]}.")]
        for word in (*one.arguments, *one.options):
            lines += [".TP", _spelled(word), _text(word.help or word.value)]
        lines += [".PP", f"Example: \\fB{_text(one.example)}\\fR"] if one.example else []
    for title, rows in (("FILES", _FILES), ("ENVIRONMENT", _ENVIRONMENT), ("EXIT STATUS", _EXITS)):
        lines.append(f".SH {title}")
        for name, said in rows:
            lines += [".TP", f"\\fB{_text(name)}\\fR", _text(said)]
    return "\n".join(lines) + "\n"


def _spelled(word: Word) -> str:
    value = "" if not word.value else f"\\fI{_text(word.value)}\\fR"
    if word.choices and word.spellings:
        value = f"\\fI{_text('|'.join(word.choices))}\\fR"
    names = ", ".join(f"\\fB{_text(spelling)}\\fR" for spelling in word.spellings)
    return " ".join(part for part in (names, value) if part)


def _text(text: str) -> str:
    """No line may begin with a dot or a quote: these are commands there."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("~", "\\(ti").replace("%%", "%")
    escaped = "".join(c if c.isascii() else f"\\[u{ord(c):04X}]" for c in escaped)
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
