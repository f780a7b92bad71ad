"""Whatever a driver says, what is shown can be true, and nothing else is lost with what cannot."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.telemetry.alerts import AlertState, update
from hettui.domain.telemetry.bounds import BOUNDS, believed_memory, plausible, within
from hettui.domain.telemetry.readings import DeviceSample, Holder, Link, TelemetrySnapshot
from hettui.domain.units import GIB, MIB
from tests.forms import values

ALL_ONES, ALL_ONES_64 = (1 << 32) - 1, (1 << 64) - 1
WELL = DeviceSample(
    used_bytes=2 * GIB,
    total_bytes=24 * GIB,
    own_bytes=GIB,
    holders=(Holder(7, "llama-server", GIB),),
    utilisation_percent=90,
    temperature_c=61,
    memory_temperature_c=70,
    slowdown_c=90,
    shutdown_c=95,
    fan_percent=40,
    power_w=120,
    power_limit_w=350,
    clock_mhz=1700,
    clock_max_mhz=2100,
    link_now=Link(4, 16),
    link_max=Link(4, 16),
    received_bytes_per_s=1e9,
    sent_bytes_per_s=0,
    ecc_errors=0,
    energy_j=9500,
)

NONSENSE: list[tuple[str, Any]] = [
    ("power_w", 3_700_000.0),
    ("power_w", -1.0),
    ("power_limit_w", 0.0),
    ("fan_percent", ALL_ONES),
    ("temperature_c", 511),
    ("temperature_c", ALL_ONES),
    ("temperature_c", float("nan")),
    ("memory_temperature_c", 255),
    ("slowdown_c", 0),
    ("shutdown_c", 0),
    ("utilisation_percent", ALL_ONES),
    ("used_bytes", ALL_ONES_64),
    ("used_bytes", 25 * GIB),
    ("own_bytes", 25 * GIB),
    ("clock_mhz", ALL_ONES),
    ("clock_max_mhz", 0),
    ("link_now", Link(ALL_ONES, ALL_ONES)),
    ("link_max", Link(4, 0)),
    ("received_bytes_per_s", ALL_ONES * 1000.0),
    ("ecc_errors", ALL_ONES_64),
    ("energy_j", float("inf")),
    ("temperature_c", "hot"),
]


@pytest.mark.parametrize(("name", "value"), NONSENSE)
def test_nonsense_is_unknown_and_takes_nothing_else_with_it(name: str, value: Any) -> None:
    said: dict[str, Any] = {name: value}
    unknown: dict[str, Any] = {name: None}
    assert plausible(replace(WELL, **said)) == replace(WELL, **unknown)


def test_what_is_well_stays_as_it_is() -> None:
    assert plausible(WELL) is WELL
    nothing = DeviceSample(used_bytes=0, own_bytes=0, utilisation_percent=0, temperature_c=0, power_w=0, clock_mhz=0)
    assert plausible(nothing) is nothing, "0 is a reading"


def test_a_card_without_a_size_has_no_use_either() -> None:
    assert plausible(DeviceSample(used_bytes=0, total_bytes=0, temperature_c=41)) == DeviceSample(temperature_c=41)


def test_a_holder_of_nonsense_stays_a_holder() -> None:
    odd = replace(WELL, holders=(Holder(7, "x", ALL_ONES_64), Holder(8, "y", 5)))
    assert plausible(odd).holders == (Holder(7, "x", None), Holder(8, "y", 5))


def test_a_worker_may_use_all_cores_and_more_than_it_was_given() -> None:
    worker = DeviceSample(used_bytes=3 * GIB, total_bytes=GIB, utilisation_percent=1600.0)
    assert plausible(worker, cpu=True) is worker


@pytest.mark.parametrize(
    ("total", "free", "believed"),
    [
        (24 * GIB, 22 * GIB, (24 * GIB, 22 * GIB)),
        (37068 * MIB, 47880 * MIB, (37068 * MIB, 37068 * MIB)),
        (8 * GIB, 17592186044415 * MIB, (8 * GIB, None)),
        (8 * GIB, 20 * GIB, (8 * GIB, None)),
        (8 * GIB, 0, (8 * GIB, 0)),
        (0, 0, (None, None)),
        (0, GIB, (None, GIB)),
        (None, GIB, (None, GIB)),
        (ALL_ONES_64, GIB, (None, GIB)),
        (GIB, -1, (GIB, None)),
    ],
)
def test_free_memory_is_bounded_by_all_of_it(total: Any, free: Any, believed: Any) -> None:
    assert believed_memory(total, free) == believed


@given(values(DeviceSample))
def test_no_sample_is_shown_that_cannot_be(sample: DeviceSample) -> None:
    shown = plausible(sample)
    for name in BOUNDS:
        value = getattr(shown, name, None)
        assert value is None or within(name, value) is not None
    for field in fields(sample):
        assert getattr(shown, field.name) in (None, getattr(sample, field.name)) or field.name == "holders"
    assert plausible(shown) == shown


@given(st.sampled_from(NONSENSE))
def test_nonsense_raises_no_alert(odd: tuple[str, Any]) -> None:
    name, value = odd
    state = AlertState().watching(["card"])
    for now_s in range(9):
        sample = plausible(replace(WELL, **{name: value}))
        state, alerts = update(state, TelemetrySnapshot(float(now_s), 1.0, {"card": sample}), float(now_s))
        assert not alerts
