"""Plan edits and their history."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.devices.device import Device
from hettui.domain.plan.plan import History, Plan
from hettui.domain.plan.split import Split


def plan(*layers: int, total: int | None = None) -> Plan:
    devices = tuple(Device(f"d{i}", via="worker") for i in range(len(layers)))
    return Plan(devices, Split(layers, sum(layers) if total is None else total))


def test_a_device_takes_its_layers_along_when_the_order_changes() -> None:
    moved = plan(16, 10, 5).with_device_moved(0, 2)
    assert [d.name for d in moved.devices] == ["d1", "d2", "d0"]
    assert moved.split.layers == (10, 5, 16)
    assert moved.split.output_device == 2


def test_moving_past_the_ends_changes_nothing() -> None:
    before = plan(3, 4)
    assert before.with_device_moved(0, -1) is before
    assert before.with_device_moved(1, 2) is before


def test_a_lock_holds_against_the_neighbours() -> None:
    locked = plan(16, 10, 5).with_lock_toggled(1)
    assert locked.locked == {1}
    assert locked.devices[1].layers == 10
    assert locked.with_layers(0, 18).split.layers == (18, 10, 3)
    assert not locked.with_lock_toggled(1).locked


def test_the_order_alone_makes_a_plan_differ() -> None:
    running = plan(8, 8)
    assert not running.differs_from(running.devices, running.split)
    assert running.with_device_moved(0, 1).differs_from(running.devices, running.split)
    assert running.with_layers(0, 9).differs_from(running.devices, running.split)


def test_a_lock_alone_does_not() -> None:
    running = plan(8, 8)
    assert not running.with_lock_toggled(0).differs_from(running.devices, running.split)


@given(st.lists(st.integers(0, 31), min_size=1, max_size=30))
def test_undo_goes_all_the_way_back_and_redo_forth(moves: list[int]) -> None:
    now, history = plan(16, 10, 5), History()
    seen = [now]
    for wanted in moves:
        history = history.record(now)
        now = now.with_layers(1, wanted)
        seen.append(now)
    for expected in reversed(seen[:-1]):
        now, history = history.undo(now)
        assert now == expected
    assert history.undo(now) == (now, history)
    for expected in seen[1:]:
        now, history = history.redo(now)
        assert now == expected
    assert history.redo(now) == (now, history)
