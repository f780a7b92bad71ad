"""Keys in one packet, as a slow line brings them: each finds what the one before it has done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

from textual._xterm_parser import XTermParser
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget

from hettui.domain.matching import CURSOR
from hettui.services.events import LogLines
from hettui.ui.dialogs.help import HelpScreen
from hettui.ui.screens.main import MainScreen
from hettui.ui.terminal.slow_line import SlowLineApp
from tests.patience import patience
from tests.ui.stage import Stage, stage


async def within(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(patience(20)):
        while not condition():
            await asyncio.sleep(0.005)


def send(app: App[Any], typed: str) -> None:
    for message in XTermParser().feed(typed):
        app.post_message(message)


async def in_one_packet(s: Stage, typed: str) -> None:
    send(s.app, typed)
    # The first of them is taken when the app hears it.
    await s.pilot.pause()
    await within(lambda: s.app.key_order.idle)


async def test_a_count_behind_another_device_is_that_ones() -> None:
    async with stage() as s:
        selected = s.main.known.editor.selected
        await in_one_packet(s, "\x1b[B2\r")
        assert s.main.known.editor.selected == selected + 1
        assert s.layers[selected + 1] == 2


async def test_a_count_behind_a_command_is_not_dropped() -> None:
    async with stage() as s:
        before, selected = s.layers, s.main.known.editor.selected
        await in_one_packet(s, "h2")
        assert s.layers[selected] == before[selected] - 1
        assert s.main.known.editor.typed == "2"


async def test_a_question_behind_the_chats_key_is_no_command() -> None:
    async with stage() as s:
        await s.run_plan()
        before = s.plan
        await in_one_packet(s, "chi x, all? s")
        assert s.main.body.chat.prompt.text == "hi x, all? s"
        assert s.plan == before
        assert isinstance(s.app.screen, MainScreen)


async def test_a_filter_behind_its_key_is_no_command() -> None:
    async with stage() as s:
        await s.emit(LogLines("master", ("a slot is free", "stop")))
        await in_one_packet(s, "g/slot\r")
        assert s.main.body.logs.filter == "slot"
        assert not s.main.body.logs.typing
        assert s.engine.requests == []


async def test_a_dialog_hears_what_was_typed_behind_its_key() -> None:
    async with stage() as s:
        await in_one_packet(s, "?/lock")
        assert isinstance(s.app.screen, HelpScreen)
        assert f"Help  /lock{CURSOR}" in s.text()


class Deaf(Widget, can_focus=True):
    """Its first key keeps it busy."""

    def __init__(self) -> None:
        super().__init__()
        self.over = asyncio.Event()

    async def on_key(self) -> None:
        await self.over.wait()


class DeafApp(SlowLineApp[None]):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("b", "hear", priority=True)]
    heard = 0

    def compose(self) -> ComposeResult:
        yield Deaf()

    def action_hear(self) -> None:
        self.heard += 1


async def test_keys_that_wait_are_heard_although_a_widget_does_not_answer() -> None:
    app = DeafApp()
    async with app.run_test():
        deaf = app.query_one(Deaf)
        deaf.focus()
        send(app, "ab")
        await within(lambda: app.heard == 1)
        deaf.over.set()
