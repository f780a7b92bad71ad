"""Every action of the registry by every one of its keys: what it does, and what it says when it cannot."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Literal, TypeVar

import pytest
from textual.command import CommandPalette

from hettui.domain.chat.wire import Timings
from hettui.domain.cluster.postmortem import End, examine
from hettui.domain.cluster.process import ProcessSpec
from hettui.domain.cluster.snapshot import ClusterSnapshot, ClusterState
from hettui.domain.screen import situation as why
from hettui.domain.screen.actions import ACTIONS, BY_ID, Action
from hettui.services.events import ChatEnded, ChatProgressed, ClusterChanged, LogLines
from hettui.ui.dialogs.add_card import AddCardScreen
from hettui.ui.dialogs.ask import ChoiceScreen
from hettui.ui.dialogs.chat_list import ChatListScreen
from hettui.ui.dialogs.chat_settings import ChatSettingsScreen
from hettui.ui.dialogs.choices import ChoicesScreen
from hettui.ui.dialogs.doctor import DoctorScreen
from hettui.ui.dialogs.draft_picker import DraftPicker
from hettui.ui.dialogs.help import HelpScreen
from hettui.ui.dialogs.jump import JumpScreen
from hettui.ui.dialogs.model_picker import ModelPicker
from hettui.ui.dialogs.post_mortem import PostMortemScreen
from hettui.ui.dialogs.settings import SettingsScreen
from hettui.ui.dialogs.themes import ThemeScreen
from hettui.ui.panes.bench import BenchPane
from hettui.ui.panes.chat import ChatPane
from hettui.ui.panes.commands import CommandsPane
from hettui.ui.panes.logs import LogsPane
from hettui.ui.widgets.device_card import DeviceCard
from hettui.ui.widgets.prompt import Prompt
from tests.ui.stage import Stage, session, stage
from tests.ui.test_bench_pane import outcome
from tests.ui.test_replay_screen import Show, show

pytestmark = pytest.mark.matrix

Prepare = Callable[[Stage], Awaitable[None]]
Effect = Callable[[Stage], bool]
T = TypeVar("T")


async def nothing(s: Stage) -> None:
    """The screen as it opens: the first device has the keyboard."""


def pressed(*keys: str) -> Prepare:
    async def prepare(s: Stage) -> None:
        await s.press(*keys)

    return prepare


async def runs(s: Stage) -> None:
    await s.run_plan()


async def differs(s: Stage) -> None:
    await s.run_plan()
    await s.press("left")


async def died(s: Stage) -> None:
    found = examine(End(ProcessSpec("worker middle", "worker", (), device="middle"), 1, ("gone",)), moment="at work")
    await s.emit(ClusterChanged(ClusterSnapshot(ClusterState.FAILED, problem=found.sentence, post_mortem=found)))
    await s.press("escape")


async def logged(s: Stage) -> None:
    for n in range(90):
        s.engine.emit(LogLines("master" if n % 2 else "worker big", (f"line {n} " + "x" * 300,)))
    await s.pilot.pause()
    await s.press("g")


async def in_chat(s: Stage) -> None:
    await s.run_plan()
    await s.press("c")


async def answered(s: Stage) -> None:
    await in_chat(s)
    await s.type("hi")
    await s.press("enter")
    await s.emit(ChatProgressed("there", "because", 2, 0.1))
    await s.emit(ChatEnded(Timings(generated_tokens=2, generated_per_second=10.0)))


async def asked_twice(s: Stage) -> None:
    await answered(s)
    await s.press("ctrl+n")


async def typed(s: Stage) -> None:
    await in_chat(s)
    await s.type("hi")


async def benched(s: Stage) -> None:
    await s.run_plan()
    await s.press("b", "enter")
    await s.emit(outcome(40.0))
    await s.app.workers.wait_for_complete()
    await s.pilot.pause()


async def at_the_bench(s: Stage) -> None:
    await s.run_plan()
    await s.press("b")


async def answering(s: Stage) -> None:
    await in_chat(s)
    await s.type("hi")
    await s.press("enter")


async def benching(s: Stage) -> None:
    await at_the_bench(s)
    await s.press("enter")


async def closed(s: Stage, pane: Literal["chat", "bench"]) -> None:
    """The pane says by itself that nothing runs: taken away, so that the key has to say it."""
    await s.press(BY_ID[f"pane.{pane}"].keys[0])
    if pane == "chat":
        s.screen.query_one(ChatPane).status("")
    else:
        s.screen.query_one(BenchPane).status("")
    await s.pilot.pause()


async def closed_chat(s: Stage) -> None:
    await closed(s, "chat")


async def closed_bench(s: Stage) -> None:
    await closed(s, "bench")


async def reading(s: Stage) -> None:
    await s.press("v")


async def reading_the_end(s: Stage) -> None:
    await s.press("v", "end")


async def logs_aside(s: Stage) -> None:
    await logged(s)
    await s.press("right", "right")


def selects(index: int) -> Effect:
    return lambda s: s.screen.facts.selected == index


def layers(index: int, wanted: int) -> Effect:
    return lambda s: s.layers[index] == wanted


def said(words: str) -> Effect:
    return lambda s: any(words in toast for toast in s.toasts())


def opens(kind: type[object]) -> Effect:
    return lambda s: isinstance(s.app.screen, kind)


def front(pane: str) -> Effect:
    return lambda s: s.app.focused is not None and any(n.id == pane for n in s.app.focused.ancestors_with_self)


def called(words: str) -> Effect:
    return lambda s: s.engine.calls[-1].startswith(words)


def scroll_y(s: Stage) -> float:
    return s.screen.query_one(CommandsPane).scroll_y


def scroll_x(s: Stage) -> float:
    return s.screen.query_one(LogsPane).scrolled.scroll_x


DOES: dict[str, tuple[Prepare, Effect]] = {
    "select.up": (pressed("down"), selects(0)),
    "select.down": (nothing, selects(1)),
    "layers.less": (nothing, layers(0, 16)),
    "layers.more": (nothing, layers(0, 18)),
    "layers.less4": (nothing, layers(0, 13)),
    "layers.more4": (nothing, layers(0, 21)),
    "layers.none": (nothing, layers(0, 0)),
    "layers.all": (nothing, layers(0, 31)),
    "plan.lock": (nothing, lambda s: s.plan.devices[0].locked),
    "plan.earlier": (pressed("down"), lambda s: [d.name for d in s.plan.devices] == ["middle", "big", "small"]),
    "plan.later": (nothing, lambda s: [d.name for d in s.plan.devices] == ["middle", "big", "small"]),
    "plan.propose": (nothing, opens(ChoicesScreen)),
    "plan.settings": (nothing, opens(SettingsScreen)),
    "devices.look": (nothing, lambda s: said("looking for devices")(s) or said("the devices are as before")(s)),
    "devices.add": (nothing, opens(AddCardScreen)),
    "plan.even": (nothing, lambda s: s.layers == (11, 10, 10)),
    "plan.undo": (pressed("left"), lambda s: s.layers == (17, 12, 2) and said("undone: big 17 → 16")(s)),
    "plan.redo": (pressed("left", "u"), lambda s: s.layers == (16, 13, 2) and said("done again")(s)),
    "model.choose": (nothing, opens(ModelPicker)),
    "model.draft": (nothing, opens(DraftPicker)),
    "cluster.start": (nothing, lambda s: len(s.engine.requests) == 1),
    "cluster.apply": (differs, lambda s: len(s.engine.requests) == 1),
    "cluster.stop": (runs, called("stop")),
    "cluster.tune": (nothing, opens(ChoiceScreen)),
    "cluster.post_mortem": (died, opens(PostMortemScreen)),
    "commands.copy": (nothing, lambda s: "llama-server" in s.app.clipboard),
    "sensors.faster": (nothing, said("every 0.5 s")),
    "sensors.slower": (nothing, said("every 2 s")),
    "pane.chat": (nothing, front("chat")),
    "pane.requests": (nothing, front("requests")),
    "pane.logs": (nothing, front("logs")),
    "pane.bench": (nothing, front("bench")),
    "pane.commands": (nothing, front("commands")),
    "pane.explain": (nothing, front("explain")),
    "back": (pressed("g"), lambda s: isinstance(s.app.focused, DeviceCard)),
    "jump": (nothing, opens(JumpScreen)),
    "jump.anywhere": (in_chat, opens(JumpScreen)),
    "pane.next": (nothing, front("chat")),
    "pane.previous": (nothing, front("explain")),
    "pane.zoom": (nothing, lambda s: not s.screen.query_one("#side").display),
    "filter": (nothing, lambda s: "⏎ stays, esc goes back" in s.text()),
    "move.up": (reading_the_end, lambda s: scroll_y(s) == s.screen.query_one(CommandsPane).max_scroll_y - 1),
    "move.down": (reading, lambda s: scroll_y(s) == 1),
    "move.left": (logs_aside, lambda s: scroll_x(s) == 4),
    "move.right": (logged, lambda s: scroll_x(s) == 4),
    "move.half_up": (reading_the_end, lambda s: scroll_y(s) < s.screen.query_one(CommandsPane).max_scroll_y),
    "move.half_down": (reading, lambda s: scroll_y(s) > 1),
    "move.page_up": (reading_the_end, lambda s: scroll_y(s) < s.screen.query_one(CommandsPane).max_scroll_y),
    "move.page_down": (reading, lambda s: scroll_y(s) > 1),
    "move.first": (reading_the_end, lambda s: scroll_y(s) == 0),
    "move.last": (reading, lambda s: scroll_y(s) == s.screen.query_one(CommandsPane).max_scroll_y > 0),
    "logs.process": (logged, lambda s: "big only" in s.text()),
    "chat.send": (typed, lambda s: bool(s.engine.chats) and s.engine.chats[-1][-1].content == "hi"),
    "chat.newline": (typed, lambda s: s.screen.query_one(Prompt).text == "hi\n"),
    "chat.retry": (answered, lambda s: len(s.engine.chats) == 2),
    "chat.edit": (answered, lambda s: s.screen.query_one(Prompt).text == "hi"),
    "chat.new": (answered, lambda s: "there" not in s.text()),
    "chat.open": (asked_twice, opens(ChatListScreen)),
    "chat.settings": (in_chat, opens(ChatSettingsScreen)),
    "chat.test": (in_chat, lambda s: s.engine.prompts == ["def fibonacci(n):"]),
    "chat.limit": (in_chat, lambda s: "token limit 256" in s.text()),
    "chat.editor": (in_chat, lambda s: s.toasts() == ["no editor is set"]),
    "chat.save": (answered, lambda s: len(s.backend.store.exported) == 1),
    "chat.copy": (answered, lambda s: s.app.clipboard == "there"),
    "chat.thinking": (answered, lambda s: "because" in s.text()),
    "chat.parallel": (typed, called("parallel hi")),
    "bench.run": (at_the_bench, called("bench (0,)")),
    "bench.deep": (at_the_bench, called("bench (0, 1024")),
    "bench.copy": (benched, lambda s: "| tg128" in " ".join(s.app.clipboard.split())),
    "help": (nothing, opens(HelpScreen)),
    "doctor": (nothing, opens(DoctorScreen)),
    "app.themes": (nothing, opens(ThemeScreen)),
    "quit": (nothing, lambda s: not s.app._running or s.app._exit),
    "app.palette": (nothing, opens(CommandPalette)),
    "app.quit": (in_chat, lambda s: "What shall become of it" in s.text()),
}
"""By action: a state in which it makes sense, and what is so afterwards."""

OPENS = [
    "plan.propose", "plan.settings", "model.choose", "model.draft", "cluster.tune", "jump", "help", "doctor",
    "app.themes", "app.palette",
]  # fmt: skip
FRONTS = [
    "pane.chat", "pane.requests", "pane.logs", "pane.bench", "pane.commands", "pane.explain", "pane.next",
    "pane.previous",
]  # fmt: skip
MOVES = [
    "layers.less", "layers.more", "layers.less4", "layers.more4", "layers.none", "layers.all", "plan.lock",
    "plan.even",
]  # fmt: skip

OF_EXPERTS = ("experts.less", "experts.more")
"""Of dense models they move the FFN: both in test_experts.py."""

OF_TIME: dict[str, tuple[float, Callable[[Show], bool]]] = {
    "replay.pause": (0, lambda s: not s.engine.moved.playing),
    "replay.back": (50, lambda s: s.engine.moved.position_s == 40),
    "replay.forward": (0, lambda s: s.engine.moved.position_s == 10),
    "replay.slower": (0, lambda s: s.engine.moved.speed == 0.5),
    "replay.faster": (0, lambda s: s.engine.moved.speed == 2),
    "replay.begin": (50, lambda s: s.engine.moved.position_s == 0),
    "replay.end": (0, lambda s: s.engine.moved.position_s == s.engine.moved.length_s),
}

CANNOT: dict[str, tuple[Prepare, str]] = {
    "plan.lock": (pressed("up", "down", "down", "down"), "cannot be locked"),
    "plan.earlier": (nothing, "big is the first device already"),
    "plan.later": (pressed("down", "down"), "small is the last device already"),
    **dict.fromkeys(
        [f"layers.{name}" for name in ("less", "more", "less4", "more4", "none", "all")],
        (pressed("space"), "big is locked: space unlocks it"),
    ),
    **dict.fromkeys(
        ("experts.less", "experts.more"), (pressed("down", "down", "down"), "lies in this machine's memory")
    ),
    "plan.undo": (nothing, "nothing to undo"),
    "plan.redo": (nothing, "nothing to redo"),
    "model.choose": (runs, "x stops the cluster first"),
    "cluster.start": (runs, "this plan runs already"),
    "cluster.apply": (runs, "there is nothing to apply"),
    "cluster.stop": (nothing, "there is nothing to stop"),
    "cluster.post_mortem": (nothing, "there is nothing to tell"),
    "sensors.faster": (pressed("plus", "plus"), "as often as can be"),
    "sensors.slower": (pressed("minus", "minus", "minus"), "as seldom as can be"),
    "filter": (pressed("v"), "nothing to filter here"),
    "logs.process": (pressed("g"), "fewer than two processes"),
    "chat.retry": (in_chat, "nothing was asked yet"),
    "chat.edit": (in_chat, "nothing was asked yet"),
    "chat.new": (answering, "an answer is still being written"),
    "chat.open": (in_chat, "no other conversation"),
    "chat.test": (closed_chat, "the cluster is stopped: Esc, then s starts it"),
    "chat.save": (in_chat, "nothing was asked yet"),
    "chat.copy": (in_chat, "no answer to copy"),
    "chat.parallel": (closed_chat, "the cluster is stopped: Esc, then s starts it"),
    "bench.run": (closed_bench, "the cluster is stopped: Esc, then s starts it"),
    "bench.deep": (closed_bench, "the cluster is stopped: Esc, then s starts it"),
    "bench.copy": (at_the_bench, "nothing was measured yet"),
}
"""By action: a state in which it makes no sense, and words of the reason."""

BUSY: dict[str, tuple[Prepare, str]] = {
    **dict.fromkeys(("chat.retry", "chat.edit", "chat.open"), (answering, "an answer is still being written")),
    **dict.fromkeys(("chat.test", "chat.parallel"), (answering, "an answer is still being written")),
    **dict.fromkeys(("bench.run", "bench.deep"), (benching, "a bench is running")),
}
"""The same for actions that also have to wait for something."""

WITHOUT_MODEL = {
    "plan.propose": "no model is chosen: m chooses one",
    "plan.settings": "no model is chosen: m chooses one",
    "plan.even": "no model is chosen: m chooses one",
    "layers.more": "no model is chosen: m chooses one",
    "model.draft": "no model is chosen: m chooses one",
    "cluster.start": "no model is chosen: m chooses one",
    "cluster.tune": "no model is chosen: m chooses one",
    "commands.copy": "there are no command lines yet: no model is chosen",
}


async def somebody_else_s(s: Stage) -> None:
    s.backend.read_only = "another hettui owns this cluster"


BY_NAME: dict[str, tuple[Prepare, str]] = {
    "select.up": (pressed("v"), "no device has the keyboard"),
    "select.down": (pressed("v"), "no device has the keyboard"),
    "cluster.start_anyway": (runs, "this plan runs already"),
    "cluster.apply_anyway": (runs, "there is nothing to apply"),
    "cluster.own": (nothing, "this hettui owns the cluster"),
    "hosts": (somebody_else_s, "another hettui owns this cluster"),
}
"""Refused only from the palette: there is no key, or it is another action's in that state."""

