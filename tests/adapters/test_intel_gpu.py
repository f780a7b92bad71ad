"""Intel cards by sysfs: what i915 and xe tell, power from their energy counter, the link of the slot."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from hettui.adapters.gpu.intel_gpu import IntelGpuSource
from hettui.domain.telemetry.readings import DeviceSample, Holder, Link, Throttle
from hettui.ports import TelemetryTarget
from tests.sysfs_trees import GIB, INTEL_WAY, MIB, Tree, arc_b580, client, unreadable, write

ADDRESS = INTEL_WAY[-1]
CARD = TelemetryTarget("arc", "vulkan", pci_address=ADDRESS)


@dataclass
class Watch:
    """A clock that is set by hand."""

    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@pytest.fixture
def watch() -> Watch:
    return Watch()


def one(source: IntelGpuSource, target: TelemetryTarget = CARD) -> DeviceSample:
    return source.sample([target])[target.name]


def test_every_reading_of_a_discrete_card(tree: Tree, watch: Watch) -> None:
    device = arc_b580(tree)
    source = IntelGpuSource(tree.sys, tree.proc, watch)
    first = one(source)
    assert (first.power_w, first.energy_j) == (None, 5.0)
    watch.now_s += 2.0
    write(device, {"hwmon/hwmon4/energy1_input": "245000000"})
    assert one(source) == DeviceSample(
        total_bytes=12 * GIB,
        temperature_c=58.0,
        memory_temperature_c=66.0,
        slowdown_c=100.0,
        shutdown_c=125.0,
        power_w=120.0,
        power_limit_w=190.0,
        clock_mhz=2650,
        clock_max_mhz=2850,
        throttles=(),
        # Its own port says 2.5 GT/s x1, whatever the slot gives.
        link_now=Link(4, 8),
        link_max=Link(4, 8),
        energy_j=245.0,
    )


@pytest.mark.parametrize(
    ("after_s", "energy_uj"),
    [
        (1.0, "4000000"),  # the driver was loaded anew
        (0.01, "6000000"),  # too soon
        (1.0, "9000000000000"),  # 9 MW
        (1.0, "-5"),
        (1.0, ""),
    ],
)
def test_a_power_that_cannot_be_known_is_none(tree: Tree, watch: Watch, after_s: float, energy_uj: str) -> None:
    device = arc_b580(tree)
    source = IntelGpuSource(tree.sys, tree.proc, watch)
    one(source)
    watch.now_s += after_s
    write(device, {"hwmon/hwmon4/energy1_input": energy_uj})
    assert one(source).power_w is None


def test_a_board_that_counts_the_energy_of_its_chip_only(tree: Tree, watch: Watch) -> None:
    device = arc_b580(tree)
    hwmon = device / "hwmon/hwmon4"
    (hwmon / "energy1_input").rename(hwmon / "energy2_input")
    (hwmon / "power1_max").rename(hwmon / "power2_max")
    source = IntelGpuSource(tree.sys, tree.proc, watch)
    one(source)
    watch.now_s += 1.0
    write(hwmon, {"energy2_input": "55000000", "power2_max": "0"})
    sample = one(source)
    assert (sample.power_w, sample.power_limit_w) == (50.0, 190.0)
    # 0 is "no limit"; read again in the tenth round.
    for _ in range(9):
        sample = one(source)
    assert sample.power_limit_w is None


@pytest.mark.parametrize(
    ("files", "reasons"),
    [
        ({"status": "1", "reason_thermal": "1"}, (Throttle.HOT,)),
        ({"status": "1", "reason_pl1": "1", "reason_prochot": "1"}, (Throttle.POWER_LIMIT, Throttle.SLOWDOWN)),
        ({"status": "1", "reason_new": "1"}, (Throttle.SLOWDOWN,)),
        ({"status": "1"}, (Throttle.SLOWDOWN,)),
        ({"status": "0", "reason_thermal": "1"}, ()),
        ({"status": "maybe"}, None),
    ],
)
def test_why_the_clocks_are_held_down(
    tree: Tree, watch: Watch, files: dict[str, str | bytes], reasons: tuple[Throttle, ...] | None
) -> None:
    device = arc_b580(tree)
    write(device / "tile0/gt0/freq0/throttle", files)
    assert one(IntelGpuSource(tree.sys, tree.proc, watch)).throttles == reasons


def test_a_card_with_the_older_driver(tree: Tree, watch: Watch) -> None:
    device = tree.card(
        1,
        (ADDRESS,),
        "i915",
        {
            "vendor": "0x8086",
            "device": "0x56a0",
            "hwmon/hwmon2/temp1_input": "51000",
            "hwmon/hwmon2/energy1_input": "1000",
            "current_link_speed": "2.5 GT/s PCIe",
            "current_link_width": "1",
        },
    )
    node = device / "drm/card1"
    write(node, {"gt_act_freq_mhz": "300", "gt_RP0_freq_mhz": "2400", "lmem_total_bytes": str(16 * GIB)})
    source = IntelGpuSource(tree.sys, tree.proc, watch)
    assert one(source) == DeviceSample(
        total_bytes=16 * GIB, temperature_c=51.0, clock_mhz=300, clock_max_mhz=2400, energy_j=0.001
    )
    folder = {"rps_act_freq_mhz": "0", "rps_RP0_freq_mhz": "2450", "throttle_reason_status": "1"}
    write(node / "gt/gt0", {**folder, "throttle_reason_pl2": "1", "throttle_reason_ratl": "0"})
    sample = one(IntelGpuSource(tree.sys, tree.proc, watch))
    assert (sample.clock_mhz, sample.clock_max_mhz) == (0, 2450)
    assert sample.throttles == (Throttle.POWER_LIMIT,)


def test_a_processors_graphics_tells_little(tree: Tree, watch: Watch) -> None:
    tree.card(0, ("0000:00:02.0",), "i915", {"vendor": "0x8086", "device": "0x4692"})
    source = IntelGpuSource(tree.sys, tree.proc, watch)
    target = TelemetryTarget("igpu", "vulkan", pci_address="0000:00:02.0")
    assert source.sample([target]) == {"igpu": DeviceSample()}
    (card,) = source.list_cards()
    assert (card.name, card.total_bytes, card.pcie_link) == ("Intel GPU [8086:4692]", None, None)


def test_our_memory_by_the_words_of_both_drivers(tree: Tree, watch: Watch) -> None:
    arc_b580(tree)
    xe = client(ADDRESS, 1, total_vram0="9 GiB", resident_vram0="3 GiB", resident_gtt="8 GiB", resident_system="1 GiB")
    i915 = client(ADDRESS, 2, resident_local0="5 MiB", resident_system0="6 MiB", resident_stolen_local0="7 MiB")
    tree.process(77, "llama-server", [xe, i915])
    target = TelemetryTarget("arc", "sycl", pci_address=ADDRESS, pids=(77,))
    sample = one(IntelGpuSource(tree.sys, tree.proc, watch), target)
    assert sample.own_bytes == 3 * GIB + 5 * MIB
    assert sample.holders == (Holder(77, "llama-server", 3 * GIB + 5 * MIB),)
    assert sample.used_bytes is None


def test_a_card_in_trouble(tree: Tree, watch: Watch) -> None:
    device = arc_b580(tree)
    source = IntelGpuSource(tree.sys, tree.proc, watch)
    assert one(source).lost is None
    unreadable(device / "hwmon/hwmon4/temp2_input")
    sample = one(source)
    assert (sample.temperature_c, sample.memory_temperature_c, sample.lost) == (None, 66.0, None)
    unreadable(device / "hwmon/hwmon4/energy1_input")
    unreadable(device / "tile0/gt0/freq0/act_freq")
    lost = one(source)
    assert lost == DeviceSample(lost=lost.lost)
    assert lost.lost is not None
    assert "does not answer" in lost.lost
    (device / "driver").unlink()
    reasons = {one(source).lost for _ in range(10)}
    assert any(reason is not None and "let go" in reason for reason in reasons)
    shutil.rmtree(device)
    gone = one(source).lost
    assert gone is not None
    assert "PCI bus" in gone


def test_the_list_of_cards(tree: Tree, watch: Watch) -> None:
    arc_b580(tree)
    write(
        tree.root,
        {
            "usr/share/hwdata/pci.ids": "8086  Intel Corporation\n\te20b  Battlemage G21 [Arc B580]\n"
            "8087  Other\n\te20b  No"
        },
    )
    (card,) = IntelGpuSource(tree.sys, tree.proc, watch).list_cards()
    assert (card.id, card.name, card.backend) == (f"pci:{ADDRESS}", "Intel Arc B580", "sycl")
    assert (card.total_bytes, card.free_bytes, card.temperature_c) == (12 * GIB, None, 58)
    assert (card.pcie_link, card.driver) == ("gen4 x8", "xe")
