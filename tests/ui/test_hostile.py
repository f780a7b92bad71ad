"""Every widget of ours with the hostile list: nothing crashes, nothing that is no text is drawn, nothing readable
disappears."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
from textual.widget import Widget

import hettui.ui
from hettui.domain.chat.conversation import Conversation, Exchange, Sampling
from hettui.domain.cluster.postmortem import PostMortem
from hettui.domain.cluster.snapshot import ClusterSnapshot, ClusterState, Waiting
from hettui.domain.doctor.finding import Finding
from hettui.domain.errors import HettuiError, HostError
from hettui.domain.library.found import FoundModel
from hettui.domain.library.places import ModelPlace
from hettui.domain.model.shape import ModelShape
from hettui.domain.slots.request import Request
from hettui.domain.statistics import Spread
from hettui.domain.text import clean, clean_line
from hettui.domain.tuning.report import TuneOutcome, TuneProgress
from hettui.domain.tuning.search import Trial
from hettui.services.events import (
    ChatEnded,
    ChatProgressed,
    ClusterChanged,
    LogLines,
    Notice,
    ParallelChanged,
    SlotsChanged,
)
from hettui.services.model_desk import Done, Tell, Told
from hettui.ui.dialogs.add_card import AddCardScreen
from hettui.ui.dialogs.chat_list import ChatListScreen
from hettui.ui.dialogs.chat_settings import ChatSettings, ChatSettingsScreen
from hettui.ui.dialogs.doctor import DoctorScreen
from hettui.ui.dialogs.draft_picker import DraftPicker
from hettui.ui.dialogs.hosts import HostsScreen
from hettui.ui.dialogs.model_picker import ModelPicker
from hettui.ui.dialogs.model_work import ModelWorkScreen, Work
from hettui.ui.dialogs.post_mortem import PostMortemScreen
from hettui.ui.dialogs.themes import ThemeScreen
from hettui.ui.dialogs.tune import TuneScreen
from hettui.ui.dialogs.welcome import WelcomeScreen
from hettui.ui.screens.replay import ReplayScreen
from hettui.ui.terminal.toasts import EndingToast
from tests.fakes import shape, workers
from tests.hostile import HOSTILE, NEVER
from tests.ui.stage import NoModels, Stage, running, session, stage

pytestmark = pytest.mark.matrix

UNWANTED = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f\ud800-\udfff]"
)


def model(name: str) -> ModelShape:
    file = shape().file
    return ModelShape.of(replace(file, metadata={**file.metadata, "general.name": name}))


def post_mortem(text: str) -> PostMortem:
    return PostMortem(f"worker {text}", "worker", text, text, text, text, text, (text,), (text,), text, hopeless=True)


class HostileFinder(NoModels):
    """Finds one model with the text wherever text can stand."""

    def __init__(self, text: str) -> None:
        self.text = text

    def places(self, folders: Sequence[str], current: str | None) -> tuple[ModelPlace, ...]:
        return (ModelPlace(clean_line(self.text, 80), f"/{self.text}"),)

    def look(self, place: ModelPlace, stopped: Callable[[], bool], note: Callable[[str], None]) -> Iterator[FoundModel]:
        note(self.text)
        # Names are cleaned where they are found, paths where they are shown.
        yield FoundModel(f"/{self.text}.gguf", clean_line(self.text), place.label, 1, 1.0, repository="org/name")

    def read(self, path: str) -> ModelShape:
        return model(self.text)


class Eyes:
    """Looks at whatever is drawn, and remembers which widgets it has seen."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.seen: set[type[Widget]] = set()

    async def look(self) -> str:
        await self._stage.pilot.pause()
        screen = self._stage.app.screen
        self.seen |= {type(screen), *(type(w) for w in screen.walk_children(Widget))}
        shown = self._stage.text()
        for line in shown.split("\n"):
            assert UNWANTED.search(line) is None, repr(line)
        for never in NEVER:
            assert never not in shown
        return re.sub(r"\s+", " ", shown)


