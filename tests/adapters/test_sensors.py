"""Sensors and discovery: what is missing is None, and a card is the same card under each of its names."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hettui.adapters import discovery
from hettui.adapters.binaries import EngineDevice
from hettui.adapters.nvml import NvmlSource
from hettui.adapters.psutil_host import ProcessSource, cpu_hardware
from hettui.domain.errors import EngineError
from hettui.domain.hardware_report import hardware_json, hardware_text
from hettui.domain.telemetry import DeviceSample, Link
from hettui.ports import TelemetryTarget
from tests.fake_nvml import FakeNvml, three_cards
from tests.fakes import ENGINE

GIB = 1 << 30


def test_cards_are_listed_in_pci_order() -> None:
    cards = NvmlSource(three_cards()).list_cards()
    assert [c.id for c in cards] == ["pci:0000:01:00.0", "pci:0000:04:00.0", "pci:000a:05:00.0"]
    assert (cards[0].total_bytes, cards[0].free_bytes, cards[0].pcie_link) == (16 * GIB, 14 * GIB, "gen5 x16")
    assert (cards[2].name, cards[2].total_bytes, cards[2].temperature_c) == ("GTX 1660 SUPER", None, None)


def test_every_reading_of_a_card_that_tells_all() -> None:
    target = TelemetryTarget("5080", "cuda", uuid="gpu-AAA", pids=(77,))
    assert NvmlSource(three_cards()).sample([target]) == {
        "5080": DeviceSample(
            used_bytes=2 * GIB,
            total_bytes=16 * GIB,
            own_bytes=GIB,
            utilisation_percent=87,
            temperature_c=61,
            slowdown_c=90,
            power_w=215.5,
            power_limit_w=360.0,
            link_now=Link(5, 16),
            link_max=Link(5, 16),
        )
    }


def test_what_a_card_does_not_tell_is_none_and_zero_stays_zero() -> None:
    source = NvmlSource(three_cards())
    found = source.sample([TelemetryTarget("little", "cuda", pci_address="000A:05:00.0")])
    assert found == {"little": DeviceSample()}
    found = source.sample([TelemetryTarget("cold", "cuda", pci_address="0000:04:00.0")])
    assert found["cold"].temperature_c == 0
    assert found["cold"].power_w is None


def test_a_lost_card_takes_no_other_with_it() -> None:
    nvml = three_cards()
    source = NvmlSource(nvml)
    targets = [TelemetryTarget(n, "cuda", uuid=u) for n, u in (("3060", "GPU-bbb"), ("5080", "GPU-aaa"))]
    source.sample(targets)
    nvml.cards[0].lost = True
    found = source.sample(targets)
    assert found["3060"] == DeviceSample()
    assert found["5080"].used_bytes == 2 * GIB


def test_a_card_that_is_not_there_has_no_sample() -> None:
    assert NvmlSource(three_cards()).sample([TelemetryTarget("x", "cuda", uuid="GPU-zzz")]) == {}


def test_without_a_driver_there_are_no_cards() -> None:
    source = NvmlSource(FakeNvml(driver=False))
    assert source.list_cards() == ()
    assert source.sample([TelemetryTarget("x", "cuda", uuid="GPU-aaa")]) == {}
    source.close()


def test_a_process_of_ours_is_measured_and_a_dead_one_is_unknown() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    source = ProcessSource()
    targets = [
        TelemetryTarget("mine", "cpu", pids=(os.getpid(), child.pid), budget_bytes=GIB),
        TelemetryTarget("idle", "cpu"),
        TelemetryTarget("card", "cuda", pids=(os.getpid(),)),
    ]
    found = source.sample(targets)
    assert set(found) == {"mine", "idle"}
    both = found["mine"].used_bytes
    assert both is not None
    assert both > 10 * 1024 * 1024
    assert found["mine"].total_bytes == GIB
    assert found["idle"].used_bytes is None
    assert found["idle"].utilisation_percent is None
    child.communicate()
    alone = source.sample(targets)["mine"].used_bytes
    assert alone is not None
    assert alone < both
    gone = source.sample([TelemetryTarget("mine", "cpu", pids=(child.pid,))])
    assert gone["mine"].used_bytes is None


def test_the_cpu_is_a_device_with_the_machines_memory() -> None:
    cpu = cpu_hardware()
    assert (cpu.id, cpu.backend, cpu.engine_name) == ("cpu", "cpu", "CPU")
    assert cpu.total_bytes is not None
    assert cpu.free_bytes is not None
    assert 0 < cpu.free_bytes <= cpu.total_bytes


def listing(monkeypatch: pytest.MonkeyPatch, *devices: EngineDevice) -> None:
    monkeypatch.setattr(discovery, "list_devices", lambda *_: devices)


def test_cuda_names_follow_the_pci_order(monkeypatch: pytest.MonkeyPatch) -> None:
    listing(monkeypatch, *(EngineDevice(f"CUDA{i}", "card", GIB, GIB) for i in range(3)))
    found = discovery.discover(ENGINE, NvmlSource(three_cards()))
    assert [(h.engine_name, h.id) for h in found] == [
        ("CUDA0", "pci:0000:01:00.0"),
        ("CUDA1", "pci:0000:04:00.0"),
        ("CUDA2", "pci:000a:05:00.0"),
        ("CPU", "cpu"),
    ]


def test_a_vulkan_build_names_the_same_cards_once(monkeypatch: pytest.MonkeyPatch) -> None:
    listing(
        monkeypatch,
        EngineDevice("Vulkan0", "NVIDIA GeForce RTX 5080", 16 * GIB, 14 * GIB),
        EngineDevice("Vulkan1", "AMD Radeon RX 7600", 8 * GIB, 8 * GIB),
    )
    found = discovery.discover(ENGINE, NvmlSource(three_cards()))
    assert [(h.engine_name, h.backend) for h in found] == [
        ("Vulkan0", "vulkan"),
        (None, "cuda"),
        (None, "cuda"),
        ("Vulkan1", "vulkan"),
        ("CPU", "cpu"),
    ]


def test_an_engine_that_fails_leaves_what_the_driver_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise EngineError("hangs")

    monkeypatch.setattr(discovery, "list_devices", fail)
    assert len(discovery.discover(ENGINE, NvmlSource(three_cards()))) == 4
    assert len(discovery.discover(None, NvmlSource(FakeNvml(driver=False)))) == 1


def test_the_table_is_narrow_and_says_what_is_not_known() -> None:
    cards = NvmlSource(three_cards()).list_cards()
    text = hardware_text(cards)
    assert max(map(len, text.splitlines())) <= 110
    assert "–" in text.splitlines()[-1]
    assert "\x1b" not in text
    document = hardware_json(cards)
    assert isinstance(document["devices"], list)
    assert document["devices"][0]["free_bytes"] == 14 * GIB
