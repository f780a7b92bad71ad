"""The planner beside the keys: what takes long is left out of the picture, told, and can be stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

import pytest

from hettui.domain.planner import objectives
from hettui.domain.planner.objectives import Asked, Best, answer
from hettui.ui.screens import searches
from tests.patience import patience
from tests.ui.stage import Stage, card_session, stage

TOLD = "the planner searches, esc stops it"


class Slow:
    """A planner that answers when it may."""

    def __init__(self) -> None:
        self.may, self.asked = Event(), list[Asked]()

    def __call__(self, asked: Asked) -> Best:
        self.asked.append(asked)
        assert self.may.wait(patience(60))
        return answer(asked)


@contextmanager
def slow(s: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    planner = Slow()
    monkeypatch.setattr(searches, "WAIT_S", 0.0)
    monkeypatch.setattr(s.screen.searches, "_search", planner)
    objectives._remembered.clear()
    try:
        yield planner
    finally:
        planner.may.set()


async def until(s: Stage, words: str, *, gone: bool = False) -> None:
    for _ in range(10_000):
        if (words in s.text()) is not gone:
            return
        await s.pilot.pause(0.01)
    raise AssertionError(s.text())


async def test_keys_go_on_while_it_searches_and_what_it_finds_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage(card_session()) as s:
        assert "tok/s" in s.text()
        with slow(s, monkeypatch) as planner:
            # A locked count is another question.
            await s.press("space", "right")
            await until(s, TOLD)
            assert "tok/s" not in s.text()
            before = s.layers
            await s.press("down", "left", "left")
            assert s.layers[1] == before[1] - 2
            assert len(planner.asked) == 1
            planner.may.set()
            await until(s, TOLD, gone=True)
            await until(s, "tok/s")


async def test_esc_stops_it_and_it_is_not_begun_again_for_the_same_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage(card_session()) as s:
        with slow(s, monkeypatch) as planner:
            await s.press("space")
            await until(s, TOLD)
            await s.press("escape")
            assert TOLD not in s.text()
            await s.press("down", "up")
            assert len(planner.asked) == 1
            # Another plan is another question.
            planner.may.set()
            await s.press("down", "space")
            await until(s, "tok/s")


async def test_what_is_found_within_a_frame_is_drawn_at_once() -> None:
    async with stage(card_session()) as s:
        objectives._remembered.clear()
        await s.press("space")
        assert "tok/s" in s.text()
        assert s.screen.searches.done == 0


async def test_what_is_found_after_the_screen_was_left_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage(card_session()) as s:
        with slow(s, monkeypatch) as planner:
            await s.press("space")
            await until(s, TOLD)
            s.screen.searches.close()
            drawn: list[bool] = []
            monkeypatch.setattr(s.screen, "draw", lambda: drawn.append(True))
            planner.may.set()
            s.screen.searches._pool.shutdown(wait=True)  # type: ignore[union-attr]
            await s.pilot.pause()
            assert not drawn
