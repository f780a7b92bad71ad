"""Fetching, making and keeping of models for the screen: what `hettui models …` does, told to a dialog."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Any

from hettui.domain.engines.progress import Pace, Steps
from hettui.domain.errors import UsageError
from hettui.domain.session.session import Session
from hettui.domain.text import clean_line, nearest
from hettui.domain.units import format_bytes
from hettui.services.model_desk import Done, Tell, Told
from hettui.wiring import making, models
from hettui.wiring.making import Made, Wish

_WITH_WORD = {"--to": "to", "--imatrix": "imatrix", "--python": "python", "--threads": "threads", "--outtype": ""}
_ALONE = {"--allow-requantize": "allow_requantize", "--force": "force"}
_PARALLEL = 4


class ModelDeskAdapter:
    """Implements ModelDesk."""

    def fetch(self, session: Session, path: str, text: str, tell: Tell) -> Done:
        words, wish, _ = _read(text)
        got = models.fetch_model(_one(words, "a name"), wish.to, projector=True, parallel=_PARALLEL, tell=_Bytes(tell))
        first = got[0]
        beside = "" if first.sha256 else "; nobody says what its sum must be"
        return Done(f"{clean_line(first.path, 200)} is there{beside}", first.path)

    def convert(self, session: Session, path: str, text: str, tell: Tell) -> Done:
        words, wish, outtype = _read(text)
        folder = _one(words, "a folder")
        return _made(making.convert(session.config, folder, outtype or "auto", wish, _told(tell), dry=False))

    def quantize(self, session: Session, path: str, text: str, tell: Tell) -> Done:
        words, wish, _ = _read(text)
        kind = _one(words, "a type")
        return _made(making.quantize(session.config, path, kind, wish, _told(tell), dry=False))

    def verify(self, session: Session, path: str, text: str, tell: Tell) -> Done:
        return Done(models.verify(path, _Bytes(tell)))

    def remove(self, session: Session, path: str, text: str, tell: Tell) -> Done:
        _, wish, _ = _read(text)
        gone = models.remove(path, force=wish.force)
        return Done("removed " + ", ".join(clean_line(Path(one).name, 160) for one in gone))


def _made(made: Made) -> Done:
    size = "" if made.size_bytes is None else f", {format_bytes(made.size_bytes)}"
    return Done(f"{clean_line(made.path, 200)} is there{size}", made.path)


def _one(words: list[str], what: str) -> str:
    if len(words) != 1:
        raise UsageError(f"{what} is needed, and nothing else but options")
    return words[0]


def _read(text: str) -> tuple[list[str], Wish, str]:
    """Names, options, and the output type. Raises UsageError."""
    try:
        left = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"it cannot be read: {error}") from None
    words: list[str] = []
    said: dict[str, Any] = {}
    outtype = ""
    while left:
        word = left.pop(0)
        name, given, value = word.partition("=")
        if not word.startswith("--"):
            words.append(word)
        elif name in _ALONE:
            said[_ALONE[name]] = True
        elif name in _WITH_WORD:
            if not given and not left:
                raise UsageError(f"{name} needs a value")
            value = value if given else left.pop(0)
            if name == "--outtype":
                outtype = value
            elif name == "--threads":
                said["threads"] = _count(value)
            else:
                said[_WITH_WORD[name]] = value
        else:
            like = nearest(name, [*_WITH_WORD, *_ALONE])
            raise UsageError(f"{clean_line(name, 40)} is no option here{f': did you mean {like}?' if like else ''}")
    return words, Wish(**said), outtype


def _count(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise UsageError(f"--threads {clean_line(text, 20)}: it must be at least 1")


def _told(tell: Tell) -> making.Tell:
    def told(what: str, steps: Steps | None, left_s: float | None) -> None:
        tell(Told(what, None if steps is None else steps.done / steps.total, left_s))

    return told


class _Bytes:
    """Bytes that are there, as a part and with the time left."""

    def __init__(self, tell: Tell) -> None:
        self._tell, self._pace, self._what = tell, Pace(), ""

    def __call__(self, what: str, done: int, total: int) -> None:
        if what != self._what:
            self._what, self._pace = what, Pace()
        left_s = self._pace.left_s(Steps(done, max(total, 1)), time.monotonic())
        self._tell(Told(f"{clean_line(what, 80)}, {format_bytes(total)}", done / max(total, 1), left_s))
