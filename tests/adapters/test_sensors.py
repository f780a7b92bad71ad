"""Sensors and discovery: what is missing is None, and a card is the same card under each of its names."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields, replace
from types import SimpleNamespace

import pytest

from hettui.adapters.gpu.nvml import LOOK_AGAIN_S, NvmlSource
from hettui.adapters.llama import discovery
from hettui.adapters.llama.binaries import EngineDevice, Listing
from hettui.adapters.machine.psutil_host import ProcessSource, cpu_hardware
from hettui.domain.devices.report import hardware_json, hardware_text
from hettui.domain.errors import EngineError
from hettui.domain.telemetry.readings import DeviceSample, Holder, Link, Throttle
from hettui.ports import TelemetryTarget
from tests.fake_nvml import NOT_SUPPORTED, UNKNOWN, FakeNvml, NVMLError, three_cards
from tests.fakes import ENGINE

GIB = 1 << 30


def test_cards_are_listed_in_pci_order() -> None:
    cards = NvmlSource(three_cards()).list_cards()
    assert [c.id for c in cards] == ["pci:0000:01:00.0", "pci:0000:04:00.0", "pci:000a:05:00.0"]
    assert (cards[0].total_bytes, cards[0].free_bytes, cards[0].pcie_link) == (16 * GIB, 14 * GIB, "gen5 x16")
    assert (cards[2].name, cards[2].total_bytes, cards[2].temperature_c) == ("GTX 1660 SUPER", None, None)


class Clock:
    """A monotonic clock that stands still."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


FIRST = TelemetryTarget("5080", "cuda", uuid="gpu-AAA", pids=(77,))
SECOND = TelemetryTarget("3060", "cuda", uuid="GPU-bbb")


