"""The graphics cards of the PCI bus for the doctor: driver, links, the window into their memory, what they hang on."""

from __future__ import annotations

from pathlib import Path

from hettui.adapters.gpu.pci_names import card_name
from hettui.adapters.gpu.pcie_link import amd_slot_port, intel_slot_port, link, most
from hettui.adapters.machine.sysfs import children, is_asleep, link_name, pci_id, read_text
from hettui.domain.devices.identity import in_pci_order, pci_address
from hettui.domain.doctor.facts import AMD, INTEL, NVIDIA, BusCard

_DISPLAY = ("0x0300", "0x0302", "0x0380")
_MAKERS = {NVIDIA: "NVIDIA", AMD: "AMD", INTEL: "Intel"}
_AMD_CPU, _ASMEDIA = 0x1022, 0x1B21
_MOST_WINDOWS = 7
_CHIPSET_SLOTS = ("1b", "1c", "1d")
"""Of bus 0, where Intel's chipsets have their root ports; those of the CPU are at 01 and 06."""


def bus_cards(sys_root: Path = Path("/sys")) -> tuple[BusCard, ...] | None:
    """In the order of their addresses, a processor's graphics included; None where the bus is not shown."""
    folder = sys_root / "bus" / "pci" / "devices"
    if not folder.is_dir():
        return None
    found = []
    for entry in children(folder):
        address = pci_address(entry.name)
        if address is None or not (read_text(f"{entry}/class", 16) or "").startswith(_DISPLAY):
            continue
        vendor = pci_id(entry, "vendor")
        if vendor in _MAKERS:
            found.append(_card(entry, address, vendor, sys_root))
    return tuple(sorted(found, key=lambda card: in_pci_order(card.address)))


def _card(entry: Path, address: str, vendor: int, sys_root: Path) -> BusCard:
    device = entry.resolve()
    port = amd_slot_port(device) if vendor == AMD else intel_slot_port(device) if vendor == INTEL else device
    return BusCard(
        address,
        vendor,
        card_name(_MAKERS[vendor], device, sys_root.parent),
        link_name(entry / "driver"),
        is_asleep(device),
        link(port, "current"),
        most(port),
        link(port, "max"),
        _largest_window(device),
        _chipset(device),
    )


def _largest_window(device: Path) -> int | None:
    """Lines are `begin end flags` in hexadecimal; a window that was not given is all zeros."""
    sizes = []
    for line in (read_text(f"{device}/resource") or "").splitlines()[:_MOST_WINDOWS]:
        words = line.split()
        try:
            begin, end = int(words[0], 16), int(words[1], 16)
        except (IndexError, ValueError):
            continue
        if end > begin:
            sizes.append(end - begin + 1)
    return max(sizes, default=None)


def _chipset(device: Path) -> str | None:
    """The bridge of a chipset above it. AMD's chipsets are switches of ASMedia's or AMD's number below a root port;
    Intel's root ports stand on bus 0 in slots of their own."""
    for bridge in device.parents:
        address = pci_address(bridge.name)
        if address is None:
            return None
        vendor, slot = pci_id(bridge, "vendor"), address.split(":")
        if vendor == INTEL and slot[1] == "00" and slot[2][:2] in _CHIPSET_SLOTS:
            return address
        if vendor == _ASMEDIA or (vendor == _AMD_CPU and (pci_id(bridge, "device") or 0) >> 8 == 0x43):
            return address
    return None
