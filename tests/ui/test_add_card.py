"""A card that one does not own: planned with by a key, never started, and taken away again."""

from __future__ import annotations

import pytest

from hettui.domain.devices.common_cards import common_card
from hettui.domain.errors import UsageError
from hettui.domain.session.imagined import imagined
from hettui.domain.units import GIB
from hettui.ui.dialogs.add_card import AddCardScreen
from tests.ui.stage import Stage, card_session, stage


@pytest.mark.parametrize(
    ("text", "name", "gib", "gb_per_s", "via"),
    [
        ("rtx-3090", "RTX 3090", 24, 936, "master"),
        ("RTX 3090, 20", "RTX 3090", 20, 936, "master"),
        ("Mine, 48 GiB, 1000 GB/s", "Mine", 48, 1000, "master"),
        ("Mine, 48, 1000, pcie", "Mine", 48, 1000, "master"),
        ("RX 7900 XTX, 24, 960, 0.3 ms", "RX 7900 XTX", 24, 960, "worker"),
    ],
)
def test_what_is_typed_is_a_card(text: str, name: str, gib: int, gb_per_s: int, via: str) -> None:
    device = imagined(text, [])
    assert (device.name, device.via) == (name, via)
    assert device.budget_bytes is not None
    assert 0.9 * gib - 0.5 < device.budget_bytes / GIB < gib
    assert device.bandwidth_bytes_per_s == pytest.approx(gb_per_s * 1e9, rel=0.01)
    assert device.round_trip_s == (None if via == "master" else pytest.approx(0.0003))
    assert device.backend == ("rocm" if name.startswith("RX") else "cuda")
    assert device.is_imagined
    assert imagined(text, [name]).name == f"{name} 2"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it is a name of the table"), ("RTX 3095", "is not in the table: RTX 3090"),
        ("Mine, 48", "is not in the table"),
        ("Mine, much, 1", "much is no number of GiB"), ("Mine, 0, 1", "GiB are 1 to 2048"),
        ("Mine, 8, 9, far", "far is no number of ms"), ("a, 1, 2, 3, 4", "it is a name of the table"),
        ("Mine, 9999999999999, 1", "is no number of GiB"),
    ],
)  # fmt: skip
def test_what_is_no_card_is_said_with_what_is(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        imagined(text, [])


def names(s: Stage) -> list[str]:
    return [device.name for device in s.plan.devices]


async def changed(s: Stage) -> None:
    await s.app.workers.wait_for_complete()
    await s.pilot.pause()
    await s.app.workers.wait_for_complete()
    await s.pilot.pause()


async def test_a_card_of_the_table_makes_a_plan_that_cannot_be_started() -> None:
    async with stage(card_session(), size=(80, 24)) as s:
        await s.run_plan()
        before, colours = s.plan, dict(s.screen.facts.colours)
        await s.press("A")
        assert isinstance(s.app.screen, AddCardScreen)
        await s.type("3090")
        assert "936 GB/s" in s.text()
        await s.press("enter")
        await changed(s)
        assert set(names(s)) == {*(d.name for d in before.devices), "RTX 3090"}
        assert s.layers == (*before.split.layers, 0)
        assert s.screen.facts.colours.items() >= colours.items()
        card = s.screen.body.devices.cards[-2].view
        assert (card.name, card.process) == ("RTX 3090", "")
        # Everything answers: the planner's fastest has it.
        await s.choose_plan()
        held = dict(zip(names(s), s.layers, strict=True))
        assert held["RTX 3090"] > 0
        await s.press("a")
        await s.pilot.pause()
        assert not s.engine.requests
        assert any("RTX 3090 is only planned with: nobody has it here" in toast for toast in s.toasts())
        await s.press("A", "enter")
        await changed(s)
        assert set(names(s)) == {d.name for d in before.devices}
        assert common_card("RTX 3090") is not None


async def test_what_is_wrong_stays_to_be_mended() -> None:
    async with stage(card_session()) as s:
        await s.press("A")
        await s.type("nothing")
        await s.press("enter")
        assert "is not in the table" in s.text()
        await s.press("escape")
        assert s.app.screen is s.main
