"""The screen on a recording, by keys: a real replay engine on a clock that stands still unless a test moves it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from textual.pilot import Pilot

from hettui.domain.chat.wire import Timings
from hettui.domain.errors import HettuiError
from hettui.domain.session.session import Session
from hettui.services.events import ChatEnded, ChatProgressed, ClusterChanged, LogLines, Notice
from hettui.services.recording.replay import ReplayEngine
from hettui.ui.app import HettuiApp
from hettui.ui.dialogs.help import HelpScreen
from hettui.ui.screens.replay import ReplayScreen, mark
from hettui.wiring.replay import ReplayBackend
from tests.fakes import FakeClock, shape
from tests.patience import patience
from tests.recordings import Entry, recording
from tests.ui.stage import readings, running, session, shipped_themes

SESSION = session()
MOVED = SESSION.initial_plan
assert MOVED is not None
MOVED = MOVED.with_layers(0, 20)


def entries() -> list[Entry]:
    """Two minutes of readings; what runs from 20 on is not the plan of the beginning; an answer at 60."""
    assert MOVED is not None
    found: list[Entry] = [(float(s), readings(SESSION.devices, s)) for s in range(1, 121)]
    found.append((20.0, ClusterChanged(running(MOVED))))
    found.append((21.0, LogLines("master", ("a line of [the/] log",))))
    found.append((30.0, Notice("a recorded notice", "warning")))
    found += [(60.0 + 0.1 * i, ChatProgressed("·", "", i + 1, 0.1 * i)) for i in range(4)]
    found.append((61.0, ChatEnded(Timings(generated_tokens=4, generated_per_second=10.0, prompt_tokens=3))))
    return sorted(found, key=lambda entry: entry[0])


@dataclass
class Show:
    """One open screen and its recording."""

    app: HettuiApp
    pilot: Pilot[HettuiError | None]
    engine: ReplayEngine
    clock: FakeClock

    @property
    def screen(self) -> ReplayScreen:
        (found,) = [s for s in self.app.screen_stack if isinstance(s, ReplayScreen)]
        return found

    @property
    def layers(self) -> tuple[int, ...]:
        return self.screen.facts.plan.split.layers

    def text(self) -> str:
        return "\n".join(
            "".join(segment.text for segment in strip) for strip in self.app.screen._compositor.render_strips()
        )

    def toasts(self) -> list[str]:
        return [n.message for n in self.app._notifications]

    async def press(self, *keys: str) -> None:
        """The keys, and what the replay's thread makes of them."""
        await self.pilot.press(*keys)
        await self.told()

    async def told(self) -> None:
        """Waits until the thread has nothing more to tell, and the screen has drawn it."""
        quiet, deadline = 0, time.monotonic() + patience(10)
        while quiet < 2 and time.monotonic() < deadline:
            with self.engine._changed:
                waiting = self.engine._out or self.engine._playback.seen(self.clock.now) != self.engine._told
                self.engine._changed.notify()
            # Twice: what the thread has just taken it still has to hand over.
            quiet = 0 if waiting else quiet + 1
            await self.pilot.pause(0.01)
        await self.pilot.pause()

    async def pass_s(self, seconds: float) -> None:
        self.clock.now += seconds
        await self.told()


@asynccontextmanager
async def show(
    opened: Session = SESSION, found: list[Entry] | None = None, size: tuple[int, int] = (120, 40)
) -> AsyncIterator[Show]:
    clock = FakeClock()
    with ReplayEngine(recording(opened, entries() if found is None else found), clock) as engine:
        app = HettuiApp(ReplayBackend(engine), shipped_themes(), player=engine)
        async with app.run_test(size=size) as pilot:
            await app.workers.wait_for_complete()
            await pilot.pause()
            stage = Show(app, pilot, engine, clock)
            await stage.told()
            yield stage


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_it_says_that_it_is_a_recording_and_where_it_is(size: tuple[int, int]) -> None:
    async with show(size=size) as s:
        assert "REPLAY 00:00 / 02:00 ▶ 1×" in s.text()
        assert "DEMO" not in s.text()
        await s.pass_s(23)
        assert "REPLAY 00:23 / 02:00 ▶ 1×" in s.text()
        assert "● ready" in s.text()
        assert "space Pause" in s.text()
        assert "−10 s" in s.text()


async def test_pause_seek_and_speed_by_keys() -> None:
    async with show() as s:
        await s.pass_s(5)
        await s.press("space")
        assert "REPLAY 00:05 / 02:00 ⏸ 1×" in s.text()
        await s.pass_s(10)
        assert "REPLAY 00:05" in s.text()
        await s.press("full_stop", "full_stop")
        assert "REPLAY 00:25 / 02:00 ⏸" in s.text()
        assert "● ready" in s.text()
        await s.press("comma")
        assert "REPLAY 00:15" in s.text()
        assert "○ stopped" in s.text()
        await s.press("space", "greater_than_sign")
        await s.pass_s(10)
        assert "REPLAY 00:35 / 02:00 ▶ 2×" in s.text()
        await s.press("less_than_sign", "less_than_sign", "less_than_sign")
        assert "▶ 0.25×" in s.text()
        await s.press("end")
        assert "REPLAY 02:00 / 02:00 ⏸" in s.text()
        await s.press("home")
        assert "REPLAY 00:00 / 02:00 ⏸" in s.text()


