"""The slider of experts, or of a dense model's FFN: by keys and mouse, with every number following."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from textual.pilot import Pilot

from hettui.domain.devices.device import Device
from hettui.domain.session.session import Session
from hettui.domain.units import MIB
from hettui.ui.dialogs.choices import ChoicesScreen
from tests.truth.compare import shape_of
from tests.ui.stage import session, stage

ROWS = (("RTX 3060", 8000, 360e9), ("GTX 1660 SUPER", 5427, 336e9))


def two_cards(workers: bool = False) -> Session:
    """A mixture of experts that needs the host's memory, too."""
    devices = tuple(
        Device(
            name,
            f"pci:0000:0{i + 1}:00.0",
            via="worker" if workers else "master",
            backend="cuda",
            engine_name=f"CUDA{i}",
            budget_bytes=budget * MIB,
            bandwidth_bytes_per_s=speed,
        )
        for i, (name, budget, speed) in enumerate(ROWS)
    )
    return replace(session(devices, shape_of("qwen3moe", 48)), demo=False)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_plan_is_opened_with_parts_in_ram_and_says_so(size: tuple[int, int]) -> None:
    async with stage(two_cards(), size) as s:
        assert s.plan.split.host_layers == 0
        count = len(s.plan.blocks_away)
        assert count > 0
        text = s.text()
        assert text.count("experts ") >= len(ROWS)
        assert f"experts of {count} blocks" in text
        assert "the plan fits" in text


async def test_keys_move_experts_and_memory_follows() -> None:
    async with stage(two_cards()) as s:
        outlook, before = s.screen.facts.outlook, s.plan
        assert outlook is not None
        await s.press("comma", "comma")
        after = s.screen.facts.outlook
        assert after is not None
        assert s.plan.away_of(0) == before.away_of(0) + 2
        assert s.plan.split == before.split
        moved = outlook.devices[0].weights_bytes - after.devices[0].weights_bytes
        assert after.host_weights_bytes - outlook.host_weights_bytes == pytest.approx(moved, abs=MIB)
        speeds = s.screen.facts.speed
        assert speeds is not None
        await s.press("full_stop")
        faster = s.screen.facts.speed
        assert faster is not None
        assert faster.token_s < speeds.token_s
        await s.press("u", "u", "u")
        assert s.plan.away == before.away


async def test_the_mouse_moves_them_too() -> None:
    async with stage(two_cards()) as s:
        card = s.screen.body.devices.cards[0]
        row, (_, start, track) = card.frame.experts_row, card.frame.slider
        assert row is not None
        assert card.view.experts is not None
        left = card.content_region.x - card.region.x
        top = card.content_region.y - card.region.y
        await s.pilot.mouse_down(card, offset=(left + start + 1, top + row))
        await s.pilot.pause()
        assert card.view.experts[0] == 0
        assert s.layers == s.screen.facts.plan.split.layers
        await s.drag_on(card, (left + start + track - 1, top + row))
        await s.pilot.pause()
        assert card.view.experts[0] == card.view.experts[1]
        await s.pilot.mouse_up(card, offset=(left + start + track - 1, top + row))


async def test_behind_a_worker_the_price_is_said_and_the_host_has_none() -> None:
    async with stage(two_cards(workers=True)) as s:
        assert s.plan.away == ()
        await s.press("comma")
        assert s.plan.away_of(0) == 1
        assert any("2.5 round trips a token" in toast for toast in s.toasts())
        await s.press("down", "down", "comma")
        assert any("lies in this machine's memory anyway" in toast for toast in s.toasts())


def dense_session(budgets_mib: tuple[int, int]) -> Session:
    """A dense model of 33 layers, 4.7 GB, on two cards of this machine."""
    devices = tuple(
        Device(
            f"card {i}",
            f"pci:0000:0{i + 1}:00.0",
            via="master",
            backend="cuda",
            engine_name=f"CUDA{i}",
            budget_bytes=budget * MIB,
            bandwidth_bytes_per_s=360e9,
        )
        for i, budget in enumerate(budgets_mib)
    )
    return replace(session(devices, shape_of("llama-8b", 32)), demo=False)


async def test_a_dense_models_ffn_has_no_slider_until_some_of_it_is_elsewhere() -> None:
    async with stage(dense_session((4000, 4000)), (120, 40)) as s:
        before, text = s.screen.facts.outlook, s.text()
        assert before is not None
        assert "FFN" not in text
        assert s.plan.away == ()
        await s.press("comma", "comma")
        text, after = s.text(), s.screen.facts.outlook
        assert after is not None
        assert s.plan.away_of(0) == 2
        assert s.plan.blocks_away == tuple(range(s.plan.split.layers[0] - 2, s.plan.split.layers[0]))
        assert text.count("FFN ") >= 2
        assert "FFN of 2 blocks" in text
        assert after.devices[0].context_bytes == before.devices[0].context_bytes
        moved = before.devices[0].weights_bytes - after.devices[0].weights_bytes
        assert after.host_weights_bytes - before.host_weights_bytes == pytest.approx(moved, abs=MIB)
        assert moved > 200 * MIB
        assert s.screen.facts.session.params(s.plan).override_tensor == (
            rf"blk\.({s.plan.blocks_away[0]}|{s.plan.blocks_away[1]})\.ffn_(up|down|gate)\.=CPU",
        )
        await s.press("full_stop", "full_stop")
        assert s.plan.away == ()
        assert "FFN" not in s.text()


async def with_ffn_on_the_host(pilot: Pilot[Any]) -> None:
    """Chosen from the plans."""
    await pilot.press("p")
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()
    dialog = pilot.app.screen
    assert isinstance(dialog, ChoicesScreen)
    place = next(i for i, row in enumerate(dialog._rows) if row.title == "FFN on the host")
    await pilot.press(*["down"] * (place - dialog._cursor), "enter")
    await pilot.pause()


async def test_a_dense_model_that_does_not_fit_may_have_its_ffn_in_ram() -> None:
    async with stage(dense_session((2800, 2400)), (120, 40)) as s:
        # Whole layers there promise more.
        assert s.plan.split.host_layers > 0
        await with_ffn_on_the_host(s.pilot)
        count = len(s.plan.blocks_away)
        assert s.plan.split.host_layers == 0
        assert count > 0
        assert s.plan.moves == "FFN"
        assert f"FFN of {count} blocks" in s.text()
        # Not one block fewer would do.
        device = s.plan.away.index(max(s.plan.away))
        await s.press(*["down"] * (device - s.main.known.editor.selected), "full_stop")
        assert len(s.plan.blocks_away) == count - 1
        assert "short by" in s.text()
