"""Keys of the screen: remapped ones, refused ones, filters, help and palette."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from textual import events
from textual._xterm_parser import XTermParser
from textual.command import CommandPalette

from hettui.domain.session.session import Session
from hettui.services.events import LogLines
from hettui.ui.dialogs.help import HelpScreen
from hettui.ui.widgets.device_card import DeviceCard
from tests.patience import patience
from tests.ui.stage import session, stage


def remapped(**keys: tuple[str, ...]) -> Session:
    opened = session()
    named = {name.replace("__", "."): value for name, value in keys.items()}
    return replace(opened, config=replace(opened.config, keys=named))


async def test_a_remapped_key_works_and_is_named_everywhere() -> None:
    async with stage(remapped(cluster__start=("f2",), pane__logs=("z",), cluster__stop=())) as s:
        assert "f2 starts it" in s.text()
        assert "Logs z" in s.text()
        await s.press("s")
        assert s.engine.requests == []
        await s.press("f2")
        assert len(s.engine.requests) == 1
        await s.press("z")
        assert s.app.focused is not None
        assert s.app.focused.id == "logs"


@pytest.mark.parametrize(
    ("key", "said"),
    [("x", "Stop: nothing runs"), ("a", "s starts it"), ("u", "nothing to undo"), ("w", "nothing to tell")],
)
async def test_what_cannot_be_done_says_why_once(key: str, said: str) -> None:
    async with stage() as s:
        await s.press(key, key, key)
        (toast,) = s.toasts()
        assert said in toast


async def test_undo_says_what_and_that_there_is_no_more() -> None:
    async with stage() as s:
        await s.press("equals_sign", "right", "u")
        assert s.toasts()[-1].startswith("undone: big 11 → 12 layers (1 more)")
        await s.press("u")
        assert s.toasts() == ["undone: the even split, there is no more"]
        await s.press("ctrl+r")
        assert s.toasts() == ["done again: the even split (1 more)"]


async def test_logs_are_filtered_as_one_types_and_stay_so() -> None:
    async with stage() as s:
        await s.press("g")
        await s.emit(LogLines("worker big", ("out of memory [/]", "all is well")))
        await s.emit(LogLines("master", ("memory ready",)))
        await s.press("slash", "m", "e", "m", "space", "c", "backspace", "b", "i", "g")
        assert "/mem big" in s.text()
        assert "1 of 3 lines" in s.text()
        assert "all is well" not in s.text()
        await s.press("enter")
        await s.emit(LogLines("worker big", ("more memory", "nothing")))
        assert "2 of 5 lines" in s.text()
        await s.press("escape")
        assert "all is well" in s.text()
        await s.press("f")
        assert "big only" in s.text()
        assert "memory ready" not in s.text()
        await s.press("escape")
        assert isinstance(s.app.focused, DeviceCard)


async def test_a_device_is_found_by_its_name() -> None:
    async with stage() as s:
        await s.press("slash", "s", "m", "a")
        assert s.screen.facts.selected == 2
        assert "1 of 1" in s.text()
        assert s.engine.requests == []
        await s.press("escape")
        assert s.screen.facts.selected == 0
        await s.press("slash", "m", "i", "d", "enter", "right")
        assert s.screen.facts.selected == 1


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_help_filters_scrolls_and_says_why_not(size: tuple[int, int]) -> None:
    async with stage(size=size) as s:
        await s.press("question_mark")
        assert isinstance(s.app.screen, HelpScreen)
        await s.press("G", "k", "g", "slash", "s", "t", "o", "p", "space", "a", "l", "l")
        assert "stop all processes" in s.text()
        assert "not now: nothing runs" in " ".join(s.text().split())
        assert "one layer less" not in s.text()
        await s.press("escape")
        assert "one layer less" in s.text()
        await s.press("escape")
        assert not isinstance(s.app.screen, HelpScreen)


async def test_the_palette_has_every_action_and_says_why_not() -> None:
    async with stage() as s:
        await s.press("ctrl+p")
        assert isinstance(s.app.screen, CommandPalette)
        await s.type("cluster stop")
        async with asyncio.timeout(patience(10)):
            while "not now: nothing runs" not in s.text():
                await s.pilot.pause()
        assert "Cluster: Stop" in s.text()


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        ("\x1b[H", "home"), ("\x1bOH", "home"), ("\x1b[1~", "home"), ("\x1b[7~", "home"),
        ("\x1b[F", "end"), ("\x1bOF", "end"), ("\x1b[4~", "end"), ("\x1b[8~", "end"),
        ("\x1b[D", "left"), ("\x1bOD", "left"), ("\x1b[1;2D", "shift+left"), ("\x1b[d", "shift+left"),
        ("\x1b[1;2C", "shift+right"), ("\x1b[c", "shift+right"),
        ("\x1b[[A", "f1"), ("\x1bOP", "f1"), ("\x1b[11~", "f1"),
    ],
)  # fmt: skip
def test_what_other_terminals_send_is_the_same_key(sent: str, key: str) -> None:
    """xterm in both modes, PuTTY and the Linux console, rxvt, screen and tmux."""
    heard = [event.key for event in XTermParser().feed(sent) if isinstance(event, events.Key)]
    assert heard == [key]
