"""AMD cards by sysfs: every reading from its file, nothing from a file that is not there or cannot be true."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from hettui.adapters.gpu.amdgpu import AmdGpuSource
from hettui.adapters.gpu.amdgpu_metrics import Evidence, throttles
from hettui.adapters.gpu.pci_cards import REST_S
from hettui.domain.telemetry.readings import DeviceSample, Holder, Link, Throttle
from hettui.ports import TelemetryTarget
from tests.sysfs_trees import AMD_WAY, GIB, MIB, Tree, client, metrics, rx_7900, unreadable, write

ADDRESS = AMD_WAY[-1]
CARD = TelemetryTarget("big", "rocm", pci_address=ADDRESS)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def source_of(tree: Tree) -> AmdGpuSource:
    return AmdGpuSource(tree.sys, tree.proc)


def one(source: AmdGpuSource, target: TelemetryTarget = CARD) -> DeviceSample:
    return source.sample([target])[target.name]


def test_every_reading_of_a_discrete_card(tree: Tree) -> None:
    rx_7900(tree)
    assert one(source_of(tree)) == DeviceSample(
        used_bytes=5 * GIB,
        total_bytes=24560 * MIB,
        utilisation_percent=97,
        temperature_c=84.0,
        memory_temperature_c=78.0,
        slowdown_c=110.0,
        shutdown_c=115.0,
        fan_percent=40.0,
        power_w=287.0,
        power_limit_w=339.0,
        clock_mhz=2412.0,
        clock_max_mhz=2526.0,
        throttles=(),
        # The chip's own link is the one inside the card, gen4 x16.
        link_now=Link(3, 8),
        link_max=Link(4, 8),
        ecc_errors=3,
    )


def test_without_the_junction_the_edge_counts_with_its_own_thresholds(tree: Tree) -> None:
    device = rx_7900(tree)
    (device / "hwmon/hwmon3/temp2_label").unlink()
    sample = one(source_of(tree))
    assert (sample.temperature_c, sample.slowdown_c, sample.shutdown_c) == (61.0, 100.0, 105.0)


def test_older_drivers_have_other_files(tree: Tree) -> None:
    device = rx_7900(tree, way=("0000:00:02.0", "0000:03:00.0", "0000:04:00.0", "0000:05:00.0"))
    hwmon = device / "hwmon/hwmon3"
    for label in hwmon.glob("*_label"):
        label.unlink()
    (hwmon / "power1_average").rename(hwmon / "power1_input")
    (device / "gpu_metrics").unlink()
    sample = one(source_of(tree), TelemetryTarget("big", "rocm", pci_address="0000:05:00.0"))
    assert (sample.temperature_c, sample.slowdown_c, sample.power_w) == (61.0, None, 287.0)
    assert sample.clock_mhz == 2410.0
    assert sample.throttles is None


def test_a_card_without_a_switch_has_its_own_link(tree: Tree) -> None:
    tree.port(("0000:00:03.0",), 0x1022, 0x14DB, max_link_speed="8.0 GT/s PCIe", max_link_width="16")
    own = {"current_link_speed": "2.5 GT/s PCIe", "current_link_width": "16"}
    most = {"max_link_speed": "8.0 GT/s PCIe", "max_link_width": "16"}
    tree.card(0, ("0000:00:03.0", ADDRESS), "amdgpu", {"vendor": "0x1002", "device": "0x67df", **own, **most})
    sample = one(source_of(tree))
    assert (sample.link_now, sample.link_max) == (Link(1, 16), Link(3, 16))


def test_vegas_bridges_have_the_number_of_the_processor_maker(tree: Tree) -> None:
    way = ("0000:00:01.0", "0000:01:00.0", "0000:02:00.0", ADDRESS)
    narrow = {"current_link_speed": "8.0 GT/s PCIe", "current_link_width": "4"}
    tree.port(way[:1], 0x1022, 0x1453, **narrow)
    tree.port(way[:2], 0x1022, 0x1470, **narrow)
    tree.port(way[:3], 0x1022, 0x1471)
    wide = {"current_link_speed": "8.0 GT/s PCIe", "current_link_width": "16"}
    tree.card(0, way, "amdgpu", {"vendor": "0x1002", "device": "0x687f", **wide})
    assert one(source_of(tree)).link_now == Link(3, 4)


@pytest.mark.parametrize(("speed", "width"), [("Unknown", "16"), ("8.0 GT/s PCIe", "0"), ("9.9 GT/s", "3"), ("", "")])
def test_a_link_that_is_not_known_is_none(tree: Tree, speed: str, width: str) -> None:
    tree.card(0, (ADDRESS,), "amdgpu", {"vendor": "0x1002", "current_link_speed": speed, "current_link_width": width})
    assert one(source_of(tree)).link_now is None


def test_an_apu_without_memory_files(tree: Tree) -> None:
    tree.card(
        0,
        ("0000:00:08.1", "0000:c4:00.0"),
        "amdgpu",
        {
            "vendor": "0x1002",
            "device": "0x15bf",
            "gpu_busy_percent": "12",
            "gpu_metrics": metrics(0, (2, 3), 152),
            "hwmon/hwmon1/temp1_label": "edge",
            "hwmon/hwmon1/temp1_input": "45000",
        },
    )
    source = source_of(tree)
    target = TelemetryTarget("apu", "vulkan", pci_address="0000:C4:00.0")
    assert source.sample([target])["apu"] == DeviceSample(utilisation_percent=12, temperature_c=45.0)
    assert [(card.total_bytes, card.free_bytes) for card in source.list_cards()] == [(None, None)]


def test_an_apus_memory_is_what_it_has_and_what_it_borrows(tree: Tree) -> None:
    device = rx_7900(tree)
    write(device, {"hwmon/hwmon3/in1_label": "vddnb"})
    texts = [client(ADDRESS, 1, memory_vram="1024 KiB", memory_gtt="4096 KiB")]
    tree.process(77, "llama-server", texts)
    sample = one(source_of(tree), TelemetryTarget("big", "rocm", pci_address=ADDRESS, pids=(77,)))
    assert (sample.used_bytes, sample.total_bytes) == (6 * GIB, 24560 * MIB + 64 * GIB)
    assert sample.own_bytes == 5 * MIB


def test_nonsense_is_none_and_zero_is_zero(tree: Tree) -> None:
    device = rx_7900(tree)
    hwmon = "hwmon/hwmon3/"
    write(
        device,
        {
            "mem_info_vram_used": "-1",
            "mem_info_vram_total": "99999999999999999999999999",
            "gpu_busy_percent": "255",
            "pp_dpm_sclk": "\x1b[31mfast\n9: 99999999999Mhz *\n\x00",
            "gpu_metrics": b"\xff" * 4096,
            "ras/umc_err_count": "ue: -3",
            "ras/gfx_err_count": "none",
            f"{hwmon}temp2_input": "0",
            f"{hwmon}temp2_crit": "-273150",
            f"{hwmon}temp2_emergency": "0",
            f"{hwmon}temp3_input": "1_000",
            f"{hwmon}power1_average": "18446744073709551615",
            f"{hwmon}power1_cap": "0",
            f"{hwmon}pwm1": "300",
            f"{hwmon}freq1_input": b"\xff\xfe" * 5000,
        },
    )
    assert one(source_of(tree)) == DeviceSample(
        utilisation_percent=None, temperature_c=0.0, link_now=Link(3, 8), link_max=Link(4, 8)
    )


def test_what_cannot_be_read_is_none(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    device = rx_7900(tree)
    unreadable(device / "gpu_busy_percent")
    unreadable(device / "mem_info_vram_used")
    really = os.open

    def refused(path: str, flags: int, *rest: int) -> int:
        if path.endswith(("power1_average", "gpu_metrics")):
            raise OSError(errno.EPERM, "Operation not permitted")
        return really(path, flags, *rest)

    monkeypatch.setattr(os, "open", refused)
    sample = one(source_of(tree))
    assert (sample.utilisation_percent, sample.used_bytes, sample.power_w, sample.throttles) == (None,) * 4
    assert (sample.temperature_c, sample.total_bytes, sample.lost) == (84.0, 24560 * MIB, None)


def test_a_card_that_vanishes_is_lost_and_comes_back(tree: Tree) -> None:
    device = rx_7900(tree)
    source = source_of(tree)
    assert one(source).lost is None
    away = tree.root / "away"
    shutil.move(device, away)
    gone = one(source)
    assert gone == DeviceSample(lost=gone.lost)
    assert gone.lost is not None
    assert "PCI bus" in gone.lost
    shutil.move(away, device)
    assert one(source).temperature_c == 84.0


def test_a_card_that_falls_silent_is_lost_until_its_driver_is_loaded_anew(tree: Tree) -> None:
    device = rx_7900(tree)
    source = source_of(tree)
    assert one(source).lost is None
    (device / "gpu_busy_percent").rename(tree.root / "busy")
    (device / "pp_dpm_sclk").unlink()
    (device / "hwmon/hwmon3").rename(device / "hwmon/hwmon9")
    lost = one(source).lost
    assert lost is not None
    assert "driver" in lost
    # Looked for again in one of the next rounds, not in each.
    assert any(one(source).temperature_c == 84.0 for _ in range(20))


def test_a_card_that_never_answered_is_not_lost(tree: Tree) -> None:
    device = tree.card(0, (ADDRESS,), "amdgpu", {"vendor": "0x1002"})
    source = source_of(tree)
    assert one(source) == DeviceSample()
    shutil.rmtree(device)
    assert source.sample([CARD]) == {}


def test_a_sleeping_card_is_left_asleep(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    device = rx_7900(tree)
    source = source_of(tree)
    assert one(source).power_w == 287.0
    write(device, {"power/runtime_status": "suspended"})
    opened: list[str] = []
    really = os.open

    def noted(path: str, flags: int, *rest: int) -> int:
        opened.append(path)
        return really(path, flags, *rest)

    monkeypatch.setattr(os, "open", noted)
    for _ in range(11):
        assert one(source) == DeviceSample(used_bytes=5 * GIB, total_bytes=24560 * MIB, asleep=True)
    assert {Path(path).name for path in opened} == {"vendor", "runtime_status", "mem_info_vram_used"}
    write(device, {"power/runtime_status": "active"})
    assert one(source).power_limit_w == 339.0


def test_an_idle_card_that_may_sleep_is_left_alone_so_that_it_can(tree: Tree) -> None:
    device, now_s = rx_7900(tree), [100.0]
    write(device, {"power/control": "auto", "gpu_busy_percent": "0"})
    source = AmdGpuSource(tree.sys, tree.proc, lambda: now_s[0])
    first = one(source)
    write(device, {"gpu_busy_percent": "90"})
    assert one(source) == first
    assert one(source, replace(CARD, pids=(77,))).utilisation_percent == 90, "ours runs there"
    now_s[0] += REST_S
    assert one(source).utilisation_percent == 90
    write(device, {"gpu_busy_percent": "91"})
    assert one(source).utilisation_percent == 91, "a busy one is read every round"
    write(device, {"gpu_busy_percent": "0"})
    one(source)
    write(device, {"power/runtime_status": "suspended"})
    assert one(source).asleep


def test_our_processes_and_those_of_others(tree: Tree) -> None:
    rx_7900(tree)
    other_card = client("0000:09:00.0", 4, memory_vram="512 MiB")
    twice = client(ADDRESS, 3, memory_vram="3145728 KiB", memory_gtt="99 MiB")
    tree.process(77, "llama-server", [twice, twice, other_card, client(ADDRESS, 5, resident_vram="1 MiB")])
    tree.process(78, "rpc\x1b[31m-server", [client(ADDRESS, 6, total_vram="7 MiB", resident_vram="2 MiB")])
    tree.process(900, "game", [client(ADDRESS, 7, memory_vram="1 GiB"), twice])
    tree.process(901, "shell", [])
    (tree.proc / "self").symlink_to("77")
    source = source_of(tree)
    sample = one(source, TelemetryTarget("big", "rocm", pci_address=ADDRESS, pids=(77, 78, 4000)))
    assert sample.own_bytes == 3 * GIB + 3 * MIB
    assert sample.holders == (
        Holder(77, "llama-server", 3 * GIB + MIB),
        Holder(900, "game", GIB),
        Holder(78, "rpc-server", 2 * MIB),
    )
    shutil.rmtree(tree.proc / "900")
    sample = one(source)
    assert sample.own_bytes is None
    assert sample.holders is None


def test_a_process_that_says_nothing_about_its_memory_is_unknown(tree: Tree) -> None:
    rx_7900(tree)
    tree.process(77, "llama-server", [client(ADDRESS, 3, memory_vram="plenty"), client(ADDRESS, 4)])
    sample = one(source_of(tree), TelemetryTarget("big", "rocm", pci_address=ADDRESS, pids=(77,)))
    assert (sample.own_bytes, sample.holders) == (None, None)


HOT, POWER, MEMORY = 1 << 36, 1 << 0, 1 << 34
NEAR = Evidence(junction_c=(106.0, 110.0), memory_c=(70.0, 108.0), power_w=(335.0, 339.0))
FAR = Evidence(junction_c=(70.0, 110.0), power_w=(100.0, 339.0))


@pytest.mark.parametrize(
    ("table", "evidence", "reasons"),
    [
        (metrics(0), FAR, ()),
        (metrics(HOT), NEAR, (Throttle.HOT,)),
        (metrics(HOT | POWER), NEAR, (Throttle.HOT, Throttle.POWER_LIMIT)),
        (metrics(POWER), NEAR, (Throttle.POWER_LIMIT,)),
        # The bit alone is no proof.
        (metrics(HOT), FAR, None),
        (metrics(MEMORY), NEAR, None),
        (metrics(1 << 17), NEAR, None),
        (metrics(POWER), Evidence(), None),
        (metrics(HOT, (1, 4)), NEAR, None),
        (metrics(HOT, size=128), NEAR, None),
        (metrics(HOT)[:119], NEAR, None),
        (b"", NEAR, None),
        (None, NEAR, None),
    ],
)
def test_why_the_clocks_are_held_down(
    table: bytes | None, evidence: Evidence, reasons: tuple[Throttle, ...] | None
) -> None:
    assert throttles(table, evidence) == reasons


def test_a_hot_card_says_so(tree: Tree) -> None:
    device = rx_7900(tree)
    write(device, {"gpu_metrics": metrics(HOT), "hwmon/hwmon3/temp2_input": "109000"})
    assert one(source_of(tree)).throttles == (Throttle.HOT,)


def test_the_list_of_cards(tree: Tree) -> None:
    rx_7900(tree)
    device = rx_7900(tree, 1, ("0000:00:02.1", "0000:0a:00.0", "0000:0b:00.0", "0000:0c:00.0"))
    write(device, {"product_name": "Radeon\x1b[31m Pro W7900"})
    write(tree.root, {"usr/share/libdrm/amdgpu.ids": "# names\n1.0.0\n744C,\tC8,\tAMD Radeon RX 7900 XTX"})
    write(tree.sys, {"module/amdgpu/version": "6.8.5"})
    tree.card(2, ("0000:05:00.0",), "nouveau", {"vendor": "0x10de"})
    first, second = source_of(tree).list_cards()
    assert (first.id, first.name, first.backend) == (f"pci:{ADDRESS}", "AMD Radeon RX 7900 XTX", "rocm")
    assert (first.total_bytes, first.free_bytes) == (24560 * MIB, 24560 * MIB - 5 * GIB)
    assert (first.driver, first.temperature_c, first.pcie_link) == ("amdgpu 6.8.5", 84, "gen3 x8")
    assert (first.engine_name, first.bandwidth_bytes_per_s) == (None, None)
    assert (second.name, second.pci_address) == ("Radeon Pro W7900", "0000:0c:00.0")


def test_without_the_files_of_names_a_card_has_its_numbers(tree: Tree) -> None:
    rx_7900(tree)
    write(tree.proc, {"sys/kernel/osrelease": "6.8.0-45-generic"})
    (card,) = source_of(tree).list_cards()
    assert (card.name, card.driver) == ("AMD GPU [1002:744c]", "amdgpu 6.8")


def test_a_card_that_another_driver_has_is_named_with_the_remedy(tree: Tree) -> None:
    source = source_of(tree)
    assert (source.list_cards(), source.problems) == ((), ())
    folder = tree.sys / "bus/pci/devices/0000:03:00.0"
    write(folder, {"vendor": "0x1002", "class": "0x030000"})
    write(tree.sys / "bus/pci/devices/0000:03:00.1", {"vendor": "0x1002", "class": "0x040300"})
    assert source.list_cards() == ()
    (problem,) = source.problems
    assert "0000:03:00.0, but no driver has it: load amdgpu" in problem


def test_a_card_whose_node_may_not_be_opened_says_what_to_do(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    rx_7900(tree)
    write(tree.root / "dev", {"dri/renderD128": "", "kfd": ""})
    source = AmdGpuSource(tree.sys, tree.proc, dev_root=tree.root / "dev")
    assert [card.trouble for card in source.list_cards()] == [None]
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("kfd"))
    (card,) = source.list_cards()
    assert (card.trouble or "").startswith(
        f"this user may not open {tree.root / 'dev/kfd'}: add the user to the groups"
    )


def test_other_targets_are_left_alone(tree: Tree) -> None:
    source = source_of(tree)
    others = [TelemetryTarget("cpu", "cpu"), TelemetryTarget("5080", "cuda", pci_address="0000:01:00.0")]
    assert not AmdGpuSource.present(tree.sys)
    assert source.sample(others) == {}
    assert source.list_cards() == ()
    rx_7900(tree)
    assert AmdGpuSource.present(tree.sys)
    source.close()
    assert set(source.sample([*others, CARD])) == {"big"}
