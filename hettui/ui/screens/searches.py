"""What the planner is asked while one draws: known, found within a blink, or searched for beside the keys.

A search may take half a second; a key may not. So it runs on a thread, a drawing waits for it no longer than a frame
has, and where that was too short what depends on it is left out until the answer is there. One search at a time, and
only the newest questions wait: a slider that is held down asks for something else with every step.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Protocol

from textual.timer import Timer

from hettui.domain.planner.objectives import Asked, Best, answer, remembered
from hettui.ui.screens.hosting import Host

WAIT_S = 0.004
"""A drawing waits so long."""
MARK_AFTER_S = 0.05
_MOST_WAITING = 2
"""Questions of one drawing: for the aim, and for the speed of one stream."""


class Searching(Host, Protocol):
    """What it needs of the screen."""

    def draw(self) -> None:
        """Shows what has changed."""


class Searches:
    """Answers what is asked, or None: then the screen is drawn again when the answer is there."""

    def __init__(self, screen: Searching, search: Callable[[Asked], Best] = answer) -> None:
        self._screen = screen
        self._search = search
        self._pool: ThreadPoolExecutor | None = None
        self._running: Asked | None = None
        self._waiting: list[Asked] = []
        self._given_up: set[Asked] = set()
        self._timer: Timer | None = None
        self._is_over = False
        self.marked = False
        """It takes so long that one is told."""
        self.done = 0
        """How many have ended that were waited for."""

    def __call__(self, asked: Asked) -> Best | None:
        if (best := remembered(asked)) is not None:
            return best
        if asked in self._given_up or asked == self._running or asked in self._waiting:
            return None
        if self._running is not None:
            self._waiting = [*self._waiting, asked][-_MOST_WAITING:]
            return None
        future = self._begin(asked)
        wait((future,), WAIT_S)
        if future.done():
            self._running = None
            return future.result()
        self._follow(future)
        if self._timer is None and not self.marked:
            self._timer = self._screen.set_timer(MARK_AFTER_S, self._mark)
        return None

    def _begin(self, asked: Asked) -> Future[Best]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="planner")
        self._running = asked
        self._given_up.clear()
        return self._pool.submit(self._search, asked)

    def _follow(self, future: Future[Best]) -> None:
        later = self._screen.app.call_later
        future.add_done_callback(lambda done: later(self._ended, done))

    def _mark(self) -> None:
        self._timer = None
        if self._running is not None and not self._is_over:
            self.marked = True
            self._screen.draw()

    def _ended(self, done: Future[Best]) -> None:
        if self._is_over:
            return
        self._running, self.done = None, self.done + 1
        if self._waiting:
            self._follow(self._begin(self._waiting.pop(0)))
        else:
            self.marked = False
        done.result()
        self._screen.draw()

    def stop(self) -> bool:
        """Whether one was told of a search: it is not waited for any more, and not begun again for the same plan."""
        if not self.marked:
            return False
        self._given_up = {asked for asked in (self._running, *self._waiting) if asked is not None}
        self._waiting, self.marked = [], False
        self._screen.draw()
        return True

    def close(self) -> None:
        """The screen is left: nothing is drawn any more."""
        self._is_over = True
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