RECORDED = {a.id for a in ACTIONS if a.place == "chat" and a.why_not is not why.possible}
"""Refused by the screen of a recording, whatever else is so."""


def every_key(names: Iterable[str]) -> list[object]:
    return [pytest.param(BY_ID[name], key, id=f"{name}-{key}") for name in names for key in BY_ID[name].keys]


def by_state(cases: dict[str, tuple[Prepare, T]]) -> list[object]:
    """One case for each state, with every action that is tried in it: none of them may change it."""
    found: dict[Prepare, list[tuple[str, T]]] = {}
    for name, (prepare, wanted) in cases.items():
        found.setdefault(prepare, []).append((name, wanted))
    return [pytest.param(prepare, tried, id=", ".join(name for name, _ in tried)) for prepare, tried in found.items()]


def test_no_action_is_forgotten() -> None:
    assert {a.id for a in ACTIONS if a.keys} == {*DOES, *OF_TIME, *OF_EXPERTS}


def test_no_reason_is_forgotten() -> None:
    told = {*CANNOT, *BUSY, *WITHOUT_MODEL, *BY_NAME, *RECORDED, "doctor", "devices.add"}
    assert {a.id for a in ACTIONS if a.why_not is not why.possible} == told


GOES_BACK = {**dict.fromkeys(OPENS, "escape"), **dict.fromkeys(FRONTS, "escape"), **dict.fromkeys(MOVES, "u")}
"""By action that can be tried in the screen as it opens: the key after which that is again as it was."""


