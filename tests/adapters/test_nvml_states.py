"""NVIDIA cards that sleep, are cut into slices, or are refused: each is what it is, and none is woken or believed."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from hettui.adapters.gpu.nvml import NvmlSource
from hettui.adapters.gpu.pci_cards import REST_S
from hettui.domain.telemetry.readings import DeviceSample
from hettui.ports import TelemetryTarget
from tests.fake_nvml import Card, FakeNvml, three_cards
from tests.sysfs_trees import GIB, MIB, Tree, write

FIRST = TelemetryTarget("5080", "cuda", uuid="GPU-aaa", pci_address="0000:01:00.0")
SECOND = TelemetryTarget("3060", "cuda", uuid="GPU-bbb", pci_address="0000:04:00.0")


def on_bus(
    sys_root: Path, address: str, status: str = "active", control: str = "on", driver: str | None = "nvidia"
) -> Path:
    folder = sys_root / "bus/pci/devices" / address
    files = {"vendor": "0x10de", "class": "0x030000", "power/runtime_status": status, "power/control": control}
    write(folder, files)
    if driver is not None:
        target = sys_root / "bus/pci/drivers" / driver
        target.mkdir(parents=True, exist_ok=True)
        (folder / "driver").symlink_to(target)
    return folder


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def sys_root(tmp_path: Path) -> Path:
    return Tree(tmp_path).sys


# -- asleep ------------------------------------------------------------------------------------------------


def test_a_sleeping_card_is_not_asked_anything_until_something_of_ours_runs_there(sys_root: Path) -> None:
    folder = on_bus(sys_root, "0000:01:00.0", "suspended", "auto")
    nvml, clock = FakeNvml([three_cards().cards[1]]), Clock()
    source = NvmlSource(nvml, clock, sys_root)
    (listed,) = source.list_cards()
    assert (listed.id, listed.backend, listed.total_bytes) == ("pci:0000:01:00.0", "cuda", None)
    for _ in range(30):
        assert source.sample([FIRST]) == {"5080": DeviceSample(asleep=True)}
        clock.now_s += 1
    assert nvml.calls == 0
    ours = TelemetryTarget("5080", "cuda", pci_address="0000:01:00.0", pids=(77,))
    write(folder, {"power/runtime_status": "active"})
    assert source.sample([ours])["5080"].used_bytes == 2 * GIB


def test_beside_a_sleeping_card_only_the_others_are_asked(sys_root: Path) -> None:
    on_bus(sys_root, "0000:01:00.0", "suspended", "auto")
    on_bus(sys_root, "0000:04:00.0")
    nvml = three_cards()
    source = NvmlSource(nvml, Clock(), sys_root)
    assert [card.id for card in source.list_cards()] == ["pci:0000:01:00.0", "pci:0000:04:00.0"]
    found = source.sample([FIRST, SECOND])
    assert found["5080"] == DeviceSample(asleep=True)
    assert found["3060"].used_bytes == GIB
    assert not nvml.cards[1].asked


def test_an_idle_card_that_may_sleep_is_left_alone_so_that_it_can(sys_root: Path) -> None:
    on_bus(sys_root, "0000:01:00.0", "active", "auto")
    nvml, clock = FakeNvml([three_cards().cards[1]]), Clock()
    nvml.cards[0].says["UtilizationRates"] = SimpleNamespace(gpu=0)
    source = NvmlSource(nvml, clock, sys_root)
    first = source.sample([FIRST])
    asked = nvml.calls
    clock.now_s += REST_S - 1
    assert source.sample([FIRST]) == first
    assert nvml.calls == asked
    clock.now_s += 1
    source.sample([FIRST])
    assert nvml.calls > asked
    asked = nvml.calls
    source.sample([TelemetryTarget("5080", "cuda", pci_address="0000:01:00.0", pids=(7,))])
    assert nvml.calls > asked, "ours runs there: every round counts"


def test_a_busy_card_or_one_that_never_sleeps_is_read_every_round(sys_root: Path) -> None:
    on_bus(sys_root, "0000:01:00.0", "active", "on")
    nvml, clock = FakeNvml([three_cards().cards[1]]), Clock()
    nvml.cards[0].says["UtilizationRates"] = SimpleNamespace(gpu=0)
    source = NvmlSource(nvml, clock, sys_root)
    for _ in range(5):
        source.sample([FIRST])
        clock.now_s += 1
    assert nvml.cards[0].asked["MemoryInfo"] == 5


# -- slices ------------------------------------------------------------------------------------------------

WHOLE = {
    "MemoryInfo": SimpleNamespace(total=80 * GIB, used=GIB, free=79 * GIB),
    "MigMode": [1, 1],
    "MaxMigDeviceCount": 7,
    "Temperature": 34,
    "UtilizationRates": SimpleNamespace(gpu=3),
}


def test_a_card_that_is_cut_has_no_memory_of_its_own_to_give() -> None:
    nvml = FakeNvml([Card("NVIDIA H100 80GB HBM3", "GPU-hhh", "00000000:1A:00.0", dict(WHOLE))])
    source = NvmlSource(nvml, Clock())
    (card,) = source.list_cards()
    assert (card.id, card.total_bytes, card.free_bytes, card.uuid) == ("pci:0000:1a:00.0", None, None, None)
    sample = source.sample([TelemetryTarget("h100", "cuda", pci_address="0000:1a:00.0")])["h100"]
    assert (sample.used_bytes, sample.total_bytes, sample.temperature_c) == (None, None, 34)


def test_its_slices_are_devices_with_names_and_memory_of_their_own() -> None:
    parts = [
        Card(
            "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
            f"MIG-{n}",
            "00000000:1A:00.0",
            {"MemoryInfo": SimpleNamespace(total=9856 * MIB, used=68 * MIB, free=9788 * MIB)},
        )
        for n in range(2)
    ]
    says = WHOLE | {"MigDeviceHandleByIndex": lambda number: dict(enumerate(parts)).get(number)}
    source = NvmlSource(FakeNvml([Card("NVIDIA H100 80GB HBM3", "GPU-hhh", "00000000:1A:00.0", says)]), Clock())
    first, second = source.list_cards()
    assert (first.id, second.id) == ("uuid:MIG-0", "uuid:MIG-1")
    assert (first.total_bytes, first.free_bytes, first.temperature_c) == (9856 * MIB, 9788 * MIB, 34)
    assert first.name.endswith("MIG 1g.10gb")


# -- refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "remedy"), [(18, "reboot"), (4, "group"), (17, "container"), (999, "dmesg"), (77, "nvidia-smi")]
)
def test_a_driver_that_says_no_is_not_a_machine_without_cards(code: int, remedy: str) -> None:
    source = NvmlSource(FakeNvml(init_error=code))
    assert source.list_cards() == ()
    (problem,) = source.problems
    assert problem.startswith("NVIDIA's driver cannot be used: ")
    assert remedy in problem


@pytest.mark.parametrize("code", [9, 12])
def test_a_machine_without_cards_and_driver_has_no_problem(code: int, sys_root: Path) -> None:
    source = NvmlSource(FakeNvml(init_error=code), Clock(), sys_root)
    assert (source.list_cards(), source.problems) == ((), ())
    on_bus(sys_root, "0000:01:00.0")
    source = NvmlSource(FakeNvml(init_error=code), Clock(), sys_root)
    assert (source.list_cards(), len(source.problems)) == ((), 1)


@pytest.mark.parametrize(
    ("driver", "words"), [(None, "modprobe nvidia"), ("nouveau", "nouveau has it"), ("vfio-pci", "virtual machines")]
)
def test_a_card_that_another_driver_has_is_named(driver: str | None, words: str, sys_root: Path) -> None:
    on_bus(sys_root, "0000:01:00.0", driver=driver)
    source = NvmlSource(FakeNvml(init_error=9), Clock(), sys_root)
    assert source.list_cards() == ()
    (problem,) = source.problems
    assert "0000:01:00.0" in problem
    assert words in problem


def test_a_card_whose_handle_is_refused_is_named_as_lost_with_its_place(sys_root: Path) -> None:
    on_bus(sys_root, "0000:01:00.0")
    on_bus(sys_root, "0000:04:00.0")
    nvml = FakeNvml(three_cards().cards[:2], refused={0: 15})
    source = NvmlSource(nvml, Clock(), sys_root)
    assert [card.id for card in source.list_cards()] == ["pci:0000:01:00.0"]
    (problem,) = source.problems
    assert problem.startswith("NVIDIA card 1 of 2 at 0000:04:00.0: it is lost, it fell off the bus")
    nvml.refused.clear()
    assert len(source.list_cards()) == 2
    assert source.problems == ()


def test_a_card_that_is_lost_behind_its_handle_says_so() -> None:
    nvml = three_cards()
    nvml.cards[0].lost = True
    (lost,) = [card for card in NvmlSource(nvml).list_cards() if card.trouble]
    assert lost.trouble == "it fell off the bus: see dmesg"
    assert lost.id == "nvml:0"


def test_without_the_library_its_module_is_not_read(sys_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hettui.adapters.gpu.nvml._has_library", lambda: False)
    # Whoever imports it all the same gets an ImportError.
    monkeypatch.setitem(sys.modules, "pynvml", None)
    source = NvmlSource(sys_root=sys_root)
    assert source.list_cards() == ()
    assert source.problems == ()


def test_with_a_card_there_the_library_is_missed(sys_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_bus(sys_root, "0000:01:00.0")
    monkeypatch.setattr("hettui.adapters.gpu.nvml._has_library", lambda: False)
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml([], init_error=12))
    source = NvmlSource(sys_root=sys_root)
    assert source.list_cards() == ()
    assert any("libnvidia-ml" in problem for problem in source.problems)
