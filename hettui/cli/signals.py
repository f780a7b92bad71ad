"""Signals as an exception in the main thread, so that every `with` on the way out does its work."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """SIGINT, SIGTERM or SIGHUP arrived."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        self.name = signal.Signals(number).name


@contextmanager
def interruptible() -> Iterator[None]:
    """Within, the first signal raises `Interrupted`; further ones are ignored while things are being stopped."""

    def handle(number: int, _: FrameType | None) -> None:
        for caught in _CAUGHT:
            signal.signal(caught, signal.SIG_IGN)
        raise Interrupted(number)

    previous = {number: signal.signal(number, handle) for number in _CAUGHT}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
