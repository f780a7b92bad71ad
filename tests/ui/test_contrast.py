"""Every character that is drawn can be read on the ground on which it really stands, in every theme."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.geometry import Region
from textual.pilot import Pilot
from textual.screen import Screen

from hettui.domain.chat.conversation import Conversation, Exchange, Sampling
from hettui.domain.chat.wire import Timings
from hettui.domain.cluster.postmortem import End, examine
from hettui.domain.cluster.process import ProcessSpec
from hettui.domain.cluster.snapshot import ClusterSnapshot, ClusterState
from hettui.domain.doctor.checks import examined
from hettui.domain.errors import HostError, UsageError
from hettui.domain.hosts.facts import HostFacts
from hettui.services.events import ChatEnded, ChatProgressed, ClusterChanged, LogLines, Notice, OwnerLeft
from hettui.services.model_desk import Done, Tell
from hettui.ui.app import HettuiApp
from hettui.ui.colours.colour_math import contrast
from hettui.ui.colours.theme_file import TEXT_CONTRAST
from hettui.ui.dialogs.add_card import AddCardScreen
from hettui.ui.dialogs.chat_list import ChatListScreen
from hettui.ui.dialogs.chat_settings import ChatSettings, ChatSettingsScreen
from hettui.ui.dialogs.doctor import DoctorScreen
from hettui.ui.dialogs.draft_picker import DraftPicker
from hettui.ui.dialogs.hosts import HostsScreen
from hettui.ui.dialogs.model_picker import ModelPicker
from hettui.ui.dialogs.model_work import ModelWorkScreen, Work
from hettui.ui.dialogs.themes import ThemeScreen
from hettui.ui.dialogs.tune import TuneScreen
from hettui.ui.dialogs.welcome import WelcomeScreen
from hettui.ui.screens.main import MainScreen
from hettui.ui.widgets.key_footer import KeyFooter
from tests.doctor_facts import SEED
from tests.ui.stage import StageBackend, build, card_readings, card_session, running
from tests.ui.test_draft_picker import model, opened
from tests.ui.test_model_picker import HomeFinder
from tests.ui.test_themes import FILES, GRAPHIC_CONTRAST

pytestmark = pytest.mark.matrix

_ANSWER = (
    "# Title\n\nSome `code`, a [link](http://x) and\n\n```python\ndef f(n): return 'x' + 1  # why\n```\n\n> quoted\n"
)
_LINES = "▏▌▐▔▁▊▎─"
"""Edges of panes and boxes: they say nothing when they are faint."""
_UNSEEN = 1.4


def drawn(app: HettuiApp) -> Iterator[tuple[str, float, bool]]:
    """Every run of the top screen: text, contrast, and whether it may be a key that does nothing now.

    What lies behind a dialog is faded on purpose.
    """
    screen = app.screen
    shown = {w: region.intersection(clip) for w, (region, clip) in screen._compositor.visible_widgets.items()}
    top = [region for widget, region in shown.items() if widget is not screen or not screen.is_modal]
    footers = [footer.region for footer in screen.query(KeyFooter)]
    for y, strip in enumerate(screen._compositor.render_strips()):
        x = 0
        for text, style, _ in strip:
            cell = Region(x, y, 1, 1)
            x += len(text)
            if not text.strip() or not any(region.overlaps(cell) for region in top):
                continue
            assert style is not None, text
            assert style.color is not None, text
            assert style.bgcolor is not None, text
            ink, ground = style.color.get_truecolor(), style.bgcolor.get_truecolor()
            yield (
                text,
                contrast((ink.red, ink.green, ink.blue), (ground.red, ground.green, ground.blue)),
                any(f.overlaps(cell) for f in footers),
            )


def check(app: HettuiApp, where: str, least: int = 10) -> None:
    seen = 0
    for text, ratio, greyed in drawn(app):
        seen += 1
        faint_line = ratio < _UNSEEN and not text.strip().strip(_LINES)
        is_text = any(map(str.isalnum, text)) and not greyed
        assert faint_line or ratio >= (TEXT_CONTRAST if is_text else GRAPHIC_CONTRAST), f"{where}: {text!r} {ratio:.2f}"
    assert seen > least, where


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
async def test_every_character_on_the_screen_can_be_read(path: Path) -> None:
    backend = StageBackend(card_session())
    app = build(backend, path.stem)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert app.theme == path.stem
        check(app, "stopped")
        await pilot.press("p")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert app.screen.is_modal
        check(app, "plans to choose from")
        await pilot.press("down", "enter", "S", "right", "down", "2")
        await pilot.pause()
        assert app.screen.is_modal
        check(app, "settings")
        await pilot.press("escape", "escape")
        await pilot.pause()
        backend.engine.snapshot = running(app.screen_stack[-1].facts.plan)  # type: ignore[attr-defined]
        backend.engine.emit(ClusterChanged(backend.engine.snapshot))
        backend.engine.emit(card_readings(30))
        await pilot.pause()
        check(app, "ready, a toast")
        await pilot.press("space", "L", "1", "2")
        check(app, "edited, locked, a number being typed")
        await pilot.press("enter", "end")
        check(app, "a plan that does not fit")
        for severity in ("error", "warning", "information"):
            backend.engine.emit(Notice("something happened", severity))
        await pilot.press("c", *"hello", "enter")
        backend.engine.emit(ChatProgressed(_ANSWER, "a thought", 12, 0.1))
        await pilot.pause()
        backend.engine.emit(ChatEnded(Timings(31, 203.3, 12, 122.9)))
        await pilot.pause()
        check(app, "chat, toasts")
        await pilot.press("ctrl+n", "ctrl+o")
        await pilot.pause()
        assert app.screen.is_modal
        check(app, "conversations")
        await pilot.press("escape", "escape")
        for n in range(80):
            backend.engine.emit(LogLines(("worker a", "master", "worker b", "c", "d")[n % 5], (f"line {n}",)))
        for key in ("g", "b", "v", "e"):
            await pilot.press(key)
            await app.workers.wait_for_complete()
            await pilot.pause()
            check(app, f"pane {key}")
        await pilot.press("escape")
        for key in ("question_mark", "q", "ctrl+p"):
            await pilot.press(key)
            await pilot.pause()
            assert app.screen.is_modal
            check(app, f"dialog {key}")
            await pilot.press("escape")
        backend.engine.emit(ClusterChanged(ClusterSnapshot(ClusterState.DOWN)))
        await pilot.press("m")
        check(app, "the model's path")
        await pilot.press("escape")
        backend.engine.emit(ClusterChanged(ClusterSnapshot(ClusterState.FAILED, problem="worker small ended")))
        await pilot.pause()
        check(app, "failed")
    backend.chats.close()


@pytest.fixture(scope="module")
def drafts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, two that could draft for it, and a file that is none."""
    folder = tmp_path_factory.mktemp("models")
    for name, blocks in (("large", 8), ("small", 2), ("close", 3)):
        model(folder / f"models/{name}.gguf", blocks)
    (folder / "models/torn.gguf").write_bytes(b"GGUF\x03")
    return folder


