"""What is written when little changes: the same picture, with fewer bytes."""

from __future__ import annotations

import pytest
from rich.console import Console
from textual._compositor import ChopsUpdate
from textual.dom import DOMNode
from textual.geometry import Region, Size
from textual.screen import Screen

from hettui.ui.app import HettuiApp
from hettui.ui.terminal.slow_line import FrugalCompositor, FrugalUpdate
from hettui.ui.widgets.device_card import DeviceCard
from tests.ui.stage import Stage, card_readings, card_session, stage

CONSOLE = Console(force_terminal=True, color_system="truecolor", width=120)


async def warm(s: Stage) -> FrugalCompositor:
    await s.run_plan()
    for second in range(3):
        await s.emit(card_readings(second))
    compositor = s.screen._compositor
    assert isinstance(compositor, FrugalCompositor)
    return compositor


async def test_one_number_is_written_as_one_number() -> None:
    async with stage(card_session(), size=(120, 34)) as s:
        compositor = await warm(s)
        card = s.screen.query(DeviceCard)[0]
        compositor._dirty_regions.add(Region(card.content_region.x + 25, card.content_region.y + 4, 5, 1))
        update = compositor.render_partial_update()
        assert isinstance(update, FrugalUpdate)
        frugal = update.render_segments(CONSOLE)
        usual = ChopsUpdate(update.chops, update.spans, update.chop_ends).render_segments(CONSOLE)
        assert "60" in frugal
        assert "heat" in usual
        assert "heat" not in frugal
        assert len(frugal) < len(usual) / 2


async def test_a_reading_repaints_only_what_changed() -> None:
    async with stage(card_session(), size=(120, 34)) as s:
        await warm(s)
        card = next(c for c in s.screen.query(DeviceCard) if c.view.name.endswith("5080"))
        asked: list[tuple[Region, ...]] = []
        card.refresh = lambda *regions, **_: asked.append(regions) or card  # type: ignore[method-assign,func-returns-value]
        await s.emit(card_readings(3, power_w=219))
        (regions,) = asked
        # The temperature's digits and the watts: a row each.
        assert [(r.y, r.height) for r in regions] == [(4, 1), (5, 1)]
        assert all(r.width < 14 for r in regions)
        await s.emit(card_readings(3, power_w=219))
        assert len(asked) == 1


async def test_a_partial_update_paints_what_a_full_one_would() -> None:
    async with stage(card_session(), size=(120, 34)) as s:
        compositor = await warm(s)
        rows = s.text().splitlines()
        compositor._dirty_regions.update({Region(0, y, 120, 1) for y in range(0, 34, 3)})
        update = compositor.render_partial_update()
        assert update is not None
        for y, _, _ in update.spans:
            strips = [strip for strip in update.chops[y].values() if strip is not None]
            assert "".join(strip.text for strip in strips) == rows[y]


async def test_a_screen_is_styled_once_and_laid_out_once_for_a_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Textual does both a second time, when the screen is told the size that it has had from the beginning."""
    styled, laid_out = list[DOMNode](), list[DOMNode]()
    update_styles, refresh_layout = HettuiApp.update_styles, Screen._refresh_layout

    def styling(app: HettuiApp, node: DOMNode, animate: bool = True) -> None:
        styled.append(node)
        update_styles(app, node, animate)

    def laying_out(screen: Screen[object], size: Size | None = None, scroll: bool = False) -> None:
        laid_out.extend([screen] if size is not None else [])
        refresh_layout(screen, size, scroll)

    monkeypatch.setattr(HettuiApp, "update_styles", styling)
    monkeypatch.setattr(Screen, "_refresh_layout", laying_out)
    async with stage(size=(120, 40)) as s:
        assert s.screen.classes == {"-wide", "-high"}
        assert s.screen not in styled
        assert laid_out == [s.app.screen_stack[0], s.screen]
        await s.pilot.resize_terminal(80, 24)
        assert s.screen.classes == {"-narrow", "-short"}
        assert styled.count(s.screen) == 1
        assert laid_out[2:].count(s.screen) == 1
