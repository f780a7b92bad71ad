"""Whatever the order of events: every pane, widget and dialog takes what it is told before it is mounted and after."""

from __future__ import annotations

import ast
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.screen import Screen
from textual.widget import Widget

import hettui.ui
from hettui.domain.bench.run import BenchOutcome, BenchPlan, BenchProgress
from hettui.domain.chat.conversation import Exchange
from hettui.domain.chat.wire import ServerFacts
from hettui.domain.cluster.snapshot import ClusterSnapshot
from hettui.domain.session.rescue import without
from hettui.services.events import (
    BenchChanged,
    BenchEnded,
    ChatEnded,
    ChatProgressed,
    ChatWaiting,
    ClusterChanged,
    LogLines,
    ParallelChanged,
)
from hettui.ui.app import HettuiApp
from hettui.ui.dialogs.help import HelpScreen
from hettui.ui.dialogs.hosts import HostsScreen
from hettui.ui.dialogs.model_picker import ModelPicker
from hettui.ui.dialogs.post_mortem import PostMortemScreen
from hettui.ui.dialogs.themes import ThemeScreen
from hettui.ui.dialogs.welcome import WelcomeScreen
from hettui.ui.panes.bench import BenchPane
from hettui.ui.panes.chat import ChatPane
from hettui.ui.presenting.known import Known
from hettui.ui.screens.body import Body
from hettui.ui.widgets.transcript import MOST_SHOWN, Transcript
from hettui.ui.widgets.turn import Answer
from tests.ui.stage import StageBackend, readings, running, session, shipped_themes, stage, text_of
from tests.ui.test_survival import found, roomy

PARTS = [("A heading of its own", ["why it is so", "  and what goes with it"])]
UI = Path(hettui.ui.__file__).parent


def told_body(body: Body) -> None:
    """Every view, and every event."""
    opened = session()
    known = Known(opened, running(Known(opened, ClusterSnapshot()).plan))
    body.draw(known.facts(), 1)
    body.show_explanation(PARTS)
    body.commands.show("What runs now.", [("master", "llama-server --port 1")])
    body.logs.add("worker middle", ["a line before anything stood", "another"])
    body.logs.add("master", ["listening"])
    told_bench(body.bench)
    told_chat(body.chat)


def told_bench(pane: BenchPane) -> None:
    pane.allow(ClusterSnapshot(), None)
    pane.allow(ClusterSnapshot(), "the cluster is loading")
    pane.take(BenchEnded(BenchOutcome(BenchPlan(), ServerFacts(), ())))
    pane.take(BenchChanged(BenchProgress("pp128", 0.5, 3.0)))


def told_chat(pane: ChatPane) -> None:
    pane.allow(None)
    pane.empty()
    pane.begin("What is a layer?")
    pane.take(ChatWaiting("one before it"))
    pane.take(ChatProgressed("A part ", "hm, ", 3, 1.0))
    pane.take(ChatProgressed("of a model.", "", 9, 2.0))
    pane.take(ParallelChanged((), done=True, problem="none"))
    pane.take(ChatEnded(None, problem="the line went dead"))
    pane.action_reasoning()


@pytest.mark.parametrize("size", [(80, 24), (210, 50)])
async def test_every_pane_takes_every_view_before_it_is_mounted_and_after_it_was_taken_down(
    size: tuple[int, int],
) -> None:
    async with stage(size=size) as s:
        body = Body(s.backend, 3, "logs", s.screen.places.expected_room)
        told_body(body)
        other: Screen[None] = Screen()
        await s.app.push_screen(other)
        for widget in (body.header, body.layer_bar, body.plan_line, body.devices, *body.panes.values()):
            widget.styles.height = "auto" if widget in body.panes.values() else None
            await other.mount(widget)
        told_body(body)
        await s.pilot.pause()
        for widget in list(other.children):
            await widget.remove()
        told_body(body)
        s.app.pop_screen()
        await s.pilot.pause()


SHOWN: list[tuple[Callable[[Body], Widget], list[str]]] = [
    (lambda body: body.header, ["● ready"]),
    (lambda body: body.devices, ["big", "middle", "CPU of this machine"]),
    (lambda body: body.explain, ["A heading of its own", "and what goes with it"]),
    (lambda body: body.commands, ["What runs now.", "llama-server --port 1"]),
    (lambda body: body.logs, ["a line before anything stood", "all 2 processes", "3 lines"]),
    (lambda body: body.bench, ["pp128 · Esc stops", "50%"]),
    (lambda body: body.chat, ["What is a layer?", "A part of a model.", "the line went dead"]),
]


@pytest.mark.parametrize("place", range(len(SHOWN)))
async def test_what_was_told_before_is_shown_when_it_is_mounted(place: int) -> None:
    part, words = SHOWN[place]
    async with stage(size=(110, 40)) as s:
        body = Body(s.backend, 3, "logs", s.screen.places.expected_room)
        told_body(body)
        other: Screen[None] = Screen()
        await s.app.push_screen(other)
        await other.mount(part(body))
        await s.pilot.pause()
        shown = text_of(s.app)
        assert [w for w in words if w not in shown] == [], shown


