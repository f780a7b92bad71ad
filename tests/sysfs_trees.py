"""Trees like the kernel's /sys and /proc, written into a folder: cards below bridges, sensors, processes with cards."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

GIB = 1 << 30
MIB = 1 << 20


Files = Mapping[str, str | bytes]


def write(folder: Path, files: Files) -> None:
    """The files by their paths in `folder`; text ends with a newline, as the kernel's does."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else f"{content}\n".encode())


@dataclass(frozen=True)
class Tree:
    """The root with `sys` and `proc`."""

    root: Path

    @property
    def sys(self) -> Path:
        return self.root / "sys"

    @property
    def proc(self) -> Path:
        return self.root / "proc"

    def port(self, way: tuple[str, ...], vendor: int, device: int, **link: str) -> Path:
        """A PCI bridge at the end of `way`, addresses from the host bridge on."""
        folder = self.sys.joinpath("devices", "pci0000:00", *way)
        ids = {"vendor": f"{vendor:#06x}", "device": f"{device:#06x}", "class": "0x060400"}
        write(folder, {**ids, **link})
        return folder

    def card(self, number: int, way: tuple[str, ...], driver: str, files: Files) -> Path:
        """A graphics card at the end of `way`; its `device` folder is returned."""
        device = self.sys.joinpath("devices", "pci0000:00", *way)
        write(device, {"class": "0x030000", "power/runtime_status": "active", **files})
        drivers = self.sys / "bus" / "pci" / "drivers" / driver
        drivers.mkdir(parents=True, exist_ok=True)
        (device / "driver").symlink_to(drivers)
        node = device / "drm" / f"card{number}"
        node.mkdir(parents=True)
        (node / "device").symlink_to(Path("..") / "..")
        (node.parent / f"renderD{128 + number}").mkdir()
        classes = self.sys / "class" / "drm"
        classes.mkdir(parents=True, exist_ok=True)
        (classes / node.name).symlink_to(node)
        (classes / f"{node.name}-DP-1").mkdir(exist_ok=True)
        return device

    def process(self, pid: int, name: str, clients: list[str], device: str = "/dev/dri/renderD128") -> None:
        """A process with one descriptor per client, each with the kernel's text about it, and two plain ones."""
        folder = self.proc / str(pid)
        write(folder, {"comm": name})
        (folder / "fd").mkdir(exist_ok=True)
        for number, target in enumerate(["/dev/null", "socket:[4711]", *[device] * len(clients)]):
            link = folder / "fd" / str(number)
            link.unlink(missing_ok=True)
            link.symlink_to(target)
        write(folder, {f"fdinfo/{number}": text for number, text in enumerate(clients, start=2)})


def client(address: str, number: int, **sizes: str) -> str:
    """What fdinfo says about one opening of a card: `client("0000:03:00.0", 5, memory_vram="1024 KiB")`."""
    lines = [f"drm-{key.replace('_', '-')}:\t{value}" for key, value in sizes.items()]
    return "\n".join(["pos:\t0", "drm-driver:\tx", f"drm-client-id:\t{number}", f"drm-pdev:\t{address}", *lines])


def metrics(status: int, version: tuple[int, int] = (1, 3), size: int = 120) -> bytes:
    """The table `gpu_metrics` of version 1.3 with a throttle status."""
    table = bytearray(size)
    struct.pack_into("<HBB", table, 0, size, *version)
    if size >= 120:
        struct.pack_into("<Q", table, 112, status)
    return bytes(table)


AMD_WAY = ("0000:00:01.1", "0000:01:00.0", "0000:02:00.0", "0000:03:00.0")
"""Root port, the card's switch, the chip."""


