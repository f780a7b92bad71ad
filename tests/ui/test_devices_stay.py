"""No configured device ever disappears, each keeps its colour, and what is not known now is said faintly."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hettui.domain.chat.wire import Timings
from hettui.domain.cluster.snapshot import Applied, ClusterSnapshot, ClusterState
from hettui.domain.devices.colours import colours
from hettui.domain.devices.device import HOST_KEY, Device
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.session.looked import GONE, difference, looked_again, on_devices
from hettui.domain.session.session import Session
from hettui.domain.units import MIB
from hettui.services.events import ChatEnded, ClusterChanged, LogLines
from hettui.ui.widgets.log_lines import LogLines as Lines
from tests.ui.stage import Stage, card_session, running, session, stage
from tests.ui.test_survival import roomy

MISSING = "RTX 3060: llama.cpp does not list it"


def without_middle(s: Stage) -> Plan:
    """What runs was started without it."""
    return s.main.known.plan.without(frozenset({"middle"}))


def missing_session() -> Session:
    opened = card_session()
    devices = tuple(replace(d, missing=MISSING, budget_bytes=0) if d.name == "RTX 3060" else d for d in opened.devices)
    return replace(opened, devices=devices)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_device_without_layers_is_faint_says_why_and_comes_back_with_a_key(size: tuple[int, int]) -> None:
    async with stage(size=size) as s:
        await s.press("down", "0")
        card = s.main.body.devices.cards[1]
        assert card.view.idle
        assert "holds nothing · → gives it a layer" in s.text()
        assert {role for row in card.drawn_rows() for text, role in row if text.strip()} <= {"dim", "ghost", "tick", ""}
        await s.press("right")
        assert not card.view.idle
        assert "gives it a layer" not in s.text()
        assert s.layers[1] == 1


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_missing_card_stays_and_is_looked_for_with_a_key(size: tuple[int, int]) -> None:
    async with stage(missing_session(), size) as s:
        assert "R looks again · RTX 3060: llama.cpp does not l" in s.text()
        s.backend.session = card_session()
        await s.press("R")
        await s.app.workers.wait_for_complete()
        await s.pilot.pause()
        assert s.toasts()[-1] == "found again: RTX 3060"
        assert "looks again" not in s.text()
        assert "gives it a layer" in s.text()
        s.backend.session = missing_session()
        await s.press("R")
        await s.app.workers.wait_for_complete()
        await s.pilot.pause()
        assert s.toasts()[-1] == "gone: RTX 3060"


async def test_a_new_card_gets_a_card_of_its_own_and_the_plan_stays() -> None:
    opened = card_session()
    async with stage(replace(opened, devices=opened.devices[:2])) as s:
        before = dict(zip((d.name for d in s.plan.devices), s.layers, strict=True))
        s.backend.session = opened
        await s.press("R")
        await s.app.workers.wait_for_complete()
        await s.pilot.pause()
        assert len(s.main.body.devices.cards) == 4
        held = dict(zip((d.name for d in s.main.known.plan.devices), s.main.known.plan.split.layers, strict=True))
        assert held == before | {"GTX 1660 SUPER": 0}


async def test_found_running_without_a_device_it_is_not_started_along_until_it_gets_layers() -> None:
    """As after a relaunch without it, and hettui opened anew."""
    async with stage(roomy()) as s:
        await s.press("down", "0")
        await s.emit(ClusterChanged(running(without_middle(s))))
        assert "left out, → brings it back · what runs was" in s.text()
        await s.press("up", "right", "a")
        asked = s.engine.requests[-1].cluster.devices
        assert sorted(d.name for d in asked) == ["big", "small"]
        await s.press("down", "right", "a")
        assert sorted(d.name for d in s.engine.requests[-1].cluster.devices) == ["big", "middle", "small"]
        assert "brings it back" not in s.text()


async def test_a_device_keeps_its_colour_wherever_it_stands() -> None:
    async with stage() as s:

        async def colours_now() -> dict[str, tuple[int, int, bool]]:
            bar, cards = s.main.body.layer_bar.view, s.main.body.devices.cards[:-1]
            return {
                c.view.name: (bar.colour(i), c.view.colour, c.has_class(f"-device-{c.view.colour}"))
                for i, c in enumerate(cards)
            }

        before = await colours_now()
        assert sorted(one[0] for one in before.values()) == [1, 2, 3]
        await s.press("right_square_bracket", "right_square_bracket")
        assert [d.name for d in s.plan.devices] == ["middle", "small", "big"]
        after = await colours_now()
        assert after == before
        assert all(a == b and edge for a, b, edge in after.values())
        await s.emit(LogLines("worker big", ("a line",)))
        await s.emit(LogLines("master", ("another",)))
        rows = s.main.query_one(Lines)._rows
        assert [row[0] for row in rows] == [after["big"][0], 0]


def test_colours_go_by_what_a_device_is() -> None:
    cards = card_session().devices
    assert colours(cards) == colours(cards[::-1])
    far = Device("A", "CUDA0", "attic", "worker", "cuda")
    assert colours([far, *cards]) == colours(cards) | {"A": 4}, "another machine's come behind"
    many = [Device(f"d{i:02}", f"CUDA{i:02}") for i in range(20)]
    assert set(colours(many).values()) == set(range(1, 17))


async def test_what_a_split_gives_is_faint_until_it_has_answered() -> None:
    async with stage(card_session()) as s:
        await s.run_plan()
        line = s.main.body.plan_line
        assert line.view.faint == " · ~128 tok/s"
        await s.emit(ChatEnded(Timings(31, 203.3, 40, 400.0)))
        await s.emit(ClusterChanged(s.engine.snapshot))
        assert line.view.faint == ""
        await s.press("right")
        assert line.view.faint.endswith("tok/s")


async def test_while_it_is_looked_for_what_runs_the_header_says_so() -> None:
    async with stage() as s:
        await s.emit(ClusterChanged(ClusterSnapshot(ClusterState.LOOKING)))
        assert "◌ connecting…" in s.text()
        assert "stopped" not in s.text()


async def test_the_truth_line_marks_who_is_off_and_the_cpu_has_one() -> None:
    async with stage(session(), (120, 40)) as s:
        plan = s.plan
        outlook = s.main.facts.outlook
        assert outlook is not None
        told = {d.name: replace(m, overhead_bytes=0) for d, m in zip(plan.devices, outlook.devices, strict=True)}
        told[HOST_KEY] = outlook.host
        big = told["big"]
        told["big"] = replace(big, compute_bytes=big.compute_bytes + 80 * MIB)
        applied = Applied(plan.devices, plan.split, told)
        await s.emit(ClusterChanged(running(plan, applied=applied)))
        notes = {c.view.name: (c.view.note, c.view.note_role) for c in s.main.body.devices.cards}
        assert notes["big"] == (f"planned {round(outlook.devices[0].total_bytes / MIB)} MiB · llama.cpp +80 !", "warn")
        assert notes["middle"][0].endswith("MiB · llama.cpp +0")
        assert notes["CPU of this machine"] == (
            f"planned {round(outlook.host.total_bytes / MIB)} MiB · llama.cpp +0", "dim"
        )  # fmt: skip


def test_devices_that_are_looked_for_again_keep_places_layers_and_locks() -> None:
    before = card_session()
    plan = Plan(before.devices[::-1], Split((9, 20, 20), 49)).with_lock_toggled(1)
    found = replace(before, devices=before.devices[:2])
    after = looked_again(before, found)
    assert [d.name for d in after.devices] == [d.name for d in before.devices]
    assert after.devices[2].missing == f"GTX 1660 SUPER: {GONE}"
    assert difference(before, after) == "gone: GTX 1660 SUPER"
    kept = on_devices(plan, after.devices)
    assert [d.name for d in kept.devices] == [d.name for d in plan.devices]
    assert (kept.split, kept.locked) == (plan.split, plan.locked)
    new = Device("new", "pci:0000:09:00.0")
    more = on_devices(plan, (*after.devices, new))
    assert (more.devices[-1], more.split.layers) == (new, (9, 20, 20, 0))
