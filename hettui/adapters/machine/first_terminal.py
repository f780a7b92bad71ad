"""The terminal before there is a screen: something is written on it already, and it can always be given back.

Modes are those that Textual's driver sets a moment later, so that nothing changes for keys that are typed meanwhile:
they wait in the kernel, unechoed, Ctrl-C as any other.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import termios
import threading
from types import FrameType, TracebackType
from typing import Any, Self

_ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_BEGIN = "\x1b[?1049h\x1b[?25l"
_END = b"\x1b[?1049l\x1b[?25h"
_LOCAL = termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG
_INPUT = termios.IXON | termios.IXOFF | termios.ICRNL | termios.INLCR | termios.IGNCR


def terminal_size() -> tuple[int, int]:
    """Columns and lines, as Textual finds them."""
    columns, lines = shutil.get_terminal_size()
    return columns, lines


class FirstTerminal:
    """Within, an end by a signal gives the terminal back first. Entered on the main thread, which signals need."""

    def __init__(self) -> None:
        self._in, self._out = _descriptor(sys.__stdin__, 0), _descriptor(sys.__stderr__, 2)
        self._door = threading.RLock()
        """Held while it is taken or given back: a signal comes at any time."""
        self._held = self._over = False
        self._handlers: dict[int, Any] = {}
        self.attributes: list[Any] = []
        """As they were before it was taken."""

    def __enter__(self) -> Self:
        for number in _ENDS:
            self._handlers[number] = signal.signal(number, self._end_by)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def take(self, text: str) -> bool:
        """Writes this on an empty alternate screen, from any thread; whether it could be done at once. It cannot on a
        terminal that is somebody else's just now, or has stopped reading, nor once it was left or given back."""
        with self._door, contextlib.suppress(OSError, termios.error):
            ours = os.tcgetpgrp(self._in) == os.getpgrp()
            if self._over or not ours or not select.select([], [self._out], [], 0)[1]:
                return False
            self.attributes = termios.tcgetattr(self._in)
            self._held = True
            termios.tcsetattr(self._in, termios.TCSANOW, _quiet(self.attributes))
            _write(self._out, (_BEGIN + text).encode("utf-8", "replace"))
            return True
        return False

    def leave(self) -> bool:
        """Nothing is written any more; whether it was taken."""
        with self._door:
            self._over = True
            return self._held

    def taken(self) -> None:
        """Somebody else gives it back."""
        self._held = False

    def give_back(self) -> None:
        """As it was, unless somebody else has taken it; once."""
        with self._door:
            held, self._held, self._over = self._held, False, True
            if held:
                with contextlib.suppress(OSError):
                    _write(self._out, _END)
                with contextlib.suppress(termios.error):
                    termios.tcsetattr(self._in, termios.TCSANOW, self.attributes)

    def _end_by(self, number: int, _: FrameType | None) -> None:
        """The terminal first: what else has begun may take a moment to end."""
        self.give_back()
        raise SystemExit(128 + number)


def _descriptor(file: Any, otherwise: int) -> int:
    return otherwise if file is None else int(file.fileno())


def _quiet(attributes: list[Any]) -> list[Any]:
    iflag, oflag, cflag, lflag, ispeed, ospeed, characters = attributes
    characters = list(characters)
    characters[termios.VMIN] = 1
    return [iflag & ~_INPUT, oflag, cflag, lflag & ~_LOCAL, ispeed, ospeed, characters]


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
