"""What reaches terminals with fewer colours, with none, and without our glyphs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.color import ColorType
from rich.segment import Segment
from rich.style import Style
from textual._compositor import LayoutUpdate
from textual.color import Color
from textual.filter import Monochrome
from textual.pilot import Pilot

from hettui.domain.screen.terminal import Terminal
from hettui.services.events import ChatProgressed, LogLines, Notice
from hettui.ui.app import HettuiApp
from hettui.ui.colours.colour_math import RGB, contrast
from hettui.ui.colours.theme_file import TEXT_CONTRAST
from hettui.ui.colours.themes import build_theme
from hettui.ui.drawing.gauges import COMPUTE, CONTEXT, FOREIGN, FREE, MEASURED, OVER, OVERHEAD, WEIGHTS
from hettui.ui.terminal.colour_depth import fixed_rgb, nearest_fixed
from hettui.ui.terminal.filters import DepthFilter, colour_filter
from hettui.ui.terminal.glyphs import ascii_text, console_text
from hettui.ui.terminal.output import Output
from tests.hostile import HOSTILE
from tests.ui import test_snapshots as scenes
from tests.ui.stage import StageBackend, build, card_session, session, text_of
from tests.ui.test_themes import FILES, GRAPHIC_CONTRAST, rgb, theme

pytestmark = pytest.mark.matrix

SCENES = [*scenes.SCENES, scenes.cards]
UTF8 = {"LANG": "C.UTF-8"}
XTERM = Terminal({"TERM": "xterm", **UTF8}, 8)
MONO = Terminal({"TERM": "xterm-256color", "NO_COLOR": "1", **UTF8}, 256)
ASCII = Terminal({"TERM": "xterm-256color", "HETTUI_ASCII": "1"}, 256)
# What the 16 colours are on the Linux console and in xterm.
_VGA = ((0, 0, 0), (170, 0, 0), (0, 170, 0), (170, 85, 0), (0, 0, 170), (170, 0, 170), (0, 170, 170), (170, 170, 170),
        (85, 85, 85), (255, 85, 85), (85, 255, 85), (255, 255, 85), (85, 85, 255), (255, 85, 255), (85, 255, 255),
        (255, 255, 255))  # fmt: skip
_XTERM = ((0, 0, 0), (205, 0, 0), (0, 205, 0), (205, 205, 0), (0, 0, 238), (205, 0, 205), (0, 205, 205),
          (229, 229, 229), (127, 127, 127), (255, 0, 0), (0, 255, 0), (255, 255, 0), (92, 92, 255), (255, 0, 255),
          (0, 255, 255), (255, 255, 255))  # fmt: skip


@asynccontextmanager
async def on(
    terminal: Terminal, scene: Callable[[Pilot[Any]], Awaitable[None]], size: tuple[int, int] = (120, 40)
) -> AsyncIterator[tuple[HettuiApp, StageBackend, Pilot[Any]]]:
    backend = StageBackend(card_session() if scene is scenes.cards else session())
    app = build(backend, terminal=terminal)
    async with app.run_test(size=size) as pilot:
        await scene(pilot)
        await pilot.pause()
        yield app, backend, pilot
    backend.chats.close()


def segments(app: HettuiApp) -> list[Segment]:
    return [segment for strip in app.screen._compositor.render_strips() for segment in strip]


def written(app: HettuiApp) -> str:
    """Everything that a full repaint sends."""
    update = app.screen._compositor.render_update(full=True)
    assert isinstance(update, LayoutUpdate)
    return update.render_segments(app.console)


def test_a_terminal_that_shows_everything_costs_nothing() -> None:
    before: list[Any] = [Monochrome()]
    output = Output(Terminal({"TERM": "xterm-256color", "COLORTERM": "truecolor", **UTF8}, 256))
    output.use_theme(build_theme("", theme(FILES[0])))
    output.use_ascii(None)
    assert output.filters(before) is before


# -- colours -----------------------------------------------------------------------------------------------------


def mapped(depth: Any, path: Path, ink: str, ground: str) -> Style:
    """What is written for such a text."""
    found = colour_filter(depth, build_theme("", theme(path)))
    assert isinstance(found, DepthFilter)
    ((_, style, _),) = found.apply([Segment("x", Style(color=ink, bgcolor=ground))], Color.parse(ground))
    assert style is not None
    return style


def texts(path: Path) -> list[tuple[str, str]]:
    data = theme(path)
    inks = [data["colors"]["foreground"], *(data["hettui"][name] for name in ("muted", "ok", "warn", "crit"))]
    return [(ink, data["colors"][ground]) for ink in inks for ground in ("background", "surface", "panel")]


def number(style: Style) -> tuple[int, int]:
    assert style.color is not None
    assert style.bgcolor is not None
    assert style.color.number is not None
    assert style.bgcolor.number is not None
    return style.color.number, style.bgcolor.number


def fixed(n: int) -> RGB:
    color = fixed_rgb(n)
    return color.red, color.green, color.blue


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_256_colours_keep_grounds_apart_texts_readable_and_devices_distinct(path: Path) -> None:
    data = theme(path)
    grounds = {nearest_fixed(rgb(data["colors"][name])) for name in ("background", "surface", "panel")}
    assert len(grounds) == 3
    for ink, ground in texts(path):
        front, behind = number(mapped("256", path, ink, ground))
        assert contrast(fixed(front), fixed(behind)) >= TEXT_CONTRAST, (ink, ground)
    devices = [nearest_fixed(rgb(value)) for value in data["devices"]["colors"]]
    for one, other in [*combinations(devices[:8], 2), *pairwise(devices)]:
        assert one != other


@pytest.mark.parametrize("palette", [_VGA, _XTERM], ids=["console", "xterm"])
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_16_colours_can_be_read(path: Path, palette: tuple[RGB, ...]) -> None:
    data = theme(path)
    own, ground = data["hettui"], data["colors"]["background"]
    for ink, behind in [*texts(path), *((own[name], ground) for name in ("weights", "kv", "compute", "temp-crit"))]:
        front, back = number(mapped("16", path, ink, behind))
        assert contrast(palette[front], palette[back]) >= GRAPHIC_CONTRAST, (ink, behind)
    for value in data["devices"]["colors"]:
        front, back = number(mapped("16", path, "#000000", value))
        assert front != back
        assert contrast(palette[front], palette[back]) >= GRAPHIC_CONTRAST, value


@pytest.mark.parametrize("scene", SCENES, ids=lambda f: f.__name__)
async def test_16_colours_are_all_that_is_written(scene: Any) -> None:
    async with on(XTERM, scene) as (app, _, _):
        for text, style, _ in segments(app):
            assert style is not None
            for color in (style.color, style.bgcolor):
                assert color is None or color.type in (ColorType.STANDARD, ColorType.DEFAULT), text
            if text.strip():
                front, behind = number(style)
                assert front != behind, text


@pytest.mark.parametrize("scene", SCENES, ids=lambda f: f.__name__)
async def test_without_colours_nothing_is_coloured(scene: Any) -> None:
    async with on(MONO, scene) as (app, _, _):
        for text, style, _ in segments(app):
            assert style is None or (style.color is None and style.bgcolor is None), text


async def test_without_colours_everything_is_still_told() -> None:
    async with on(MONO, scenes.ready) as (app, _, pilot):
        await pilot.press("down", "L", "space")
        assert "(+4)" in text_of(app)
        await pilot.press("1")
        runs = [(s.text.strip(), s.style) for s in segments(app) if s.text.strip() and s.style]
        texts_ = " ".join(text for text, _ in runs)
        # The focused card, the lock, a plan that differs from what runs, states, the number being typed.
        for sign in ("▶2", "locked", "● up", "● ready"):
            assert sign in texts_
        # The mark at its left side, and at no other card's.
        assert len([text for text, _ in runs if text == "▌"]) == app.screen.focused.size.height  # type: ignore[union-attr]
        # The pane in front is reversed where the keyboard is in it, else underlined.
        marked = " ".join(text for text, style in runs if style.reverse or style.underline)
        for chosen in ("Chat", "2 middle", "1▏ ⏎"):
            assert chosen in marked
        assert "Logs" not in marked
        # A key that does nothing now.
        assert any(text.endswith("Start") and style.dim for text, style in runs)
        assert any(text.endswith("Stop") and not style.dim for text, style in runs)
        await pilot.press("escape", "end")
        assert "over" in " ".join(s.text for s in segments(app))


# -- glyphs ------------------------------------------------------------------------------------------------------


def seen_in_ascii(app: HettuiApp, where: str = "") -> None:
    assert written(app).isascii(), where
    for strip in app.screen._compositor.render_strips():
        assert sum(len(segment.text) for segment in strip) == 100, where


@pytest.mark.parametrize("scene", SCENES, ids=lambda f: f.__name__)
async def test_ascii_is_all_that_is_written(scene: Any) -> None:
    async with on(ASCII, scene, (100, 30)) as (app, _, _):
        seen_in_ascii(app)


# One of each: nothing runs, something does, an answer stands there, a pane has the whole body, a dialog lies over it.
@pytest.mark.parametrize(
    "scene",
    [scenes.stopped, scenes.cards, scenes.chatting, scenes.zoomed, scenes.palette, scenes.post_mortem],
    ids=lambda f: f.__name__,
)
async def test_whatever_arrives_ascii_is_all_that_is_written(scene: Any) -> None:
    async with on(ASCII, scene, (100, 30)) as (app, backend, pilot):
        hostile = "漢字 👨‍👩‍👧 é ñ ’x’ ∑ " + " ".join(HOSTILE)
        for text in HOSTILE:
            backend.engine.emit(LogLines("worker " + text, (text,)))
        backend.engine.emit(Notice("a toast – with 漢字 …", "error"))
        backend.engine.emit(ChatProgressed(f"# 漢字 …\n\n* {hostile}\n\n```\n{hostile}\n```\n", "", 12, 0.1))
        for key in ("c", "escape", "g", "T"):
            await pilot.press(key)
            await pilot.pause()
            seen_in_ascii(app, key)


async def test_the_configuration_asks_for_ascii() -> None:
    opened = card_session()
    backend = StageBackend(replace(opened, config=replace(opened.config, ascii=True)))
    app = build(backend, terminal=Terminal({"TERM": "xterm-256color", "COLORTERM": "truecolor", **UTF8}, 256))
    async with app.run_test(size=(100, 30)) as pilot:
        assert written(app).isascii()
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert written(app).isascii()
        assert "=O-" in text_of(app)
    backend.chats.close()


@pytest.mark.parametrize("translate", [ascii_text, console_text])
def test_what_looks_different_stays_different(translate: Callable[[str], str]) -> None:
    bar = WEIGHTS, CONTEXT, COMPUTE, OVERHEAD, FREE, MEASURED, OVER, FOREIGN, " "
    assert len({translate(glyph) for glyph in bar}) == len(bar)
    slider = "━●■╌◇┆"
    assert len(set(translate(slider))) == len(slider)
    levels = translate("▁▂▃▄▅▆▇█")
    if translate is ascii_text:
        assert len(set(levels)) == len(levels)
    else:
        # Full and half blocks and a line at the foot are what a console has.
        assert levels == "__▄▄▄███"
    assert len({translate(sign) for sign in "✗●▶"}) == 3


@pytest.mark.parametrize("text", [*HOSTILE, "漢字", "👨‍👩‍👧", "é", "e\u0301", "┏━┓╰─╯├┼╲", "⠿⣿⠁", "½ ™ µ"])
def test_as_wide_as_before_and_readable_where_it_can_be(text: str) -> None:
    for translate in (ascii_text, console_text):
        assert cell_len(translate(text)) == cell_len(text)
    assert ascii_text(text).isascii()


def test_words() -> None:
    assert ascii_text("40 °C – für 漢字 … → ⏎") == "40  C - fur ???? ~ > <"
    assert ascii_text("╭─┬╮│╰┴╯ ╱╲╳ ═║") == "+-++|+++ /\\X =|"
    assert console_text("█▓▒░│°±µé") == "█▓▒░│°±µé"
