"""Mixed machines: which entry of llama.cpp's list is which card, each card once, nothing guessed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hettui.adapters.gpu.amdgpu import AmdGpuSource
from hettui.adapters.gpu.intel_gpu import IntelGpuSource
from hettui.adapters.gpu.nvml import NvmlSource
from hettui.adapters.llama import discovery
from hettui.adapters.llama.binaries import EngineDevice, Listing
from hettui.adapters.llama.engine_match import match
from hettui.domain.devices.device import Hardware
from tests.fake_nvml import FakeNvml, three_cards
from tests.fakes import ENGINE
from tests.sysfs_trees import AMD_WAY, GIB, INTEL_WAY, MIB, Tree, arc_b580, metrics, rx_7900, write

AMD, INTEL = AMD_WAY[-1], INTEL_WAY[-1]


def nvidia(name: str, number: int, size_gib: int = 16) -> Hardware:
    address = f"0000:1{number}:00.0"
    return Hardware(f"pci:{address}", name, "cuda", total_bytes=size_gib * GIB, pci_address=address)


def amd(number: int, size_gib: int | None = 24, name: str = "AMD GPU [1002:744c]") -> Hardware:
    address = f"0000:0{number}:00.0"
    size = None if size_gib is None else size_gib * GIB
    return Hardware(f"pci:{address}", name, "rocm", total_bytes=size, free_bytes=size, pci_address=address)


def intel(number: int, name: str, size_gib: int | None = None) -> Hardware:
    size = None if size_gib is None else size_gib * GIB
    return Hardware(f"pci:0000:2{number}:00.0", name, "sycl", total_bytes=size)


def entry(name: str, description: str, size_gib: float = 24) -> EngineDevice:
    size = int(size_gib * GIB)
    return EngineDevice(name, description, size, size - GIB)


def names(cards: tuple[Hardware, ...]) -> list[str | None]:
    return [card.engine_name for card in cards]


def left(devices: tuple[EngineDevice, ...]) -> list[str]:
    return [device.name for device in devices]


def test_a_machine_with_cards_of_all_makers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Tree(tmp_path)
    rx_7900(tree)
    arc_b580(tree)
    write(tree.root, {"usr/share/misc/pci.ids": "8086  Intel Corporation\n\te20b  Battlemage G21 [Arc B580]\n"})
    listed = (
        EngineDevice("CUDA0", "NVIDIA GeForce RTX 5080", 16 * GIB, 14 * GIB),
        EngineDevice("CUDA1", "NVIDIA GeForce RTX 3060", 12 * GIB, 11 * GIB),
        EngineDevice("CUDA2", "NVIDIA GeForce GTX 1660 SUPER", 6 * GIB, 5 * GIB),
        EngineDevice("Vulkan0", "AMD Radeon RX 7900 XTX (RADV NAVI31)", 24560 * MIB, 19000 * MIB),
        EngineDevice("Vulkan1", "NVIDIA GeForce RTX 5080", 16 * GIB, 14 * GIB),
        EngineDevice("Vulkan2", "Intel(R) Arc(tm) B580 Graphics (BMG G21)", 12216 * MIB, 12000 * MIB),
        EngineDevice("Vulkan3", "llvmpipe (LLVM 19.1.0, 256 bits)", 64 * GIB, 64 * GIB),
    )
    monkeypatch.setattr(discovery, "list_devices", lambda *_: Listing(listed))
    others = (AmdGpuSource(tree.sys, tree.proc), IntelGpuSource(tree.sys, tree.proc))
    found = discovery.discover(ENGINE, NvmlSource(three_cards()), others, {}).hardware
    assert [(h.engine_name, h.id, h.backend) for h in found] == [
        ("CUDA0", "pci:0000:01:00.0", "cuda"),
        ("CUDA1", "pci:0000:04:00.0", "cuda"),
        ("CUDA2", "pci:000a:05:00.0", "cuda"),
        ("Vulkan0", f"pci:{AMD}", "vulkan"),
        ("Vulkan2", f"pci:{INTEL}", "vulkan"),
        ("Vulkan3", "Vulkan3", "vulkan"),
        ("CPU", "cpu", "cpu"),
    ]
    radeon, arc = found[3], found[4]
    # Nothing but numbers is known of the Radeon here, so the engine's description is its name.
    assert radeon.name == "AMD Radeon RX 7900 XTX (RADV NAVI31)"
    assert (radeon.total_bytes, radeon.free_bytes) == (24560 * MIB, 19000 * MIB), "no more than llama.cpp will give"
    assert (arc.name, arc.total_bytes, arc.free_bytes) == ("Intel Arc B580", 12 * GIB, 12000 * MIB)


def test_without_an_engine_the_cards_are_there_without_its_names(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    rx_7900(tree)
    found = discovery.discover(
        None, NvmlSource(FakeNvml(driver=False)), [AmdGpuSource(tree.sys, tree.proc)], {}
    ).hardware
    assert [(h.engine_name, h.id) for h in found] == [(None, f"pci:{AMD}"), ("CPU", "cpu")]


def test_an_apu_gets_its_size_from_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Tree(tmp_path)
    device = rx_7900(tree)
    write(device, {"gpu_metrics": metrics(0, (3, 0), 264), "mem_info_vram_total": str(512 * MIB)})
    listed = (EngineDevice("Vulkan0", "AMD Radeon Graphics (RADV PHOENIX)", 30 * GIB, 29 * GIB),)
    monkeypatch.setattr(discovery, "list_devices", lambda *_: Listing(listed))
    apu, _ = discovery.discover(
        ENGINE, NvmlSource(FakeNvml(driver=False)), [AmdGpuSource(tree.sys, tree.proc)], {}
    ).hardware
    assert (apu.engine_name, apu.id, apu.total_bytes, apu.free_bytes) == ("Vulkan0", f"pci:{AMD}", 30 * GIB, 29 * GIB)


def test_like_cards_are_told_apart_by_size() -> None:
    cards, rest = match(
        [amd(1, 16), amd(2, 24)],
        [entry("ROCm0", "AMD Radeon Graphics", 24), entry("ROCm1", "AMD Radeon Graphics", 15.9)],
    )
    assert (names(cards), rest) == (["ROCm1", "ROCm0"], ())


def test_twins_follow_the_order_of_the_list() -> None:
    twins = [amd(1), amd(2)]
    cards, rest = match(twins, [entry(f"ROCm{i}", "AMD Radeon RX 7900 XTX") for i in range(2)])
    assert (names(cards), rest) == (["ROCm0", "ROCm1"], ())
    vulkan = [entry(f"Vulkan{i}", "AMD Radeon RX 7900 XTX (RADV NAVI31)") for i in range(2)]
    cards, rest = match(twins, vulkan)
    assert (names(cards), rest) == (["Vulkan0", "Vulkan1"], ())


def test_twins_whose_order_is_not_known_are_told_apart_by_what_is_free() -> None:
    twins = [replace(amd(1), free_bytes=3 * GIB), replace(amd(2), free_bytes=20 * GIB)]
    vulkan = [
        replace(entry(f"Vulkan{i}", "AMD Radeon RX 7900 XTX (RADV NAVI31)"), free_bytes=free * GIB)
        for i, free in enumerate((20, 3))
    ]
    cards, _ = match(twins, vulkan)
    assert names(cards) == ["Vulkan1", "Vulkan0"]


def test_one_twin_of_two_is_not_guessed() -> None:
    cards, rest = match([amd(1), amd(2)], [entry("ROCm0", "AMD Radeon RX 7900 XTX")])
    assert (names(cards), left(rest)) == ([None, None], ["ROCm0"])


def test_a_card_that_two_backends_reach_appears_once_by_its_makers() -> None:
    cards, rest = match(
        [nvidia("NVIDIA GeForce RTX 3090", 1, 24), nvidia("NVIDIA GeForce RTX 3090", 2, 24), amd(3)],
        [
            entry("Vulkan0", "NVIDIA GeForce RTX 3090"),
            entry("Vulkan1", "AMD Radeon RX 7900 XTX (RADV NAVI31)"),
            entry("Vulkan2", "NVIDIA GeForce RTX 3090"),
            entry("CUDA0", "NVIDIA GeForce RTX 3090"),
            entry("CUDA1", "NVIDIA GeForce RTX 3090"),
            entry("ROCm0", "AMD Radeon RX 7900 XTX"),
        ],
    )
    assert (names(cards), rest) == (["CUDA0", "CUDA1", "ROCm0"], ())


def test_a_longer_name_is_another_card() -> None:
    plain, better = nvidia("NVIDIA GeForce RTX 4060", 1, 8), nvidia("NVIDIA GeForce RTX 4060 Ti", 2, 8)
    cards, rest = match(
        [plain, better],
        [entry("Vulkan0", "NVIDIA GeForce RTX 4060 Ti", 8), entry("Vulkan1", "NVIDIA GeForce RTX 4060", 8)],
    )
    assert (names(cards), rest) == (["Vulkan1", "Vulkan0"], ())


def test_what_is_certain_about_one_narrows_the_other() -> None:
    # The list's 24 GiB can only be the card; what is left is the processor's graphics, whose size nobody knows.
    cards, rest = match(
        [amd(1, 24), amd(6, None)],
        [entry("Vulkan0", "AMD Radeon Graphics (RADV A)", 24), entry("Vulkan1", "AMD Radeon Graphics (RADV B)", 40)],
    )
    assert (names(cards), rest) == (["Vulkan0", "Vulkan1"], ())


def test_sycl_and_vulkan_names_of_intel() -> None:
    cards = (intel(0, "Intel UHD Graphics 770"), intel(1, "Intel Arc A770", 16))
    named, rest = match(
        cards, [entry("SYCL0", "Intel(R) Arc(TM) A770 Graphics", 15.9), entry("SYCL1", "Intel(R) UHD Graphics 770", 30)]
    )
    assert (names(named), rest) == (["SYCL1", "SYCL0"], ())
    nameless = (intel(0, "Intel GPU [8086:4680]"), intel(1, "Intel GPU [8086:56a0]"))
    named, rest = match(nameless, [entry("Vulkan0", "Intel(R) Arc(tm) A770 Graphics (DG2)", 16)])
    assert (names(named), left(rest)) == ([None, None], ["Vulkan0"])


@pytest.mark.parametrize(
    "description",
    ["llvmpipe (LLVM 15.0.7, AMD Ryzen 9)", "Some Accelerator", "", "Intel(R) Arc(tm) A770 Graphics (DG2)"],
)
def test_what_is_none_of_the_cards_stands_for_itself(description: str) -> None:
    cards, rest = match([amd(1)], [entry("Vulkan0", description)])
    assert (names(cards), left(rest)) == ([None], ["Vulkan0"])


def test_another_size_is_another_card() -> None:
    cards, rest = match([amd(1, 24)], [entry("ROCm0", "AMD Radeon RX 7900 XTX", 16)])
    assert (names(cards), left(rest)) == ([None], ["ROCm0"])