def test_every_reading_of_a_card_that_tells_all() -> None:
    nvml = three_cards()
    nvml.process_names = {77: b"/opt/llama/llama-server -m x", 5: "\x1b[31mXorg"}
    assert NvmlSource(nvml).sample([FIRST]) == {
        "5080": DeviceSample(
            used_bytes=2 * GIB,
            total_bytes=16 * GIB,
            own_bytes=GIB,
            holders=(Holder(77, "llama-server", GIB), Holder(5, "Xorg", GIB // 2)),
            utilisation_percent=87,
            temperature_c=61,
            memory_temperature_c=72,
            slowdown_c=90,
            shutdown_c=95,
            fan_percent=41,
            power_w=215.5,
            power_limit_w=360.0,
            clock_mhz=2400,
            clock_max_mhz=2900,
            throttles=(Throttle.POWER_LIMIT,),
            link_now=Link(5, 16),
            link_max=Link(5, 16),
            received_bytes_per_s=450e6,
            sent_bytes_per_s=120e6,
            ecc_errors=0,
            energy_j=9500.0,
        )
    }


def test_an_older_driver_does_not_tell_its_reserve() -> None:
    nvml = three_cards()
    new = SimpleNamespace(total=16 * GIB, used=GIB, free=14 * GIB, reserved=GIB)
    old = nvml.cards[1].says["MemoryInfo"]
    nvml.cards[1].says["MemoryInfo"] = lambda *version: new if version else old
    assert NvmlSource(nvml).sample([FIRST])["5080"].used_bytes == GIB

    def refuse(*version: int) -> object:
        if version:
            raise NVMLError(NOT_SUPPORTED)
        return old

    nvml.cards[1].says["MemoryInfo"] = refuse
    assert NvmlSource(nvml).sample([FIRST])["5080"].used_bytes == 2 * GIB


def test_dear_readings_are_taken_rarely_and_unsupported_ones_once() -> None:
    nvml, clock = three_cards(), Clock()
    source = NvmlSource(nvml, clock)
    card, little = nvml.cards[1], nvml.cards[2]
    for _ in range(20):
        source.sample([FIRST, TelemetryTarget("little", "cuda", pci_address="000a:05:00.0")])
        clock.now_s += 1.0
    assert card.asked["MemoryInfo"] == card.asked["CurrentClocksEventReasons"] == 20
    assert card.asked["PowerUsage"] == 10
    assert card.asked["UtilizationRates"] == 20  # ours compute on it
    assert card.asked["PcieThroughput"] == 4
    assert card.asked["TemperatureThreshold"] == 2
    assert little.asked["UtilizationRates"] == 1
    assert little.asked["MemoryInfo"] == 2


def test_a_card_at_rest_is_asked_less_until_somebody_takes_memory() -> None:
    nvml, clock = three_cards(), Clock()
    card = nvml.cards[1]
    card.says["UtilizationRates"] = SimpleNamespace(gpu=0)
    source = NvmlSource(nvml, clock)
    for _ in range(20):
        source.sample([FIRST])
        clock.now_s += 1.0
    assert card.asked["UtilizationRates"] == 5
    card.says["MemoryInfo"] = SimpleNamespace(total=16 * GIB, used=3 * GIB, free=13 * GIB)
    card.says["UtilizationRates"] = SimpleNamespace(gpu=90)
    clock.now_s -= 1.0
    assert source.sample([FIRST])["5080"].utilisation_percent == 90


def test_who_computes_on_a_card_is_read_every_second() -> None:
    nvml, clock = three_cards(), Clock()
    card = nvml.cards[1]
    source = NvmlSource(nvml, clock)
    ours = replace(FIRST, pids=(77,))
    entries = {"now": [SimpleNamespace(pid=77, timeStamp=1, smUtil=20)]}
    card.says["ProcessUtilization"] = lambda since: [e for e in entries["now"] if e.timeStamp > since]
    assert source.sample([ours])["5080"].own_busy_percent is None  # as old as the driver remembers
    entries["now"] = [SimpleNamespace(pid=77, timeStamp=2, smUtil=p) for p in (18, 22)]
    entries["now"] += [SimpleNamespace(pid=5, timeStamp=2, smUtil=60)]
    clock.now_s += 1.0
    sample = source.sample([ours])["5080"]
    assert (sample.own_busy_percent, sample.others_busy_percent) == (20, 60)
    assert card.asked["UtilizationRates"] >= 2
    # Nobody whom the driver names is ours: it counts pids of another namespace.
    card.says["ComputeRunningProcesses"] = []
    clock.now_s += 4.0
    entries["now"] = [SimpleNamespace(pid=5, timeStamp=3, smUtil=60)]
    source.sample([ours])
    clock.now_s += 1.0
    entries["now"] = [SimpleNamespace(pid=5, timeStamp=4, smUtil=60)]
    sample = source.sample([ours])["5080"]
    assert (sample.own_busy_percent, sample.others_busy_percent) == (None, None)
    # Without processes of ours nothing is told of them.
    clock.now_s += 1.0
    assert source.sample([FIRST])["5080"].others_busy_percent is None


def test_who_computed_is_forgotten_when_the_card_rests() -> None:
    nvml, clock = three_cards(), Clock()
    card = nvml.cards[1]
    source = NvmlSource(nvml, clock)
    ours, time_us = replace(FIRST, pids=(77,)), iter(range(1, 99))
    card.says["ProcessUtilization"] = lambda since: [
        SimpleNamespace(pid=pid, timeStamp=next(time_us), smUtil=percent) for pid, percent in ((77, 20), (5, 60))
    ]
    for _ in range(3):
        sample = source.sample([ours])["5080"]
        clock.now_s += 1.0
    assert sample.others_busy_percent == 60
    card.says["UtilizationRates"] = SimpleNamespace(gpu=0)
    for _ in range(5):
        sample = source.sample([ours])["5080"]
        clock.now_s += 1.0
    assert (sample.own_busy_percent, sample.others_busy_percent) == (0, 0)


def test_an_idle_card_is_not_asked_for_its_throughput() -> None:
    nvml = three_cards()
    nvml.cards[1].says["UtilizationRates"] = SimpleNamespace(gpu=0)
    sample = NvmlSource(nvml).sample([FIRST])["5080"]
    assert sample.received_bytes_per_s is None
    assert nvml.cards[1].asked["PcieThroughput"] == 0


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        (0, ()),
        (0x1 | 0x2 | 0x100, ()),
        (0x4, (Throttle.POWER_LIMIT,)),
        (0x8, (Throttle.SLOWDOWN,)),
        (0x8 | 0x40, (Throttle.HOT_HARDWARE,)),
        (0x8 | 0x80, (Throttle.POWER_BRAKE,)),
        (0x20 | 0x4, (Throttle.HOT, Throttle.POWER_LIMIT)),
        (0x10, (Throttle.SYNC,)),
    ],
)
def test_the_reasons_for_low_clocks_in_words(bits: int, words: tuple[Throttle, ...]) -> None:
    nvml = three_cards()
    nvml.cards[1].says["CurrentClocksEventReasons"] = bits
    assert NvmlSource(nvml).sample([FIRST])["5080"].throttles == words