async def does(s: Stage, key: str, effect: Effect) -> None:
    await s.app.workers.wait_for_complete()
    assert not effect(s), f"{key}: it is so already"
    await s.press(*key.split())
    await s.pilot.pause()
    assert effect(s), f"{key}\n{s.text()}"


@pytest.mark.parametrize(("action", "key"), every_key([name for name in DOES if name not in GOES_BACK]))
async def test_every_key_does_what_it_says(action: Action, key: str) -> None:
    prepare, effect = DOES[action.id]
    async with stage(size=(120, 24)) as s:
        await prepare(s)
        await does(s, key, effect)


@pytest.mark.parametrize("names", [OPENS, FRONTS, MOVES], ids=["opens", "front", "layers"])
async def test_every_key_does_what_it_says_and_there_is_a_way_back(names: list[str]) -> None:
    async with stage(size=(120, 24)) as s:
        await s.app.workers.wait_for_complete()
        before = state(s)
        for name in names:
            prepare, effect = DOES[name]
            assert prepare is nothing
            for key in BY_ID[name].keys:
                await does(s, key, effect)
                assert state(s) != before, key
                await s.press(GOES_BACK[name])
                await s.pilot.pause()
                assert state(s) == before, key


@pytest.mark.parametrize(("action", "key"), every_key(OF_TIME))
async def test_every_key_of_a_recording(action: Action, key: str) -> None:
    from_s, effect = OF_TIME[action.id]
    async with show() as s:
        s.engine.go(from_s)
        await s.told()
        assert not effect(s)
        await s.press(*key.split())
        assert effect(s), s.engine.moved


