"""The one sanitiser. Text from models, logs, cards, hosts and files passes here before a widget or stdout.

Textual and a plain terminal both pass escape sequences on as they are, so a model's answer could
rewrite the window title or the clipboard. What is dropped: ESC sequences (CSI, OSC, DCS, PM, APC, SOS),
all other C0 and C1 controls except tab and newline, bidirectional overrides and invisible characters
that hide or reorder text. Nothing readable is lost.
"""

from __future__ import annotations

import codecs
import re
import shlex
from collections.abc import Collection, Iterable

from hettui.domain.patterns import late_pattern

MAX_LINE_CHARS = 4096

# Each alternative also matches when its end is missing, so one pass drops finished and broken sequences alike.
# Lengths are bounded: an unfinished sequence swallows a line at most, never a whole answer.
_SEQUENCE = late_pattern(
    r"(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}(?P<csi>[@-~])?"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]{0,4096}(?P<string>\x07|\x1b\\|\x9c)?"  # OSC, DCS, …
    r"|\x1b[ -/]{0,8}(?P<short>[0-~])?"
)
_UNWANTED = late_pattern(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"
    "\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f\ud800-\udfff]"
)


def clean(text: str) -> str:
    """`text` without control sequences; newlines and tabs stay, `\\r\\n` becomes `\\n`, tabs become spaces."""
    if text.isascii() and text.isprintable():
        return text
    text = _SEQUENCE.sub("", text.replace("\r\n", "\n"))
    return _UNWANTED.sub("", text).replace("\t", "    ")


def clean_line(text: str, limit: int = MAX_LINE_CHARS) -> str:
    """One line: as `clean`, newlines become spaces, a carriage return keeps what was printed last."""
    text = text.rstrip("\r\n")
    if "\r" in text:
        text = text.rsplit("\r", 1)[1]
    # Cut before cleaning: a 10 MB line must not cost a 10 MB scan.
    cut = len(text) > limit
    line = clean(text[: limit + 256] if cut else text).replace("\n", " ")
    return line[: limit - 1] + "…" if cut or len(line) > limit else line


class StreamCleaner:
    """`clean` for text that arrives in pieces: a sequence cut across two pieces is still dropped."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        text = self._held + piece
        cut = len(text) - text.endswith("\r")
        for match in _SEQUENCE.finditer(text):
            if match.end() == len(text) and match.lastgroup is None:
                cut = match.start()
        self._held = text[cut:]
        return clean(text[:cut])

    def finish(self) -> str:
        rest, self._held = self._held, ""
        return clean(rest)


class LineSplitter:
    """Bytes of a growing log into clean lines. A line is capped, an unfinished one is available as `partial`.

    Memory is bounded: of an endless line only the first `MAX_LINE_CHARS` characters are kept.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._partial = ""

    @property
    def partial(self) -> str:
        """The line that has not ended yet, clean."""
        return clean_line(self._partial)

    def feed(self, data: bytes) -> list[str]:
        *ended, rest = self._decoder.decode(data).split("\n")
        lines: list[str] = []
        for line in ended:
            lines.append(clean_line(self._partial + line))
            self._partial = ""
        self._partial = self._joined(self._partial, rest)
        return lines

    def finish(self) -> list[str]:
        """The last line when the stream ends without a newline."""
        rest = self._partial + self._decoder.decode(b"", final=True)
        self._partial = ""
        return [clean_line(rest)] if rest else []

    @staticmethod
    def _joined(held: str, rest: str) -> str:
        room = MAX_LINE_CHARS + 256 - len(held)
        return held + rest[:room] if room > 0 else held


def shell_word(word: str) -> str:
    """A word for a shell, which reads back exactly what it is, and is safe to print: a file's name may hold any byte.

    What is not printable stands as bytes in `$'…'`, as bash, zsh and ksh read it.
    """
    if clean(word) == word and "\n" not in word:
        return shlex.quote(word)
    return f"$'{''.join(map(_in_dollar_quotes, word))}'"


def single_quoted(text: str) -> str:
    """One word for a shell, in single quotes whatever it holds: zsh and fish read them as sh does."""
    return "'" + text.replace("'", "'\\''") + "'"


def _in_dollar_quotes(character: str) -> str:
    if character in "'\\":
        return f"\\{character}"
    if clean(character) == character and character != "\n":
        return character
    # Three octal digits: what follows them can be no part of them.
    return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogateescape"))


def shell_join(words: Iterable[str]) -> str:
    """The words as one line that can be pasted into a shell."""
    return " ".join(map(shell_word, words))


def shorten_middle(text: str, width: int) -> str:
    """`text` in at most `width` characters, cut in the middle: both ends of a name tell it from its siblings."""
    if len(text) <= width:
        return text
    if width <= 1:
        return "…"[:width]
    head = (width - 1 + 1) // 2
    tail = width - 1 - head
    return text[:head] + "…" + (text[-tail:] if tail else "")


def safe_identifier(text: str, prefix: str = "id") -> str:
    """A widget id for any text. Different texts may collide: keep the real key in an attribute."""
    return f"{prefix}-" + re.sub(r"[^a-zA-Z0-9_-]", "-", text)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, for "did you mean"; None when nothing is near."""
    import difflib

    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def free_name(name: str, taken: Collection[str]) -> str:
    """The name, with a number behind it where others have it."""
    own, number = name, 1
    while own in taken:
        number += 1
        own = f"{name} {number}"
    return own