def refuses(text: str, tell: Tell) -> Done:
    raise UsageError(f"{text} is no type")


def dialogs(backend: StageBackend, main: MainScreen) -> Iterator[tuple[Screen[Any], tuple[str, ...]]]:
    """Those that need no cluster, and the keys after which each is looked at once more."""
    asked = Conversation("k", "m", "2026-01-01T10:00:00", exchanges=(Exchange("why?", "so"),))
    findings = list(examined(SEED))
    there = HostFacts("attic", os="Linux", arch="x86_64", server="/usr/bin/rpc-server")
    backend.others.answers = {"attic": there, "shed": HostError("shed is not there; switch it on")}
    yield AddCardScreen(["RTX 3090"], ["RTX 3090"]), ("x", "enter")
    yield ModelWorkScreen(Work("Quantise m", "A type", refuses, typed="Q9")), ("enter",)
    yield ModelPicker(backend, main.known.session), ("down", "x")
    yield DraftPicker(backend, main.known.session), ("down",)
    yield WelcomeScreen(backend, main.known.session), ("tab",)
    yield DoctorScreen(lambda: findings, main.keymap), ("down", "down")
    yield HostsScreen(backend, main.known.session), ("enter", "down", "enter")
    yield ChatListScreen([asked, replace(asked, key="l", name="another")]), ("delete",)
    yield (
        ChatSettingsScreen(ChatSettings(False, "Be brief.", Sampling(temperature=0.3))),
        ("space", "tab", "tab", "x", "ctrl+s"),
    )
    yield TuneScreen(lambda: None), ()
    yield ThemeScreen(main.app.sorted_themes, "ember", lambda name: None), ("down",)  # type: ignore[attr-defined]


async def looked_at(app: HettuiApp, pilot: Pilot[Any], where: str) -> None:
    await app.workers.wait_for_complete()
    await pilot.pause()
    check(app, where)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
async def test_every_character_in_every_dialog_can_be_read(path: Path, drafts: Path) -> None:
    """Also under the highlight, in a field that is being typed into, and what says what is wrong."""
    backend = StageBackend(opened(drafts), finder=HomeFinder(drafts))
    app = build(backend, path.stem)
    async with app.run_test(size=(100, 34)) as pilot:
        await app.workers.wait_for_complete()
        await pilot.pause()
        main = app.screen_stack[-1]
        assert isinstance(main, MainScreen)
        for dialog, keys in dialogs(backend, main):
            name = type(dialog).__name__
            await app.push_screen(dialog)
            await looked_at(app, pilot, name)
            if keys:
                await pilot.press(*keys)
                await looked_at(app, pilot, f"{name} after {keys}")
            if dialog in app.screen_stack:
                dialog.dismiss(None)
                await pilot.pause()
        backend.read_only = "another hettui owns this cluster"
        backend.engine.emit(OwnerLeft(True))
        await looked_at(app, pilot, "the takeover")
        await pilot.press("right")
        await looked_at(app, pilot, "the takeover's other answer")
        await pilot.press("escape", "o")
        await pilot.pause()
        check(app, "letters to jump by", least=2)
        await pilot.press("escape")
        found = examine(
            End(ProcessSpec("worker middle", "worker", (), device="middle"), 1, ("gone",)), moment="at work"
        )
        backend.engine.emit(ClusterChanged(ClusterSnapshot(ClusterState.FAILED, problem="x", post_mortem=found)))
        await looked_at(app, pilot, "the post-mortem")
    backend.chats.close()