def shown(s: Stage) -> str:
    return " ".join((s.text() + " " + " ".join(s.toasts())).split())


def state(s: Stage) -> tuple[object, ...]:
    """Everything that an action could have changed."""
    asked = s.engine.requests, s.engine.calls, s.engine.chats, s.engine.prompts
    kept = s.backend.store.exported, s.app.clipboard, s.app.focused, len(s.app.screen_stack)
    return s.main.facts.plan, s.main.facts.selected, *(list(made) for made in asked), *kept


async def refused(s: Stage, what: str, words: str, act: Callable[[], Awaitable[None]]) -> None:
    """Says why, changes nothing, and takes the words away again."""
    await s.app.workers.wait_for_complete()
    before = state(s)
    assert words not in shown(s), f"{what}: it is said already"
    await act()
    await s.pilot.pause()
    assert words in shown(s), what
    assert state(s) == before, what
    s.app.clear_notifications()
    for pane in s.main.query("ChatPane, BenchPane"):
        assert isinstance(pane, ChatPane | BenchPane)
        pane.status("")
    await s.pilot.pause()


async def every_key_refused(s: Stage, tried: list[tuple[str, str]]) -> None:
    for name, words in tried:
        for key in BY_ID[name].keys:
            await refused(s, f"{name} by {key}", words, partial(s.press, *key.split()))


