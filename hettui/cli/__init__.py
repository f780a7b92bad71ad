"""The command line: arguments in, exit code out. No logic, and no import before it is needed.

0 is success, 1 when the thing asked for failed, 2 for bad usage or bad configuration. Errors are one or two
lines on stderr: what, where, what to do. Never a traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from hettui.cli import quick_imports
from hettui.cli.parser import build_parser
from hettui.domain.errors import HettuiError
from hettui.domain.text import clean, clean_line, nearest


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    quick_imports.begin()
    words = _with_default_command(list(sys.argv[1:] if arguments is None else arguments))
    if meant := _mistyped(words):
        print(f"hettui: there is no command {clean_line(words[1], 60)}; did you mean {meant}?", file=sys.stderr)
        return 2
    from hettui.cli.commands import COMMANDS, command

    options = build_parser(words[0] if words[0] in COMMANDS else None).parse_args(words)
    from hettui.cli.signals import Interrupted

    try:
        return command(options.command)(options)
    except HettuiError as error:
        # Names of files, cards and hosts are in it: the last place where they can be cleaned.
        print(f"hettui: {clean(str(error))}", file=sys.stderr)
        return error.exit_code
    except Interrupted as interrupted:
        print(f"hettui: stopped by {interrupted.name}; nothing was left running", file=sys.stderr)
        return 128 + interrupted.number
    except BrokenPipeError:
        # The reader of our output has gone: nothing more to say, and nothing to complain about at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        from hettui.cli.crash import report

        print(report(error), file=sys.stderr)
        return 1


def _with_default_command(words: list[str]) -> list[str]:
    """`hettui` and `hettui CONFIG` open the screen; a file called like a command is written ./demo."""
    from hettui.cli.commands import COMMANDS

    if words[:1] == ["version"]:
        return ["--version", *words[1:]]
    if words[:1] == ["help"]:
        return [*words[1:], "--help"]
    if words and (words[0] in COMMANDS or words[0] in ("-h", "--help", "-V", "--version")):
        return words
    return ["screen", *words]


def _mistyped(words: list[str]) -> str | None:
    """The command that was meant by a word that would open the screen with a file that is not there; else None."""
    from hettui.cli.commands import COMMANDS

    if len(words) < 2 or words[0] != "screen" or not words[1].isalpha() or os.path.lexists(words[1]):
        return None
    return nearest(words[1].lower(), (*COMMANDS, "help", "version"))