def test_an_older_driver_has_another_name_for_the_reasons() -> None:
    nvml = three_cards()
    del nvml.cards[1].says["CurrentClocksEventReasons"]
    nvml.cards[1].says["CurrentClocksThrottleReasons"] = 0x20
    assert NvmlSource(nvml).sample([FIRST])["5080"].throttles == (Throttle.HOT,)


READINGS = [
    "MemoryInfo", "ComputeRunningProcesses", "UtilizationRates", "Temperature", "TemperatureThreshold", "FanSpeed",
    "PowerUsage", "EnforcedPowerLimit", "ClockInfo", "MaxClockInfo", "CurrentClocksEventReasons", "CurrPcieLinkWidth",
    "MaxPcieLinkGeneration", "PcieThroughput", "TotalEccErrors", "TotalEnergyConsumption", "FieldValues",
]  # fmt: skip


@pytest.mark.parametrize("code", [NOT_SUPPORTED, UNKNOWN])
@pytest.mark.parametrize("missing", READINGS)
def test_one_reading_that_fails_is_none_and_takes_no_other_with_it(missing: str, code: int) -> None:
    nvml = three_cards()
    everything = NvmlSource(nvml).sample([FIRST])["5080"]
    nvml.cards[1].says[missing] = NVMLError(code)
    found = NvmlSource(nvml).sample([FIRST])["5080"]
    differing = {f.name for f in fields(found) if getattr(found, f.name) != getattr(everything, f.name)}
    assert differing
    assert len(differing) <= 3
    # Without the utilisation nobody knows whether the throughput is worth asking for.
    assert all(getattr(found, name) is None for name in differing)


def test_what_a_card_does_not_tell_is_none_and_zero_stays_zero() -> None:
    source = NvmlSource(three_cards())
    found = source.sample([TelemetryTarget("little", "cuda", pci_address="000A:05:00.0")])
    assert found == {"little": DeviceSample()}
    found = source.sample([TelemetryTarget("cold", "cuda", pci_address="0000:04:00.0")])
    assert found["cold"].temperature_c == 0
    assert found["cold"].power_w is None


def test_a_lost_card_says_so_takes_no_other_with_it_and_may_come_back() -> None:
    nvml, clock = three_cards(), Clock()
    source = NvmlSource(nvml, clock)
    source.sample([SECOND, FIRST])
    nvml.cards[0].lost = True
    for _ in range(3):
        found = source.sample([SECOND, FIRST])
        assert found["3060"] == DeviceSample(lost="it fell off the bus")
        assert found["5080"].used_bytes == 2 * GIB
        clock.now_s += 1
    nvml.cards[0].lost = False
    assert source.sample([SECOND])["3060"].lost
    clock.now_s += LOOK_AGAIN_S
    assert source.sample([SECOND])["3060"].used_bytes == GIB
    assert nvml.inits == 2


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
    monkeypatch.setattr(discovery, "list_devices", lambda *_: Listing(devices))


def test_cuda_names_follow_the_pci_order(monkeypatch: pytest.MonkeyPatch) -> None:
    listing(monkeypatch, *(EngineDevice(f"CUDA{i}", "card", GIB, GIB) for i in range(3)))
    found = discovery.discover(ENGINE, NvmlSource(three_cards()), (), {}).hardware
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
    found = discovery.discover(ENGINE, NvmlSource(three_cards()), (), {}).hardware
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
    found = discovery.discover(ENGINE, NvmlSource(three_cards()))
    assert (len(found.hardware), found.problems) == (4, ("hangs",))
    assert len(discovery.discover(None, NvmlSource(FakeNvml(driver=False))).hardware) == 1


def test_the_table_is_narrow_and_says_what_is_not_known() -> None:
    cards = NvmlSource(three_cards()).list_cards()
    text = hardware_text(cards)
    assert max(map(len, text.splitlines())) <= 110
    assert "–" in text.splitlines()[-1]
    assert "\x1b" not in text
    document = hardware_json(cards)
    assert isinstance(document["devices"], list)
    assert document["devices"][0]["free_bytes"] == 14 * GIB
