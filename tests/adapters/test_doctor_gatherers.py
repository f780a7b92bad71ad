"""What the doctor looks at, read from scripted trees: cards of the bus, kernel, memory, folders, listeners, NVML."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from types import SimpleNamespace

import pytest

from hettui.adapters.gpu.bus import bus_cards
from hettui.adapters.gpu.nvidia_facts import NvidiaCard, nvidia_facts
from hettui.adapters.hosts.prober import clock_off_s
from hettui.adapters.llama.cuda_code import CudaBuild, cuda_build, cuda_library
from hettui.adapters.machine.doctor import cpu_limit_w, file_system, kernel_facts, memory_facts, place
from hettui.adapters.processes.listeners import listeners
from hettui.adapters.processes.proc import kernel_log
from hettui.domain.doctor.facts import AMD, INTEL, NVIDIA, CudaCode, KernelFacts, ListenerFacts, NvidiaFacts
from hettui.domain.telemetry.readings import Link
from hettui.domain.units import KIB, MIB
from tests.fake_nvml import three_cards
from tests.sysfs_trees import Tree, arc_b580, rx_7900, write


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    found = Tree(tmp_path)
    (found.sys / "bus/pci/devices").mkdir(parents=True)
    return found


def on_bus(tree: Tree, device: Path) -> None:
    (tree.sys / "bus/pci/devices" / device.name).symlink_to(device)


def test_cards_of_all_makers_with_their_links_and_windows(tree: Tree) -> None:
    on_bus(tree, rx_7900(tree))
    on_bus(tree, arc_b580(tree))
    port = tree.port(("0000:00:1c.4",), 0x8086, 0xA39C, max_link_speed="8.0 GT/s PCIe", max_link_width="4")
    files = {
        "vendor": "0x10de", "device": "0x21c4", "max_link_speed": "8.0 GT/s PCIe", "max_link_width": "16",
        "current_link_speed": "2.5 GT/s PCIe", "current_link_width": "4",
        "resource": "0x00000000de000000 0x00000000deffffff 0x40200\n0x00000000c0000000 0x00000000cfffffff 0x14220c\n"
        "0x0 0x0 0x0\nodd\n",
    }  # fmt: skip
    on_bus(tree, tree.card(2, (port.name, "0000:17:00.0"), "nouveau", files))
    cards = bus_cards(tree.sys)
    assert cards is not None
    amd, intel, nvidia = cards
    assert (amd.vendor, amd.driver, amd.link_now, amd.link_most) == (AMD, "amdgpu", Link(3, 8), Link(4, 8))
    assert amd.chipset is None
    assert (intel.vendor, intel.driver, intel.chipset) == (INTEL, "xe", "0000:00:1c.0")
    assert (nvidia.vendor, nvidia.driver, nvidia.address) == (NVIDIA, "nouveau", "0000:17:00.0")
    assert (nvidia.link_now, nvidia.link_most, nvidia.link_card) == (Link(1, 4), Link(3, 4), Link(3, 16))
    assert (nvidia.largest_bar_bytes, nvidia.chipset) == (256 * MIB, "0000:00:1c.4")


def test_a_bus_that_is_not_shown_and_one_without_cards(tree: Tree, tmp_path: Path) -> None:
    assert bus_cards(tree.sys) == ()
    assert bus_cards(tmp_path / "none") is None
    odd = tree.sys / "bus/pci/devices/0000:01:00.0"
    write(odd, {"class": "0x030000", "vendor": "nonsense"})
    write(tree.sys / "bus/pci/devices/0000:02:00.0", {"class": "0x020000", "vendor": "0x10de"})
    assert bus_cards(tree.sys) == ()


def test_a_chipset_of_amds(tree: Tree) -> None:
    root = tree.port(("0000:00:02.1",), 0x1022, 0x14DB)
    switch = tree.port((root.name, "0000:03:00.0"), 0x1022, 0x43F4)
    on_bus(tree, tree.card(0, (root.name, switch.name, "0000:05:00.0"), "nvidia", {"vendor": "0x10de"}))
    cards = bus_cards(tree.sys)
    assert cards is not None
    assert cards[0].chipset == "0000:03:00.0"


def test_kernel_and_what_it_runs_in(tree: Tree) -> None:
    assert kernel_facts(None, {}, tree.proc, tree.sys) == KernelFacts(
        no_log="the kernel's log may not be read by this user"
    )
    write(tree.proc, {"sys/kernel/osrelease": "5.15.90.1-microsoft-standard-WSL2", "modules": "nvidia 1 2\nxe 3"})
    write(tree.proc, {"1/cgroup": "0::/docker/abc", "device-tree/model": "NVIDIA Jetson Orin Nano\0"})
    write(tree.sys, {"class/dmi/id/sys_vendor": "QEMU", "kernel/iommu_groups/0/type": "DMA"})
    found = kernel_facts(["a\x1b[2Jline"], {}, tree.proc, tree.sys)
    assert (found.wsl, found.container, found.jetson, found.virtual) == (
        True,
        "docker",
        "NVIDIA Jetson Orin Nano",
        "QEMU",
    )
    assert (found.modules, found.iommu_groups, found.log) == (frozenset({"nvidia", "xe"}), 1, ("aline",))
    assert "container" in found.no_log
    assert kernel_facts(None, {"container": "lxc"}, tree.proc / "none", tree.sys).container == "lxc"
    write(tree.root, {"run/.containerenv": ""})
    assert kernel_facts(None, {}, tree.proc, tree.sys).container == "podman"


def test_memory_and_limits(tree: Tree) -> None:
    assert memory_facts(tree.proc, tree.sys).total is None
    text = (
        "MemTotal: 65536000 kB\nMemAvailable: 60000000 kB\nSwapTotal: 8000 kB\nSwapFree: 1000 kB\nCommitLimit: 500 kB\n"
    )
    text += "Committed_AS: 900 kB\nHugePages_Total: 16\nHugepagesize: 2048 kB\nAnonPages: 999999999999999 kB\n"
    write(tree.proc, {"meminfo": text, "sys/vm/overcommit_memory": "2"})
    found = memory_facts(tree.proc, tree.sys)
    assert (found.total, found.available) == (65536000 * KIB, 60000000 * KIB)
    assert (found.swap, found.swap_used, found.commit_left, found.huge_pages) == (8000 * KIB, 7000 * KIB, 0, 32 * MIB)
    assert found.overcommit == 2
    assert found.file_limit is not None
    assert found.file_limit == -1 or found.file_limit > 0


def test_the_cpus_limit(tree: Tree) -> None:
    assert cpu_limit_w(tree.sys) is None
    zones = tree.sys / "class/powercap"
    write(zones / "intel-rapl:0", {"name": "package-0", "constraint_0_power_limit_uw": "165000000"})
    write(zones / "intel-rapl:0:0", {"name": "core", "constraint_0_power_limit_uw": "9000000"})
    write(zones / "intel-rapl:1", {"name": "package-1", "constraint_0_power_limit_uw": "nonsense"})
    assert cpu_limit_w(tree.sys) == 165.0


def test_folders_and_the_file_systems_they_lie_on(tree: Tree, tmp_path: Path) -> None:
    deep = tmp_path / "a b" / "deep"
    deep.mkdir(parents=True)
    at = str(tmp_path / "a b").replace(" ", "\\040")
    write(tree.proc, {"self/mounts": f"/dev/a / ext4 rw 0 0\nserver:/x {at} nfs4 rw 0 0\nodd\n"})
    assert file_system(deep, tree.proc) == "nfs4"
    assert file_system(tmp_path, tree.proc) == "ext4"
    assert file_system(tmp_path, tmp_path / "none") is None
    found = place("logs", deep / "not" / "yet", tree.proc)
    assert (found.kind, found.writable, found.path) == ("nfs4", True, str(deep / "not" / "yet"))
    assert found.free is not None
    assert found.free > 0
    assert not (deep / "not").exists()


def test_listeners_by_address_port_and_program(tree: Tree) -> None:
    assert listeners(["rpc-server"], tree.proc) is None
    word = f"{struct.unpack('=I', socket.inet_aton('127.0.0.1'))[0]:08X}"
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    row = "   0: {}:{:04X} 00000000:0000 {} 00000000:00000000 00:00000000 00000000  0 0 {} 1 0 100\n"
    lines = (
        row.format(word, 50052, "0A", 11) + row.format("00000000", 6000, "0A", 12) + row.format(word, 7000, "01", 13)
    )
    write(tree.proc, {"net/tcp": head + lines + "   1: odd\n", "net/tcp6": head + row.format("0" * 32, 8080, "0A", 14)})
    write(tree.proc, {"42/comm": "ggml-rpc-server"[:15], "43/comm": "bash"})
    (tree.proc / "42/fd").mkdir()
    (tree.proc / "42/fd/3").symlink_to("socket:[12]")
    (tree.proc / "42/fd/4").symlink_to("/dev/null")
    found = listeners(["rpc-server", "ggml-rpc-server"], tree.proc)
    assert found == (
        ListenerFacts("127.0.0.1", 50052), ListenerFacts("0.0.0.0", 6000, "ggml-rpc-server", 42),  # noqa: S104
        ListenerFacts("::", 8080),
    )  # fmt: skip


def test_listeners_of_this_machine_are_read() -> None:
    assert listeners(["rpc-server"]) is not None


def test_the_kernels_log_is_bounded_and_what_cannot_be_read_is_none(tmp_path: Path) -> None:
    log = tmp_path / "kmsg"
    log.write_text("6,1,1,-;NVRM: Xid (PCI:0000:03:00): 79\n")
    assert kernel_log(lambda line: "Xid" in line, 4096, device=str(log)) == ["NVRM: Xid (PCI:0000:03:00): 79"]
    assert kernel_log(lambda line: "other" in line, 4096, device=str(log)) == []
    assert kernel_log(bool, 4096, device=str(tmp_path / "none")) is None
    assert kernel_log(bool, 4096, device=str(tmp_path)) is None


# -- NVML --------------------------------------------------------------------------------------------------


def test_what_nvidias_driver_says_of_itself(tmp_path: Path) -> None:
    said = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build  (x)\nGCC version: 12"
    write(tmp_path, {"driver/nvidia/version": said})
    nvml = three_cards()
    nvml.nvmlSystemGetCudaDriverVersion_v2 = lambda: 13010  # type: ignore[attr-defined]
    nvml.cards[1].says |= {
        "PersistenceMode": 1, "PowerManagementDefaultLimit": 360_000, "MigMode": (1, 1), "VirtualizationMode": 2,
        "PowerManagementLimitConstraints": [250_000, 400_000],
    }  # fmt: skip
    driver, cards = nvidia_facts(nvml, tmp_path)
    assert driver == NvidiaFacts("580.159.04", True, "580.159", (13, 1))
    assert cards["0000:01:00.0"] == NvidiaCard(True, 360.0, 250.0, True, True)
    assert cards["0000:04:00.0"] == NvidiaCard()


@pytest.mark.parametrize("nvml", [three_cards(), SimpleNamespace()], ids=["refused", "no library"])
def test_a_driver_that_refuses_tells_nothing_and_breaks_nothing(nvml: object, tmp_path: Path) -> None:
    if hasattr(nvml, "init_error"):
        nvml.init_error = 18
    driver, cards = nvidia_facts(nvml, tmp_path)
    assert (driver, cards) == (NvidiaFacts(), {})
    proprietary = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.120  Fri Sep 13"
    write(tmp_path, {"driver/nvidia/version": proprietary})
    assert nvidia_facts(nvml, tmp_path)[0] == NvidiaFacts("550.120", False)


# -- CUDA code in a library --------------------------------------------------------------------------------


def container(*entries: tuple[int, int]) -> bytes:
    """Kind and architecture of each, 40 bytes of payload."""
    inner = b"".join(
        struct.pack("<HHIQIIHHI", kind, 1, 64, 40, 0, 0, 0, 0, arch) + bytes(32 + 40) for kind, arch in entries
    )
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(inner)) + inner


def library(fatbin: bytes, needed: bytes = b"libcudart.so.12") -> bytes:
    """An ELF file with the sections that count."""
    names = b"\0.shstrtab\0.nv_fatbin\0.dynstr\0.dynamic\0"
    strings = b"\0" + needed + b"\0"
    dynamic = struct.pack("<QQQQ", 1, 1, 0, 0)
    parts, at, places = [names, fatbin, strings, dynamic], 64, []
    for part in parts:
        places.append((at, len(part)))
        at += len(part)
    rows = [bytes(64)]
    for name, place_of in zip((b".shstrtab", b".nv_fatbin", b".dynstr", b".dynamic"), places, strict=True):
        rows.append(struct.pack("<IIQQQQIIQQ", names.index(b"\0" + name) + 1, 1, 0, 0, *place_of, 0, 0, 1, 0))
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 0, at, 0, 64, 0, 0, 64, 5, 1)
    return head + b"".join(parts) + b"".join(rows)


def test_the_cards_that_a_library_was_compiled_for(tmp_path: Path) -> None:
    path = tmp_path / "libggml-cuda.so"
    two = container((2, 75), (2, 86), (1, 86)) + bytes(8) + container((2, 120))
    path.write_bytes(library(two))
    code = (CudaCode((7, 5), False), CudaCode((8, 6), False), CudaCode((8, 6), True), CudaCode((12, 0), False))
    assert cuda_build(path) == CudaBuild(code, 12)
    path.write_bytes(library(two, b"libc.so.6"))
    assert cuda_build(path) == CudaBuild(code, None)
    assert cuda_library(tmp_path / "llama-server", {}) == path
    assert cuda_library(tmp_path / "bin" / "llama-server", {"LD_LIBRARY_PATH": f"/none:{tmp_path}"}) == path
    assert cuda_library(Path("/none/llama-server"), {}) is None


def test_a_damaged_library_is_not_known(tmp_path: Path) -> None:
    path, sound = tmp_path / "lib.so", library(container((2, 75)))
    for data in (b"", b"\x7fELF", sound[:-80], sound.replace(b"ELF\x02", b"ELF\x01"), library(b""), library(bytes(64))):
        path.write_bytes(data)
        assert cuda_build(path) is None
    huge = struct.pack("<IHHQ", 0xBA55ED50, 1, 16, 1 << 60) + bytes(64)
    path.write_bytes(library(huge))
    assert cuda_build(path) is None
    for at in range(0, len(sound), 3):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 0xFF]) + sound[at + 1 :])
        cuda_build(path)
    assert cuda_build(tmp_path) is None
    assert cuda_build(tmp_path / "none") is None


def test_a_hosts_clock_within_the_time_of_the_question_is_right() -> None:
    assert clock_off_s(100, 99.2, 101.5) == 0
    assert clock_off_s(99, 99.9, 101.5) == 0
    assert clock_off_s(130, 99.0, 101.0) == 29
    assert clock_off_s(50, 99.0, 101.0) == -48
