"""Whether an answer of ours is being written: what a process's death cut off."""

from __future__ import annotations

import math

from hettui.ports import Clock
from hettui.services.chat.session import ChatSession
from hettui.services.events import ChatEnded, Event

CUT_OFF_S = 1.0
"""How long after a connection broke off the end of a process may still be the reason."""


class Answering:
    """Hears how answers end. Runs on the engine's loop."""

    def __init__(self, session: ChatSession, clock: Clock) -> None:
        self._session = session
        self._clock = clock
        self._cut_off_s = -math.inf

    def hear(self, event: Event) -> None:
        if isinstance(event, ChatEnded) and event.problem:
            self._cut_off_s = self._clock.monotonic()

    def now(self) -> bool:
        """Also when it was cut off a moment ago: its connection breaks before the process is gone."""
        return self._session.busy or self._clock.monotonic() - self._cut_off_s < CUT_OFF_S