def rx_7900(tree: Tree, number: int = 0, way: tuple[str, ...] = AMD_WAY) -> Path:
    """A Radeon RX 7900 XTX in a slot that gives gen3 x8 of its gen4 x16; returns its folder."""
    fast = {"max_link_speed": "16.0 GT/s PCIe", "max_link_width": "16"}
    slot = {"current_link_speed": "8.0 GT/s PCIe", "current_link_width": "8"}
    tree.port(way[:1], 0x1022, 0x14DB, **(fast | slot | {"max_link_width": "8"}))
    tree.port(way[:2], 0x1002, 0x1478, **(fast | slot))
    tree.port(way[:3], 0x1002, 0x1479, **fast, current_link_speed="16.0 GT/s PCIe", current_link_width="16")
    sensors = {
        "name": "amdgpu",
        "power1_average": "287000000",
        "power1_cap": "339000000",
        "pwm1": "102",
        "pwm1_max": "255",
        "freq1_label": "sclk",
        "freq1_input": "2412000000",
        "freq2_label": "mclk",
        "freq2_input": "1249000000",
        "in0_label": "vddgfx",
    }
    heat = (("edge", 61, 100, 105), ("junction", 84, 110, 115), ("mem", 78, 108, 113))
    for channel, (label, now, critical, emergency) in enumerate(heat, start=1):
        sensors |= {
            f"temp{channel}_label": label,
            f"temp{channel}_input": f"{now}000",
            f"temp{channel}_crit": f"{critical}000",
            f"temp{channel}_emergency": f"{emergency}000",
        }
    return tree.card(
        number,
        way,
        "amdgpu",
        {
            "vendor": "0x1002",
            "device": "0x744c",
            "revision": "0xc8",
            "mem_info_vram_total": str(24560 * MIB),
            "mem_info_vram_used": str(5 * GIB),
            "mem_info_gtt_total": str(64 * GIB),
            "mem_info_gtt_used": str(GIB),
            "gpu_busy_percent": "97",
            "pp_dpm_sclk": "0: 500Mhz\n1: 2410Mhz *\n2: 2526Mhz",
            "gpu_metrics": metrics(0),
            "ras/umc_err_count": "ue: 2\nce: 17",
            "ras/gfx_err_count": "ue: 1\nce: 0",
            "current_link_speed": "16.0 GT/s PCIe",
            "current_link_width": "16",
            "max_link_speed": "16.0 GT/s PCIe",
            "max_link_width": "16",
            **{f"hwmon/hwmon{number + 3}/{file}": content for file, content in sensors.items()},
        },
    )


INTEL_WAY = ("0000:00:1c.0", "0000:04:00.0", "0000:05:01.0", "0000:06:00.0")


def arc_b580(tree: Tree, number: int = 1, way: tuple[str, ...] = INTEL_WAY) -> Path:
    """An Arc B580 with the driver xe; returns its folder."""
    tree.port(way[:1], 0x8086, 0x7A38, max_link_speed="16.0 GT/s PCIe", max_link_width="16")
    slot = {"current_link_speed": "16.0 GT/s PCIe", "current_link_width": "8"}
    tree.port(way[:2], 0x8086, 0xE2FF, **slot, max_link_speed="16.0 GT/s PCIe", max_link_width="8")
    tree.port(way[:3], 0x8086, 0xE2F0, current_link_speed="2.5 GT/s PCIe", current_link_width="1")
    sensors = {
        "name": "xe",
        "temp2_label": "pkg",
        "temp2_input": "58000",
        "temp2_crit": "100000",
        "temp2_emergency": "125000",
        "temp3_label": "vram",
        "temp3_input": "66000",
        "energy1_input": "5000000",
        "power1_max": "190000000",
    }
    throttle = {"status": "0", "reason_pl1": "0", "reason_thermal": "0", "reason_prochot": "0"}
    return tree.card(
        number,
        way,
        "xe",
        {
            "vendor": "0x8086",
            "device": "0xe20b",
            "revision": "0x00",
            "tile0/physical_vram_size_bytes": str(12 * GIB),
            "tile0/gt0/freq0/act_freq": "2650",
            "tile0/gt0/freq0/rp0_freq": "2850",
            "current_link_speed": "2.5 GT/s PCIe",
            "current_link_width": "1",
        }
        | {f"tile0/gt0/freq0/throttle/{file}": content for file, content in throttle.items()}
        | {f"hwmon/hwmon{number + 3}/{file}": content for file, content in sensors.items()},
    )


def unreadable(file: Path) -> None:
    """From now on reading the file is an I/O error, as that of a card in trouble: this process's memory at 0 is one."""
    file.unlink()
    file.symlink_to(f"/proc/{os.getpid()}/mem")
