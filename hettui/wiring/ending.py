"""The ends of hettui: signals, a lost terminal, one that stops reading. What they mean for the cluster is configured.

The handlers are the interpreter's, not the loop's: a terminal that has stopped reading blocks Textual's loop, and then
nothing on that loop would ever run. A watchdog ends the program when the screen cannot.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

UI_GRACE_S = 3.0
"""After a signal: how long the screen may take to end by itself once the engine has ended."""
_HANGUPS = (signal.SIGHUP,)
_ENDS = (signal.SIGTERM, signal.SIGINT, *_HANGUPS)
_RESET = b"\x1b[?2004l\x1b[?7h\x1b[?2048l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?1004l\x1b[<u"
_RESET += b"\x1b[?1049l\x1b[?25h\x1b[0m"
"""What Textual's driver switches on, off again: paste, mouse, focus, keyboard protocol, alternate screen."""


class Endable(Protocol):
    """An engine, or what stands for one."""

    def close(self, *, leave: bool = False) -> None:
        """Returns when it has ended; with `leave` what runs is left running."""


class Ending:
    """Ends engine and screen once, in this order, and remembers why."""

    def __init__(
        self,
        engine: Endable,
        leave_screen: Callable[[], None],
        leaves: Callable[[bool], bool],
        terminal: list[Any] | None = None,
    ) -> None:
        """`leaves(hangup)` says whether the cluster shall run on. `terminal`: its attributes, where they are others
        already than they were."""
        self._engine = engine
        self._leave_screen = leave_screen
        self._leaves = leaves
        self._begun = threading.Event()
        self._over = threading.Event()
        self._terminal = _saved_terminal() if terminal is None else terminal
        self.code: int | None = None
        """The exit code of an end that came from outside."""
        self.left = False
        """The cluster was told to run on."""

    def begin(self, code: int, *, hangup: bool) -> None:
        """From any thread, also from a signal's handler. Only the first one counts."""
        if self._begun.is_set():
            return
        self._begun.set()
        self.code = code
        threading.Thread(target=self._end, args=(code, hangup), name="ending", daemon=True).start()

    def _end(self, code: int, hangup: bool) -> None:
        self.left = self._leaves(hangup)
        self._engine.close(leave=self.left)
        self._leave_screen()
        if not self._over.wait(UI_GRACE_S):
            self._terminal_back()
            os._exit(code)

    def over(self) -> None:
        """The screen has ended by itself."""
        self._over.set()

    def _terminal_back(self) -> None:
        """As far as it takes anything without waiting: a terminal that reads again later finds itself usable."""
        with contextlib.suppress(OSError, ValueError, termios.error):
            descriptor = sys.__stderr__.fileno() if sys.__stderr__ else 2
            os.set_blocking(descriptor, False)
            if self._terminal is not None:
                termios.tcsetattr(sys.__stdin__.fileno() if sys.__stdin__ else 0, termios.TCSANOW, self._terminal)
            os.write(descriptor, _RESET)


def _saved_terminal() -> list[Any] | None:
    try:
        return termios.tcgetattr(0)
    except (termios.error, OSError):
        return None


@contextmanager
def watching(ending: Ending) -> Iterator[None]:
    """Within, SIGTERM, SIGINT, SIGHUP and a terminal that hangs up begin the end."""

    def handle(number: int, _: FrameType | None) -> None:
        ending.begin(128 + number, hangup=number in _HANGUPS)

    previous = {number: signal.signal(number, handle) for number in _ENDS}
    read_end, write_end = os.pipe()
    watcher = threading.Thread(target=_watch_terminal, args=(read_end, ending), name="hang-up", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ending.over()
        os.close(write_end)
        watcher.join()
        os.close(read_end)
        for number, handler in previous.items():
            signal.signal(number, handler)


def _watch_terminal(stop: int, ending: Ending) -> None:
    """A terminal can go without a signal: then nobody leads the session, or SIGHUP was sent to somebody else."""
    poll = select.poll()
    poll.register(0, 0)
    poll.register(stop, 0)
    for descriptor, _ in poll.poll():
        if descriptor == 0:
            ending.begin(128 + signal.SIGHUP, hangup=True)