@pytest.mark.parametrize(("prepare", "tried"), by_state(CANNOT))
async def test_a_key_that_cannot_says_why(prepare: Prepare, tried: list[tuple[str, str]]) -> None:
    async with stage() as s:
        await prepare(s)
        await every_key_refused(s, tried)


@pytest.mark.parametrize(("prepare", "tried"), by_state(BUSY))
async def test_a_key_that_has_to_wait_says_for_what(prepare: Prepare, tried: list[tuple[str, str]]) -> None:
    async with stage() as s:
        await prepare(s)
        await every_key_refused(s, tried)


async def test_without_a_model_a_key_says_so() -> None:
    async with stage(replace(session(), shape=None)) as s:
        await every_key_refused(s, list(WITHOUT_MODEL.items()))


@pytest.mark.parametrize(("prepare", "tried"), by_state(BY_NAME))
async def test_what_only_the_palette_can_ask_for_says_why(prepare: Prepare, tried: list[tuple[str, str]]) -> None:
    async with stage() as s:
        await prepare(s)
        for name, words in tried:
            await refused(s, name, words, partial(s.screen.action_perform, name))


async def test_a_recording_refuses_what_is_the_chat_s() -> None:
    async with show() as s:
        await s.press("c")
        for name in sorted(RECORDED):
            s.app.clear_notifications()
            s.screen.query_one(ChatPane).status("")
            await s.pilot.pause()
            assert "this is a recording of" not in s.text(), name
            await s.screen.action_perform(name)
            await s.pilot.pause()
            assert "this is a recording of" in s.text(), name


async def test_a_recording_has_no_machine_that_could_be_looked_at() -> None:
    async with show() as s:
        await s.screen.action_perform("doctor")
        await s.pilot.pause()
        assert "a recording: the machine that it tells of" in " ".join(n.message for n in s.app._notifications)