async def tour(s: Stage, text: str) -> set[type[Widget]]:
    """Every pane and dialog with this text wherever text from outside can come from."""
    eyes = Eyes(s)
    await eyes.look()
    await s.press("s")
    for state in (ClusterState.STARTING, ClusterState.FAILED):
        await s.emit(ClusterChanged(ClusterSnapshot(state, problem=text, waiting=None)))
        await eyes.look()
    await s.emit(ClusterChanged(ClusterSnapshot(ClusterState.STARTING, waiting=Waiting(f"wait {text}", 3.0))))
    await eyes.look()
    running_now = running(s.plan, api=clean_line(f"http://{text}"))
    detailed = tuple(replace(p, detail=text, name=p.name) for p in running_now.processes)
    await s.emit(ClusterChanged(replace(running_now, processes=detailed, commands=(clean_line(text),) * 4)))
    await s.emit(Notice(text, "warning"))
    await eyes.look()
    assert clean(text).strip() in "".join(s.toasts())
    for pane in ("r", "g", "v", "e", "c"):
        await s.press(pane)
        if pane == "r":
            refused = Request(1, 0, ended=True, refused=clean_line(text, 200))
            await s.emit(SlotsChanged((refused,), (), ()))
        if pane == "g":
            await s.emit(LogLines("worker " + text, (text, "after")))
        await s.app.workers.wait_for_complete()
        await eyes.look()
        await s.press("escape")
    await s.press("c")
    await s.type("go")
    await s.press("enter")
    # The engine cleans what a model says before it becomes an event.
    await s.emit(ChatProgressed(clean(text), clean(text), 2, 0.1))
    await eyes.look()
    await s.emit(ChatEnded(None, problem=clean_line(text)))
    await eyes.look()
    await s.press("f5")
    await s.emit(ParallelChanged((), done=True, problem=clean_line(text)))
    await eyes.look()
    await s.press("escape")
    for key in ("p", "S", "question_mark", "q", "o"):
        await s.press(key)
        await s.app.workers.wait_for_complete()
        await eyes.look()
        await s.press("escape")
    s.backend.others.answers = {text: HostError(text)}
    asked = Conversation("k", text, text, system=text, exchanges=(Exchange(text, text, text, note=text),))
    for screen in (
        ModelPicker(s.backend, s.main.facts.session),
        DraftPicker(s.backend, s.main.facts.session),
        WelcomeScreen(s.backend, s.main.facts.session),
        DoctorScreen(lambda: [Finding("cards.bus", "fault", text, (text,), text, text, text)], s.main.keymap),
        HostsScreen(s.backend, s.main.facts.session),
        # What is on disk was written by anybody: it is cleaned when it is shown.
        ChatListScreen([asked]),
        ChatSettingsScreen(ChatSettings(False, clean(text), Sampling())),
        # A theme's name is a word, or there is no theme.
        AddCardScreen([text], [text]),
        ModelWorkScreen(Work(clean_line(text, 60), clean_line(text, 60), refusing(text))),
        ThemeScreen(s.app.sorted_themes, s.app.theme, lambda name: None),
    ):
        s.app.push_screen(screen)
        await eyes.look()
        if isinstance(screen, ModelWorkScreen):
            await s.press("enter")
            await s.app.workers.wait_for_complete()
            await eyes.look()
        await s.press("escape")
    await tuned(s, text, eyes)
    s.main.say(text)
    await eyes.look()
    await s.emit(ClusterChanged(ClusterSnapshot(ClusterState.FAILED, problem=text, post_mortem=post_mortem(text))))
    await s.app.workers.wait_for_complete()
    assert isinstance(s.app.screen, PostMortemScreen)
    await eyes.look()
    return eyes.seen


def refusing(text: str) -> Callable[[str, Tell], Done]:
    """What a hub, a file or a tool says reaches the dialog as it is."""

    def run(typed: str, tell: Tell) -> Done:
        tell(Told(text, 0.5, 3.0))
        raise HettuiError(text)

    return run


async def tuned(s: Stage, text: str, eyes: Eyes) -> None:
    """Names come from the configuration, problems from llama.cpp's log."""
    tuning = s.backend.tune_job(s.main.facts.session, s.main.facts.plan).tuning
    tuning = tuning.with_trial(Trial(tuning.start, Spread(10.0, 0.1, 3), None, text, ((text, 0.1),)))
    screen = TuneScreen(lambda: None)
    s.app.push_screen(screen)
    await s.pilot.pause()
    screen.take(TuneProgress(tuning, text, tuning.start))
    await eyes.look()
    screen.end(TuneOutcome(tuning, "failed", text, text))
    await eyes.look()
    await s.press("escape")


SWALLOW = ("carriage return", "unfinished")
"""They take what stands before or after them along: each alone."""
TOGETHER = [name for name in HOSTILE if name not in SWALLOW]
CASES = [((80, 24), TOGETHER[:11]), ((160, 50), TOGETHER[11:]), *(((80, 24), [name]) for name in SWALLOW)]


@pytest.mark.parametrize(("size", "names"), CASES, ids=lambda case: str(case)[:20])
async def test_every_widget_with(size: tuple[int, int], names: list[str]) -> None:
    text = " ".join(HOSTILE[name][0] for name in names)
    readable = " ".join(HOSTILE[name][1] for name in names)
    devices = tuple(replace(d, name=f"{n}{text}", expose=True) for n, d in enumerate(workers(240, 180)))
    opened = replace(session(devices, model(f"m {text}")), demo=False, problem=text)
    async with stage(opened, size, finder=HostileFinder(text)) as s:
        seen = await tour(s, text)
        assert ours() - seen == set()
        shown = re.sub(r"[\s│▌]+", " ", s.text())
        for word in readable.split():
            assert word in shown, (word, shown)


def ours() -> set[type[Widget]]:
    """Every widget and screen that hettui draws."""
    found: set[type[Widget]] = set()
    for module in pkgutil.walk_packages(hettui.ui.__path__, "hettui.ui."):
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(kind, Widget) and kind.__module__.startswith("hettui.ui."):
                found.add(kind)
    bases = {kind for kind in found if any(other is not kind and issubclass(other, kind) for other in found)}
    # A recording's screen draws nothing of its own; what is hostile in recordings has tests of its own. Toasts are no
    # children that can be walked through: what they say is in the text that is looked at.
    return found - bases - {ReplayScreen, EndingToast}
