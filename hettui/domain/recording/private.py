"""What does not leave this machine in a recording: keys, the user's home directory, and what was said in a chat."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hettui.domain.llama.options import OPTIONS, option_spelled
from hettui.domain.patterns import late_pattern

HIDDEN = "(hidden)"
DEBUG_LINES = "(debug lines are not recorded: they carry what was asked and answered)"

_DEBUG_LINE = late_pattern(r"\s*\d+\.\d+\.\d+\.\d+ D ")
_LINE = late_pattern(r"\s*\d+\.\d+\.\d+\.\d+ [A-Z] ")
_SECRETS = [spelling for option in OPTIONS if option.secret for spelling in option.spellings]
_KEY_OPTION = late_pattern(rf"({'|'.join(map(re.escape, _SECRETS))})([ =]+)('[^']*'|\S+)")
_KEY_ENDING = late_pattern(r"(api_keys?:\s*).+")
"""llama-server prints the last characters of its keys."""
_SPEAK_OF_PROMPTS = ("verbose", "log-verbosity", "log-prefix")
_FEWEST_KEY_CHARS = 4


class Veil:
    """Applied to every text of a recording."""

    def __init__(self, home: str) -> None:
        """`home` is the user's home directory: `~` stands for it."""
        self._keys: tuple[str, ...] = ()
        home = home.rstrip("/")
        self._home = re.compile(rf"(?<![\w.~-]){re.escape(home)}(?![\w.-])") if home else None

    def hide(self, key: str | None) -> None:
        """A key that was used: wherever it stands from now on, it is not written."""
        if key and len(key) >= _FEWEST_KEY_CHARS and key not in self._keys:
            # Replaced as a whole: another thread reads them.
            self._keys = (*self._keys, key)

    def __call__(self, text: str) -> str:
        for key in self._keys:
            text = text.replace(key, HIDDEN)
        text = _KEY_OPTION.sub(rf"\1\2{HIDDEN}", text)
        text = _KEY_ENDING.sub(rf"\1{HIDDEN}", text)
        return text if self._home is None else self._home.sub("~", text)

    def arguments(self, words: Sequence[str]) -> tuple[str, ...]:
        """llama-server's arguments without keys."""
        hidden = []
        for before, word in zip(("", *words), words, strict=False):
            hidden.append(HIDDEN if _KEY_OPTION.fullmatch(f"{before} x") else word)
        return tuple(hidden)


def speaks_of_prompts(arguments: Sequence[str]) -> bool:
    """With these arguments llama-server may log what was asked, in lines that cannot be told from others."""
    known = (option_spelled(word) for word in arguments)
    return any(option is not None and option.name in _SPEAK_OF_PROMPTS for option in known)


class LogVeil:
    """The lines of one process that may be recorded. At its debug level llama-server logs prompts and answers."""

    def __init__(self) -> None:
        self._in_debug = False
        self._said = False

    def __call__(self, lines: Sequence[str]) -> tuple[str, ...]:
        kept: list[str] = []
        for line in lines:
            if _LINE.match(line):
                self._in_debug = bool(_DEBUG_LINE.match(line))
            # A line without a prefix goes on with what the one before said.
            if not self._in_debug:
                kept.append(line)
            elif not self._said:
                self._said = True
                kept.append(DEBUG_LINES)
        return tuple(kept)
