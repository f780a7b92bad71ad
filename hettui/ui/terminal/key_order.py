"""Keys are heard one after the other, however many come in one packet.

Textual 8.2.8 hands each to the widget that has the keyboard when it arrives. What it is bound to is done when it has
come up from there to the app, some messages later. Of `c`, `h` and `i` in one packet, as slow lines send them, all
three went to a card, where `h` and `i` are other commands; a layer count behind `down` was the wrong device's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from textual import events
from textual.app import App
from textual.message_pump import MessagePump

_LOST_S = 0.5
"""So long a key may take before the others go on without it: whatever has it does not answer."""


class KeyOrder:
    """Between the driver and what an app does with its keys and mouse."""

    def __init__(self, app: App[Any], hear: Callable[[events.Event], Awaitable[None]], *, held: bool) -> None:
        """`hear`: what the app does with one. `held`: not before `let_go`."""
        self._app = app
        self._hear = hear
        self._held = held
        self._waiting: deque[events.Event] = deque()
        self._way: object | None = None
        """Of the key that has not come to its end yet."""

    @property
    def idle(self) -> bool:
        """What was typed has been done."""
        return self._way is None and not self._waiting

    async def take(self, event: events.Event) -> None:
        """A key, or the mouse, or what was pasted, in the order in which they came."""
        self._waiting.append(event)
        if self._way is not None and len(self._waiting) == 1:
            self._app.set_timer(_LOST_S, lambda way=self._way: self._app.call_later(self._arrived, way))
        await self._go_on()

    async def let_go(self) -> None:
        """Those that wait may be heard, and all that come."""
        self._held = False
        await self._go_on()

    async def _go_on(self) -> None:
        while self._waiting and not self._held and self._way is None:
            event = self._waiting.popleft()
            if not isinstance(event, events.Key):
                await self._hear(event)
                continue
            self._way = way = object()
            first = self._app.focused or self._app.screen
            await self._hear(event)
            self._follow(first, way)

    def _follow(self, node: MessagePump, way: object) -> None:
        """Behind the key in the queue of each that it comes through."""
        if not node.call_later(self._passed, node, way):
            self._app.call_later(self._passed, self._app, way)

    def _passed(self, node: MessagePump, way: object) -> None:
        if node is self._app:
            # Once more behind what the key has led to: to get the keyboard is a message too.
            self._app.call_later(self._arrived, way)
        else:
            self._follow(node._parent or self._app, way)

    async def _arrived(self, way: object) -> None:
        if way is self._way:
            self._way = None
            await self._go_on()
