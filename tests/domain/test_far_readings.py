"""A host's stream of readings: what is told is shown, what is not is not 0."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hettui.domain.telemetry.far_readings import FarReadings
from hettui.domain.telemetry.readings import DeviceSample, Link
from hettui.domain.units import MIB
from tests import examples

UUID = "GPU-1f2e3d4c-0000-1111-2222-333344445555"


def taken(*lines: str) -> FarReadings:
    readings = FarReadings()
    for at_s, line in enumerate(lines, 10):
        readings.take(line.split(" "), float(at_s))
    return readings


def test_a_card_by_its_uuid_and_by_its_number() -> None:
    readings = taken(f"nv {UUID}, 5000, 12288, 97, 71, 168.40, 170.00, 1800, 2100, 3, 16, 60")
    card = readings.of_card("cuda", UUID, None)
    assert card == DeviceSample(
        used_bytes=5000 * MIB, total_bytes=12288 * MIB, utilisation_percent=97, temperature_c=71, power_w=168.4,
        power_limit_w=170, clock_mhz=1800, clock_max_mhz=2100, link_now=Link(3, 16), fan_percent=60,
    )  # fmt: skip
    assert readings.of_card("cuda", None, 0) == card
    assert readings.of_card("cuda", None, 1) is None
    assert readings.of_card("cuda", "GPU-other", 0) is None
    assert readings.of_card("vulkan", None, 0) is None


def test_what_a_card_does_not_know_is_not_0() -> None:
    readings = taken(f"nv {UUID}, 5000, 12288, [N/A], [Not Supported], [N/A], [N/A], [N/A], [N/A], [N/A], [N/A], [N/A]")
    assert readings.of_card("cuda", UUID, None) == DeviceSample(used_bytes=5000 * MIB, total_bytes=12288 * MIB)


def test_a_cpu_worker_by_its_process() -> None:
    readings = taken("begin 100 4096", "proc 0a1b 4711 S 1000 2048", "done", "proc 0a1b 4711 R 1300 4096")
    sample = readings.of_worker("0a1b", "worker a", 1 << 31)
    assert sample is not None
    # 300 ticks of 10 ms within two seconds.
    assert (sample.utilisation_percent, sample.used_bytes, sample.total_bytes) == (150.0, 4096 * 4096, 1 << 31)
    assert readings.of_worker("other", "worker b", None) is None
    assert readings.uses["0a1b"].state == "R"
    # Another process under that id: nothing is known of how busy it was.
    readings.take(["proc", "0a1b", "4712", "S", "5", "10"], 20.0)
    assert readings.busy_percent == {}


@pytest.mark.parametrize("odd", ["nv", "nv x", f"nv {UUID}, 1", "proc a b c d e", "proc a 1 S -5 x", "", "begin x y"])
def test_odd_lines_are_no_readings(odd: str) -> None:
    readings = taken(odd)
    assert (readings.nvidia, readings.uses) == ({}, {})
    assert (readings.ticks_per_s, readings.page_bytes) == (100, 4096)


@settings(max_examples=examples.of(50), deadline=None)
@given(st.lists(st.lists(st.text(max_size=12), min_size=1, max_size=9), max_size=10))
def test_a_host_may_say_anything(lines: list[list[str]]) -> None:
    readings = FarReadings()
    for words in lines:
        readings.take(words, 1.0)
