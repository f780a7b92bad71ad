"""For tests of the screen: a style sheet is parsed once, not once for every screen."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from textual._queue import Queue
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet
from textual.message_pump import MessagePump
from textual.pilot import Pilot

from hettui.ui.screens import searches


@pytest.fixture(autouse=True, scope="session")
def _sheets_are_parsed_once() -> None:
    """Hundreds of screens have the same few sheets: an eighth of the time of every screen.

    Textual keeps what it has parsed for as long as one app lives, by the same key but for the theme's variables.
    """
    parse = Stylesheet._parse_rules
    kept: dict[tuple[Any, ...], list[RuleSet]] = {}

    def parsed(self: Stylesheet, *words: Any, **named: Any) -> list[RuleSet]:
        key = (tuple(self._variables.items()), words, tuple(named.items()))
        if key not in kept:
            kept[key] = parse(self, *words, **named)
        return kept[key]

    Stylesheet._parse_rules = parsed  # type: ignore[method-assign]


@pytest.fixture(autouse=True, scope="session")
def _drawings_wait_for_the_planner() -> None:
    """Whatever else the machine does: what comes later is a matter of `test_searches`."""
    searches.WAIT_S = 60.0


_MOST_ROUNDS = 50
"""Of looking whether the screen has done everything: something may come for ever."""


def _waits(pump: MessagePump) -> bool:
    """For its next message, with nothing left to do: whatever it was told is done."""
    queue: Queue[Any] = pump._message_queue
    return queue.empty() and bool(queue.ready_event._waiters) and not pump._next_callbacks


async def _settled(pilot: Pilot[Any]) -> None:
    """Until no message waits anywhere and none is being answered, twice in a row: what threads and timers have sent
    arrives a round later."""
    quiet = 0
    for _ in range(_MOST_ROUNDS):
        if quiet == 2 or pilot.app._exit or not pilot.app.screen_stack:
            return
        if all(map(_waits, (pilot.app, *pilot.app.screen.walk_children(with_self=True)))):
            quiet += 1
            await asyncio.sleep(0)
        elif await pilot._wait_for_screen():
            quiet = 0
        else:
            return


@pytest.fixture(autouse=True, scope="session")
def _idle_is_when_nothing_waits() -> None:
    """Textual takes a process that gets no processor for one that has nothing to do: less than 1 ms of work in 20 ms.

    Beside busy processes a key or the mouse was so looked at before it had reached the screen.
    """
    pause = Pilot.pause

    async def pressed(self: Pilot[Any], *keys: str) -> None:
        if keys:
            await self.app._press_keys(keys)
            await _settled(self)

    async def paused(self: Pilot[Any], delay: float | None = None) -> None:
        await pause(self, delay)
        if delay is None:
            await _settled(self)
            self.app.screen._on_timer_update()

    Pilot.press, Pilot.pause = pressed, paused  # type: ignore[method-assign]
