"""Every character that is drawn can be read on the ground on which it really stands, in every theme."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.geometry import Region

from hettui.domain.chat.wire import Timings
from hettui.domain.cluster.snapshot import ClusterSnapshot, ClusterState
from hettui.services.events import ChatEnded, ChatProgressed, ClusterChanged, LogLines, Notice
from hettui.ui.app import HettuiApp
from hettui.ui.colours.colour_math import contrast
from hettui.ui.colours.themes import TEXT_CONTRAST
from hettui.ui.widgets.key_footer import KeyFooter
from tests.ui.stage import StageBackend, build, card_readings, card_session, running
from tests.ui.test_themes import FILES, GRAPHIC_CONTRAST

pytestmark = pytest.mark.matrix

_ANSWER = (
    "# Title\n\nSome `code`, a [link](http://x) and\n\n```python\ndef f(n): return 'x' + 1  # why\n```\n\n> quoted\n"
)
_LINES = "▏▌▔▁▊▎─"
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


def check(app: HettuiApp, where: str) -> None:
    seen = 0
    for text, ratio, greyed in drawn(app):
        seen += 1
        faint_line = ratio < _UNSEEN and not text.strip().strip(_LINES)
        is_text = any(map(str.isalnum, text)) and not greyed
        assert faint_line or ratio >= (TEXT_CONTRAST if is_text else GRAPHIC_CONTRAST), f"{where}: {text!r} {ratio:.2f}"
    assert seen > 10, where


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
async def test_every_character_on_the_screen_can_be_read(path: Path) -> None:
    backend = StageBackend(card_session())
    app = build(backend, path.stem)
    async with app.run_test(size=(120, 40)) as pilot:
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