async def test_a_conversation_is_in_order_whenever_it_was_told() -> None:
    asked = [Exchange(f"question {n}", f"answer {n}") for n in range(MOST_SHOWN + 2)]
    async with stage() as s:
        transcript = Transcript(id="t")
        transcript.show(asked)
        transcript.add([*asked, Exchange("dropped")])
        transcript.drop_last()
        transcript.add([*asked, Exchange("last")]).grow("half", "")
        transcript.continue_last(Exchange("last", "half")).grow(" and half", "")
        other: Screen[None] = Screen()
        await s.app.push_screen(other)
        mounting = other.mount(transcript)
        transcript.add([*asked, Exchange("last"), Exchange("meanwhile")]).grow("now", "")
        await mounting
        await s.pilot.pause()
        held = [w.text if isinstance(w, Answer) else str(w.render()) for w in transcript.children]
        assert held[0].startswith("… 4 earlier questions")
        assert held[-4:] == ["last", "half and half", "meanwhile", "now"]
        assert len(held) == 1 + 2 * MOST_SHOWN
        transcript.show(asked[:1])
        await s.pilot.pause()
        assert len(transcript.children) == 2


async def test_a_token_that_comes_before_the_place_of_a_continued_answer_stands_comes_behind_it() -> None:
    async with stage() as s:
        answer = Answer(prefix="It begins")
        s.screen.body.chat._transcript.put(answer)
        answer.grow(" and goes on.", "")
        await s.pilot.pause()
        assert answer.text == "It begins and goes on."


async def test_dialogs_take_what_comes_before_they_stand_and_after_they_were_closed() -> None:
    opened = roomy()
    async with stage(opened) as s:
        plan = s.plan
        backend = StageBackend(opened)
        shown = s.app.sorted_themes
        rescue = without(opened, plan, "middle")

        def told(dialog: Screen[object]) -> None:
            match dialog:
                case ThemeScreen():
                    dialog.use(shown[1:], shown[1].name)
                case PostMortemScreen():
                    dialog._offer(rescue)
                case HelpScreen():
                    dialog._draw()
                case ModelPicker() | WelcomeScreen():
                    dialog._show_models()
                case HostsScreen():
                    dialog._draw()

        dialogs = [
            ThemeScreen(shown, shown[0].name, lambda name: None),
            PostMortemScreen(found(), opened, plan, leftovers=True, read_only=False),
            HelpScreen([], s.screen.keymap),
            ModelPicker(backend, opened),
            WelcomeScreen(backend, opened),
            HostsScreen(backend, opened),
        ]
        for dialog in dialogs:
            told(dialog)  # type: ignore[arg-type]
            opening = s.app.push_screen(dialog)  # type: ignore[call-overload]
            told(dialog)  # type: ignore[arg-type]
            await opening
            told(dialog)  # type: ignore[arg-type]
            await s.pilot.pause()
            await s.app.pop_screen()
            told(dialog)  # type: ignore[arg-type]
            await s.pilot.pause()
        backend.chats.close()


@pytest.mark.parametrize("folder", ["panes", "widgets", "dialogs", "screens"])
def test_nothing_that_is_told_looks_its_children_up(folder: str) -> None:
    """They are there from the beginning, as attributes. What only keys do may look: keys come to what stands."""
    of_keys = {("chat_settings.py", "action_use")}
    looked = []
    for path in sorted((UI / folder).glob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                calls = (n.func for n in ast.walk(function) if isinstance(n, ast.Call))
                if any(isinstance(f, ast.Attribute) and f.attr.startswith("query") for f in calls):
                    looked.append((path.name, function.name))
    assert set(looked) <= of_keys, looked


async def test_logs_open_at_their_end_and_follow_it() -> None:
    """Lines that came while the pane was not to be seen: the end is what one wants to read."""
    async with stage(size=(80, 24)) as s:
        logs = s.screen.body.logs
        logs.add("master", [f"line {n}" for n in range(200)])
        await s.pilot.pause()
        await s.press("g")
        await s.pilot.pause()
        assert "line 199" in s.text()
        logs.add("master", ["line 200"])
        await s.pilot.pause()
        assert "line 200" in s.text()
        await s.press("up", "up")
        logs.add("master", ["line 201"])
        await s.pilot.pause()
        assert "line 201" not in s.text(), "who reads is left alone"
        await s.press("escape")
        logs.add("master", ["line 202"])
        await s.pilot.pause()
        await s.press("g")
        await s.pilot.pause()
        assert "line 202" not in s.text(), "and finds the place again"
        await s.press("G")
        logs.add("master", ["line 203"])
        await s.pilot.pause()
        assert "line 203" in s.text()


async def start_under_events(size: tuple[int, int]) -> str:
    """Opens the screen while the engine tells whatever it can from its own thread; the first frame."""
    opened, frames = session(), list[str]()
    backend = StageBackend(opened)
    over = threading.Event()

    def tell() -> None:
        plan = Known(opened, ClusterSnapshot()).plan
        second = 0
        while not over.is_set():
            second += 1
            for event in (
                ClusterChanged(running(plan)),
                readings(plan.devices, second),
                LogLines("master", ("a line",)),
                ChatWaiting("waits"),
                ClusterChanged(ClusterSnapshot()),
            ):
                backend.engine.emit(event)
            over.wait(0.02)

    def first_frame() -> None:
        frames.append(text_of(app))
        over.set()

    app = HettuiApp(backend, shipped_themes(), when_shown=first_frame)
    teller = threading.Thread(target=tell)
    async with app.run_test(size=size) as pilot:
        teller.start()
        await app.workers.wait_for_complete()
        while not frames:
            await pilot.pause()
        teller.join()
    backend.chats.close()
    return frames[0]


def complete(frame: str) -> list[str]:
    """What is missing in it."""
    return [w for w in ("SmolLM2", "big", "middle", "small", "CPU of this", "Help", "Quit") if w not in frame]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (210, 50)])
async def test_the_first_frame_is_whole_while_the_engine_talks(size: tuple[int, int]) -> None:
    frame = await start_under_events(size)
    assert complete(frame) == [], frame
