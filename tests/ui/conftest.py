"""For tests of the screen: Textual remembers what it would look up again, and a key is done when nothing waits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import textual.app
import textual.screen
from textual._queue import Queue
from textual.message_pump import MessagePump
from textual.pilot import Pilot
from textual.screen import Screen

from hettui.ui.screens import searches
from tests.ui import quicker

_HERE = Path(__file__).parent
_DAILY_SIZE = (80, 24)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is drawn in several sizes is drawn in one of them in `make test-fast`: the others are of the matrix."""
    for item in items:
        if item.path.is_relative_to(_HERE) and isinstance(item, pytest.Function):
            values = item.callspec.params if hasattr(item, "callspec") else {}
            if values.get("size", _DAILY_SIZE) != _DAILY_SIZE:
                item.add_marker(pytest.mark.matrix)


@pytest.fixture(autouse=True, scope="session")
def _textual_remembers() -> None:
    """Hundreds of screens have the same few sheets, classes and themes."""
    quicker.install()


@pytest.fixture(autouse=True, scope="session")
def _drawings_wait_for_the_planner() -> None:
    """Whatever else the machine does: what comes later is a matter of `test_searches`."""
    searches.WAIT_S = 60.0


@pytest.fixture(autouse=True, scope="session")
def _seldom_drawn_by_the_clock() -> None:
    """Whoever presses a key or pauses sees everything drawn, once it is done. A screen that is drawn sixty times a
    second draws in between what nobody looks at: a sixth of all the work, and more where work takes longer."""
    textual.screen.UPDATE_PERIOD = 0.1  # type: ignore[misc]


_TURNS = 40
"""Of the event loop. Whoever is not done then waits for a thread or a timer, and is waited for."""
_MOST_ROUNDS = 2000
"""Of looking whether the screen has done everything: something may come for ever."""


def _waits(pump: MessagePump) -> bool:
    """For its next message, with nothing left to do: whatever it was told is done."""
    queue: Queue[Any] = pump._message_queue
    return queue.empty() and bool(queue.ready_event._waiters) and not pump._next_callbacks


def _widgets(screen: Screen[Any]) -> Iterator[MessagePump]:
    yield screen
    yield from screen.walk_children()


async def _settled(pilot: Pilot[Any]) -> None:
    """Until no message waits anywhere and none is being answered, twice in a row: what threads and timers have sent
    arrives a round later. What is laid out or drawn at the next tick of the screen is so now."""
    quiet = turns = 0
    for _ in range(_MOST_ROUNDS):
        if pilot.app._exit or not pilot.app.screen_stack:
            return
        if _waits(pilot.app) and all(_waits(one) for screen in pilot.app.screen_stack for one in _widgets(screen)):
            if quiet == 2:
                return
            quiet += 1
            pilot.app.screen._on_timer_update()
            await asyncio.sleep(0)
            continue
        quiet = 0
        turns += 1
        if turns % _TURNS:
            await asyncio.sleep(0)
        # A message to every widget, to hear that it was read, costs more than most of what they have to do.
        elif not await pilot._wait_for_screen():
            return


@pytest.fixture(autouse=True, scope="session")
def _idle_is_when_nothing_waits() -> None:
    """Textual takes a process that gets no processor for one that has nothing to do: less than 1 ms of work in 20 ms.

    Beside busy processes a key or the mouse was so looked at before it had reached the screen; on a quiet machine most
    of a key's time was such waiting, for the next of three frames that nobody looked at.
    """
    pause = Pilot.pause

    async def pressed(self: Pilot[Any], *keys: str) -> None:
        for key in keys:
            await self.app._press_keys([key])
            await _settled(self)
            if self.app._running and not self.app._exit:
                await self.app._animator.wait_until_complete()
                await _settled(self)

    async def paused(self: Pilot[Any], delay: float | None = None) -> None:
        await pause(self, delay)
        if delay is None:
            await _settled(self)

    async def not_by_the_clock(min_sleep: float = 0, max_sleep: float = 1) -> None:
        await asyncio.sleep(0)

    Pilot.press, Pilot.pause = pressed, paused  # type: ignore[method-assign]
    # A pause still leaves threads and timers a moment.
    textual.app.wait_for_idle = not_by_the_clock  # type: ignore[attr-defined]
