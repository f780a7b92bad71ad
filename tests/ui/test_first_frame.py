"""The rows that stand before Textual does: they are those of its own first frame, cell by cell, and are kept."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from rich.color import ColorSystem
from textual.containers import VerticalScroll
from textual.geometry import Region
from textual.worker import WorkerCancelled

from hettui.domain.cluster.snapshot import ClusterSnapshot, ClusterState
from hettui.domain.planner.objectives import remembered
from hettui.domain.screen.panes import DEVICES, PANES, PanesState
from hettui.domain.screen.terminal import Terminal
from hettui.domain.session.session import Session
from hettui.ui.app import HettuiApp
from hettui.ui.colours.theme_file import plain_colour, read_theme
from hettui.ui.drawing.rooms import seen as seen_in
from hettui.ui.first_frame import Begin, FirstFrame, first_frame
from hettui.ui.presenting.known import Known
from hettui.ui.terminal.cells import Cells, Look, Picture, cells_of
from tests.truth.compare import shape_of
from tests.ui.mini_terminal import MiniTerminal
from tests.ui.stage import (
    StageBackend,
    build,
    card_session,
    farm_session,
    hosts_session,
    session,
    shipped_themes,
    text_of,
)
from tests.ui.test_output import ASCII, MONO, UTF8, XTERM

FULL = Terminal({"TERM": "xterm-256color", "COLORTERM": "truecolor", **UTF8}, 256)
IN_256 = Terminal({"TERM": "xterm-256color", **UTF8}, 256)
CONSOLE = Terminal({"TERM": "linux", **UTF8}, 8)
SIZES = ((80, 24), (120, 40), (200, 60), (80, 12), (40, 20))
USUAL = PanesState()
LOOKING = ClusterSnapshot(ClusterState.LOOKING)


def begin_of(opened: Session, panes: PanesState) -> Begin:
    known = Known(opened, LOOKING)
    return Begin(known.facts(search=remembered), known.shown.place, known.editor.history, panes)


def frame_of(
    opened: Session, size: tuple[int, int], theme: str, terminal: Terminal, panes: PanesState = USUAL
) -> FirstFrame:
    path, data = next((p, d) for p, d in shipped_themes().parsed.items() if d["name"] == theme)
    found = first_frame(begin_of(opened, panes), size, read_theme(path, data, plain_colour), terminal)
    assert found is not None
    return found


def seen(cells: Cells) -> list[tuple[str, Look | str]]:
    """As one sees it: of a blank that shows nothing but its ground only that."""
    texts, looks = cells
    bare = ("4", "7", "9", "21", "51", "52", "53")
    return [
        (text, look[2] if text == " " and not set(look[0]) & set(bare) else look)
        for text, look in zip(texts, looks, strict=True)
    ]


async def both(
    opened: Session, size: tuple[int, int], theme: str, terminal: Terminal, panes: PanesState
) -> tuple[list[Cells], list[Cells], list[Region]]:
    """The frame as it is written first, as Textual draws it, and where that has more."""
    backend = StageBackend(opened)
    backend.panes = panes
    backend.engine.snapshot = LOOKING
    app = build(backend, theme, terminal)
    async with app.run_test(size=size) as pilot:
        with suppress(WorkerCancelled):
            await app.workers.wait_for_complete()
        await pilot.pause()
        drawn = [cells_of(strip, ColorSystem.TRUECOLOR) for strip in app.screen._compositor.render_strips()]
        more = [app.screen.query_one("#below").region]
        more += [pane.region for pane in app.screen.query(", ".join(f"#{name}" for name in PANES)) if pane.display]
        if DEVICES not in seen_in(size, panes):
            more.append(app.screen.query_one("KeyFooter").region)
        elif app.screen.query_one("#devices", VerticalScroll).show_vertical_scrollbar:
            more.append(app.screen.query_one("DeviceList").region)
    backend.chats.close()
    # After it: what Textual's own searches found by then is known to the first frame, too.
    first = frame_of(opened, size, theme, terminal, panes).picture
    return [first._wanted[y] for y in range(size[1])], drawn, more


async def assert_same(
    opened: Session,
    size: tuple[int, int],
    theme: str,
    terminal: Terminal,
    panes: PanesState = USUAL,
) -> None:
    first, drawn, more = await both(opened, size, theme, terminal, panes)
    for y, (one, other) in enumerate(zip(first, drawn, strict=True)):
        wanted = [cell if not any(part.contains(x, y) for part in more) else None for x, cell in enumerate(seen(other))]
        found = [cell if wanted[x] is not None else None for x, cell in enumerate(seen(one))]
        assert found == wanted, (y, "".join(one[0]), "".join(other[0]))


@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_they_are_the_rows_of_the_first_frame(size: tuple[int, int]) -> None:
    await assert_same(session(), size, "ember", FULL)


@pytest.mark.parametrize("terminal", [IN_256, XTERM, MONO, ASCII, CONSOLE], ids=lambda t: t.environ["TERM"])
async def test_they_are_so_in_fewer_colours_and_glyphs(terminal: Terminal) -> None:
    await assert_same(card_session(), (120, 40), "ember", terminal)


@pytest.mark.matrix
@pytest.mark.parametrize("devices", [1, 2, 4, 7, 12, 32])
@pytest.mark.parametrize("size", [*SIZES[:3], (112, 28), (250, 80)], ids=str)
@pytest.mark.parametrize("zoomed", [False, True])
async def test_they_are_so_in_every_arrangement(size: tuple[int, int], devices: int, zoomed: bool) -> None:
    await assert_same(farm_session(devices), size, "ember", FULL, PanesState(zoomed=zoomed))


@pytest.mark.matrix
@pytest.mark.parametrize("theme", ["ember", "paper", "contrast"])
@pytest.mark.parametrize("terminal", [FULL, IN_256, ASCII, MONO], ids=["full", "256", "ascii", "mono"])
@pytest.mark.parametrize("devices", [3, 8, 16])
@pytest.mark.parametrize("size", SIZES[:3], ids=str)
async def test_they_are_so_everywhere(size: tuple[int, int], devices: int, terminal: Terminal, theme: str) -> None:
    await assert_same(farm_session(devices), size, theme, terminal)


async def test_they_are_so_without_a_plan_that_fits_and_without_a_model() -> None:
    opened = session()
    await assert_same(
        replace(opened, config=replace(opened.config, model_path=None), shape=None), (80, 24), "ember", FULL
    )
    tight = tuple(replace(d, budget_bytes=1 << 20) for d in opened.devices)
    await assert_same(session(tight), (120, 40), "ember", FULL)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=str)
@pytest.mark.parametrize(
    "panes",
    [
        PanesState("chat", "chat"), PanesState("logs", "logs", "logs"), PanesState(side="bench", second="bench"),
        PanesState(zoomed=True),
    ],
    ids=str,
)  # fmt: skip
async def test_they_are_so_whatever_pane_was_in_front(panes: PanesState, size: tuple[int, int]) -> None:
    await assert_same(session(), size, "ember", FULL, panes)


async def test_they_are_so_with_experts_with_other_keys_and_with_devices_that_hold_nothing() -> None:
    opened = session()
    await assert_same(session(model=shape_of("qwen3moe", 48)), (120, 40), "ember", FULL)
    keys = {"quit": (), "cluster.start": ("f9",), "help": ("f1",)}
    await assert_same(replace(opened, config=replace(opened.config, keys=keys)), (80, 24), "ember", FULL)
    out = tuple(replace(d, budget_bytes=1) if d.name == "big" else d for d in opened.devices)
    await assert_same(session(out), (80, 24), "ember", FULL)
    await assert_same(hosts_session(), (200, 60), "ember", FULL)


@pytest.mark.parametrize("size", [(19, 40), (120, 9), (0, 0)])
def test_a_terminal_that_is_too_small_has_none(size: tuple[int, int]) -> None:
    path, data = next(iter(shipped_themes().parsed.items()))
    assert first_frame(begin_of(session(), USUAL), size, read_theme(path, data, plain_colour), FULL) is None


def test_what_is_written_shows_the_rows_and_nothing_else() -> None:
    frame = frame_of(session(), (80, 24), "ember", FULL)
    terminal = MiniTerminal(80, 24)
    terminal.feed(frame.text)
    rows = ["".join(text for text, *_ in row) for row in terminal.rows]
    assert "connecting…" in rows[0]
    assert "the plan fits · s starts it" in rows[3]
    assert "Devices" in rows[4]
    assert "CPU of this machine" in rows[20]
    assert rows[23].rstrip().endswith("q Quit")
    assert not frame.picture.pending


class Standing:
    """Implements Begun on a terminal that is none."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self.attributes: list[Any] = []

    def taken(self) -> None:
        raise AssertionError("a headless app has no driver of ours")


async def test_with_them_no_other_frame_comes_before_the_screen() -> None:
    """The session is open: there is nothing to tell but the screen itself, in one go and in its own theme."""
    opened = session()
    backend = StageBackend(opened)
    standing = Standing(frame_of(opened, (120, 40), "paper", FULL).picture)
    app = HettuiApp(backend, shipped_themes(), "paper", terminal=FULL, begun=standing)
    assert app.holds_early_frame
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        assert not app.holds_early_frame
        assert "the plan fits" in text_of(app)
        assert not app.query("#opening")
        assert app._picture is standing.picture
        assert app.theme == "paper"
    backend.chats.close()
