"""What is free now is looked at before a start, also when budgets are written down."""

from __future__ import annotations

from dataclasses import replace

from hettui.domain.config.values import Config
from hettui.domain.devices.device import Device, Hardware
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.session.plan_report import PlanReport
from hettui.domain.session.room import Room, no_room, room_as_found, room_as_read
from hettui.domain.session.session import Session
from hettui.domain.telemetry.readings import DeviceSample, TelemetrySnapshot
from hettui.domain.units import GIB, MIB
from tests.fakes import cluster, shape

CARDS = tuple(
    Device(name, f"pci:0000:0{n}:00.0", backend="cuda", engine_name=f"CUDA{n}", budget_bytes=4 * GIB)
    for n, name in enumerate(("big", "small"))
)
SESSION = Session(Config(), (), CARDS, cluster(CARDS), shape())
PLAN = Plan(CARDS, Split((20, 11), 31))


def test_a_card_that_is_in_use_is_named_with_what_is_missing() -> None:
    outlook = SESSION.forecast(PLAN)
    assert outlook is not None
    need = outlook.devices[1].total_bytes
    assert no_room(SESSION, PLAN, Room({"big": GIB, "small": need}, 8 * GIB)) is None
    said = no_room(SESSION, PLAN, Room({"big": GIB, "small": need - 5 * MIB}, 8 * GIB))
    assert said is not None
    assert "small has " in said
    assert "short by 5 MiB" in said
    assert "--force" in said
    assert "big" not in said


def test_what_is_not_known_stands_in_nobodys_way() -> None:
    assert no_room(SESSION, PLAN, Room()) is None
    assert no_room(replace(SESSION, shape=None), PLAN, Room({"small": 0}, 0)) is None
    empty = Plan(CARDS, Split((31, 0), 31))
    assert no_room(SESSION, empty, Room({"small": 0})) is None, "an empty device needs nothing"


def test_the_machines_memory_counts_for_what_stays_on_the_cpu() -> None:
    on_cpu = Plan(CARDS, Split((0, 0), 31))
    said = no_room(SESSION, on_cpu, Room({}, 50 * MIB))
    assert said is not None
    assert "this machine's memory is short by" in said
    assert no_room(SESSION, on_cpu, Room({}, 8 * GIB)) is None
    assert SESSION.workload is not None
    report = PlanReport(SESSION.workload, on_cpu, ram_bytes=50 * MIB)
    assert not report.fits
    assert "It does not fit: this machine's memory is short by" in report.as_text()
    assert report.as_json()["fits"] is False
    assert PlanReport(SESSION.workload, on_cpu).fits


def test_room_as_it_was_found_and_as_it_was_read() -> None:
    hardware = (
        Hardware(CARDS[0].id, "x", "cuda", free_bytes=7),
        Hardware(CARDS[1].id, "y", "cuda"),
        Hardware("cpu", "z", "cpu", free_bytes=9),
    )
    assert room_as_found(CARDS, hardware) == Room({"big": 7}, 9)
    samples = {"big": DeviceSample(used_bytes=3, total_bytes=10), "small": DeviceSample(asleep=True)}
    assert room_as_read(CARDS, TelemetrySnapshot(0.0, 1.0, samples), None) == Room({"big": 7}, None)


def test_a_missing_card_is_told_with_the_plan() -> None:
    why = 'device "small": nothing with id x is here. The driver says no: reboot'
    plan = replace(PLAN, devices=(CARDS[0], replace(CARDS[1], missing=why)))
    assert SESSION.workload is not None
    report = PlanReport(SESSION.workload, plan, refused=("The driver says no: reboot", "Another says no"))
    assert report.as_json()["problems"] == [why, "Another says no"]
    assert f"! {why}" in report.as_text()