async def test_after_a_jump_the_histories_are_those_of_that_moment() -> None:
    async with show() as s:
        await s.pass_s(100)
        await s.press("space", "home", "full_stop", "full_stop", "full_stop")
        telemetry = s.screen.facts.telemetry
        assert telemetry is not None
        assert telemetry.monotonic_s == 30.0
        history = s.screen.facts.histories["middle"]
        assert history.last_seen_s == 30.0
        bins = history.loads.bins(30.0, 30)
        # 120 s in 30 parts of 4 s: readings from 1 to 30 fill the last eight.
        assert bins == (None,) * 22 + (10.0,) * 8
        assert s.toasts() == ["a recorded notice"], "said when it happened, and not again"


async def test_the_plan_follows_what_ran_until_a_slider_is_moved() -> None:
    assert MOVED is not None
    async with show() as s:
        before = s.layers
        await s.press("space", "full_stop", "full_stop")
        assert s.layers == MOVED.split.layers
        assert "the plan is what runs" in s.text()
        await s.press("comma")
        assert s.layers == before
        await s.press("right")
        mine = s.layers
        assert mine[0] == before[0] + 1
        await s.press("full_stop")
        assert s.layers == mine, "a what-if stays"
        assert "the plan differs" in s.text()
        await s.press("u", "full_stop", "comma")
        assert s.layers == MOVED.split.layers, "undone, it follows again"


@pytest.mark.parametrize("key", ["s", "a", "x", "m"])
async def test_what_cannot_be_done_says_why(key: str) -> None:
    async with show() as s:
        await s.pass_s(25)
        await s.press(key)
        assert "this is a recording of SmolLM2 135M Q4_1" in s.toasts()[-1]


async def test_answers_come_as_marks_and_figures() -> None:
    async with show() as s:
        await s.press("c")
        await s.pass_s(60.25)
        assert "(what was asked and answered is not recorded)" in s.text()
        assert "···" in s.text()
        assert "Esc stops" not in s.text()
        await s.press("escape")
        assert s.screen.facts.selected == 0
        await s.pass_s(5)
        assert "answer 4 tok, 10.0 tok/s" in s.text()
        await s.press("space", "comma")
        assert "answer 4 tok" not in s.text()
        await s.press("full_stop")
        assert s.text().count("answer 4 tok") == 1
        assert "nothing can be asked" in s.text()


async def test_time_has_its_keys_in_the_chat_and_logs_too() -> None:
    async with show() as s:
        await s.press("c", "space")
        assert "⏸" in s.text()
        await s.press("full_stop", "full_stop", "full_stop", "g")
        assert "a line of [the/] log" in s.text()
        await s.press("space")
        assert "REPLAY 00:30 / 02:00 ▶" in s.text()
        await s.press("space", "comma", "comma")
        assert "a line of" not in s.text()


async def test_help_shows_the_keys_of_time() -> None:
    async with show() as s:
        await s.press("question_mark")
        assert isinstance(s.app.screen, HelpScreen)
        assert "pause the recording, or go on" in s.text()
        assert "ten seconds back" in s.text()
        assert "lock or unlock" not in s.text()


async def test_leaving_asks_nothing() -> None:
    async with show() as s:
        await s.pass_s(25)
        assert s.screen.facts.cluster.processes
        await s.pilot.press("q")
        await s.pilot.pause()
        assert s.app._exit


async def test_another_model_in_the_middle() -> None:
    other = replace(SESSION, shape=shape(blocks=12))
    async with show(found=[(1.0, readings(SESSION.devices)), (2.0, other), (60.0, readings(SESSION.devices, 60))]) as s:
        assert sum(s.layers) == 31
        await s.pass_s(3)
        assert sum(s.layers) == 13
        await s.press("home")
        assert sum(s.layers) == 31


async def test_without_a_model_it_can_be_looked_at() -> None:
    async with show(replace(SESSION, shape=None), [(5.0, readings(SESSION.devices))]) as s:
        await s.pass_s(6)
        assert "REPLAY 00:05 / 00:05 ⏸" in s.text()
        assert "no model" in s.text()


def test_long_recordings_show_hours() -> None:
    from hettui.services.events import PlaybackMoved

    assert mark(PlaybackMoved(59.9, 3600.0, 16.0, True)) == "REPLAY 00:59 / 1:00:00 ▶ 16×"
