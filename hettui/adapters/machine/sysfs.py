"""Small files of the kernel: one number or one line each. Whatever goes wrong while reading is None.

What a driver writes there is taken for hostile: sizes are capped, a number is a number and within its bounds or it
is None. Paths are strings here: they are put together for every reading of every round.
"""

from __future__ import annotations

import os
from pathlib import Path

from hettui.domain.devices.identity import in_pci_order
from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass
from hettui.domain.telemetry.bounds import within

_PAGE_BYTES = 4096
"""No attribute of sysfs is longer."""
_NUMBER = late_pattern(r"-?[0-9]{1,19}")
_HEXADECIMAL = late_pattern(r"0x[0-9a-fA-F]{1,6}")
_VERSION = late_pattern(r"[0-9][0-9.]{0,11}")
_KERNEL = late_pattern(r"[0-9]{1,3}\.[0-9]{1,3}")
_CARD = late_pattern(r"card[0-9]{1,4}")
_PCI_ADDRESS = late_pattern(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


def read_bytes(path: str, limit_bytes: int = _PAGE_BYTES) -> bytes | None:
    """What the file holds, at most `limit_bytes` of it; None when it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        # One read: an attribute is made as a whole for it, and a second one may ask the card again.
        return os.read(descriptor, limit_bytes)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def read_text(path: str, limit_bytes: int = _PAGE_BYTES) -> str | None:
    """As `read_bytes`, without white space at either end; None also when nothing is left."""
    data = read_bytes(path, limit_bytes)
    return None if data is None else data.decode("utf-8", errors="replace").strip() or None


def read_number(path: str, lowest: int, highest: int) -> int | None:
    """The one decimal number in the file; None when it is something else or out of bounds."""
    text = read_text(path, 32)
    if text is None or not _NUMBER.fullmatch(text):
        return None
    value = int(text)
    return value if lowest <= value <= highest else None


def link_name(path: Path) -> str | None:
    """The last part of what a symbolic link points to: `amdgpu` for `device/driver`."""
    try:
        return path.readlink().name
    except OSError:
        return None


def children(path: Path) -> list[Path]:
    """What lies in a folder, in order of names; nothing when it cannot be read."""
    try:
        return sorted(path.iterdir())
    except OSError:
        return []


@dataclass(frozen=True, slots=True)
class DrmCard:
    """A graphics card as its kernel driver shows it."""

    node: Path
    """`…/class/drm/card0`."""
    device: Path
    """Its PCI device, without links: the folders above it are the bridges on the way to the CPU."""
    driver: str
    pci_address: str
    """`0000:03:00.0`."""


def drm_cards(sys_root: Path, drivers: frozenset[str]) -> tuple[DrmCard, ...]:
    """The PCI cards that these kernel drivers run, in PCI order."""
    cards = []
    for node in children(sys_root / "class" / "drm"):
        if not _CARD.fullmatch(node.name):
            continue
        try:
            device = (node / "device").resolve(strict=True)
        except (OSError, RuntimeError):
            continue
        driver = link_name(device / "driver")
        if driver in drivers and _PCI_ADDRESS.fullmatch(device.name):
            cards.append(DrmCard(node, device, driver, device.name))
    return tuple(sorted(cards, key=lambda card: in_pci_order(card.pci_address)))


def is_asleep(device: Path) -> bool:
    """Powered down by the kernel: older drivers wake the card up for every reading, newer ones refuse."""
    return read_text(f"{device}/power/runtime_status", 32) in ("suspended", "suspending")


def pci_id(device: Path, name: str) -> int | None:
    """`vendor`, `device` or `revision` of a PCI device."""
    text = read_text(f"{device}/{name}", 16) or ""
    return int(text, 16) if _HEXADECIMAL.fullmatch(text) else None


def hwmon_of(device: Path) -> str:
    """The folder of a card's own sensors; one that is not there when it has none."""
    folder = device / "hwmon"
    return next((str(entry) for entry in children(folder) if entry.name.startswith("hwmon")), f"{folder}/none")


def labelled(hwmon: str, kind: str, most: int = 16) -> dict[str, str]:
    """`{"edge": "…/temp1", "mem": "…/temp3"}`: the channels of one kind (`temp`, `freq`, …) that have a label."""
    found: dict[str, str] = {}
    for number in range(most):
        label = read_text(f"{hwmon}/{kind}{number}_label", 64)
        if label is not None:
            found.setdefault(label, f"{hwmon}/{kind}{number}")
    return found


def _reading(path: str, name: str, parts: int) -> float | None:
    """The number in the file divided by `parts`; None out of the bounds of the reading `name`."""
    value = read_number(path, -(10**18), 10**18)
    found: float | None = None if value is None else within(name, value / parts)
    return found


def celsius(path: str) -> float | None:
    """A temperature in thousandths of a degree; None outside of what silicon survives."""
    return _reading(path, "temperature_c", 1000)


def threshold_c(path: str) -> float | None:
    """As `celsius`, but a threshold of 0 or below is how a driver says that it has none."""
    return _reading(path, "slowdown_c", 1000)


def watts(path: str) -> float | None:
    """A power in millionths of a watt."""
    return _reading(path, "power_w", 1_000_000)


def size_bytes(path: str) -> int | None:
    """A size. 0 is one: an APU may have no memory of its own."""
    value = read_number(path, 0, 10**18)
    found: int | None = None if value is None else within("used_bytes", value)
    return found


def driver_version(sys_root: Path, proc_root: Path, driver: str) -> str:
    """`amdgpu 6.8.5`: the version that the module gives itself; `xe 6.15`: else the kernel's, which it came with."""
    own = _VERSION.match(read_text(f"{sys_root}/module/{driver}/version", 64) or "")
    kernel = _KERNEL.match(read_text(f"{proc_root}/sys/kernel/osrelease", 64) or "")
    version = own or kernel
    return f"{driver} {version[0]}" if version else driver
