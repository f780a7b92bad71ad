"""The parser as data: what completion scripts and the manual page are written from."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from hettui.domain.records import dataclass

_FILES = ("CONFIG", "FILE", "FOLDER", "MODEL", "DIR")
"""In a placeholder: a file or folder is meant."""


@dataclass(frozen=True, slots=True)
class Word:
    """An option, or an argument without a name."""

    spellings: tuple[str, ...]
    """Empty for an argument."""
    help: str
    value: str = ""
    """The placeholder of what follows, or of the argument itself; empty for a switch."""
    choices: tuple[str, ...] = ()
    many: bool = False

    @property
    def is_file(self) -> bool:
        return not self.choices and any(word in self.value for word in _FILES)


@dataclass(frozen=True, slots=True)
class Command:
    """One command with everything that it takes."""

    name: str
    summary: str
    example: str
    words: tuple[Word, ...]

    @property
    def options(self) -> tuple[Word, ...]:
        return tuple(word for word in self.words if word.spellings)

    @property
    def arguments(self) -> tuple[Word, ...]:
        return tuple(word for word in self.words if not word.spellings)


def commands_of(parser: argparse.ArgumentParser) -> tuple[Command, ...]:
    """In the order in which help lists them."""
    return tuple(_commands(parser))


def _commands(parser: argparse.ArgumentParser) -> Iterator[Command]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, own in action.choices.items():
                example = (own.epilog or "").removeprefix("example: ")
                yield Command(name, own.description or "", example, tuple(map(_word, own._actions)))


def _word(action: argparse.Action) -> Word:
    switch = bool(action.option_strings) and action.nargs == 0
    metavar = action.metavar if isinstance(action.metavar, str) else " ".join(action.metavar or ())
    value = "" if switch else metavar or action.dest.upper().replace("_", "-")
    choices = tuple(map(str, action.choices or ()))
    return Word(tuple(action.option_strings), action.help or "", value, choices, action.nargs in ("*", "+"))
