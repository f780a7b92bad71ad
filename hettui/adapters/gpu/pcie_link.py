"""The PCIe link between a card and the machine, from sysfs.

Many cards carry a switch: the graphics chip hangs below a downstream port, that below an upstream port, and only the
latter is in the slot. The chip's own link is then inside the card: amdgpu's always says the full x16, Intel's always
2.5 GT/s x1. What the slot gives is the upstream port's link.
"""

from __future__ import annotations

from pathlib import Path

from hettui.adapters.machine.sysfs import pci_id, read_number, read_text
from hettui.domain.patterns import late_pattern
from hettui.domain.telemetry.readings import Link

_GENERATIONS = {"2.5": 1, "5": 2, "5.0": 2, "8": 3, "8.0": 3, "16.0": 4, "32.0": 5, "64.0": 6}
_SPEED = late_pattern(r"([0-9.]{1,5}) GT/s.*")
_WIDTHS = frozenset({1, 2, 4, 8, 12, 16, 32})
_BRIDGE_CLASS = "0x0604"
_ATI = 0x1002
_AMD = 0x1022
_INTEL = 0x8086
_VEGA_BRIDGES = frozenset({0x1470, 0x1471, 0x14A0, 0x14A1})
"""Of Vega 10 and 20: under AMD's number for processors and chip sets, all later ones under ATI's."""


def link(port: Path | None, which: str) -> Link | None:
    """`which` is `current` or `max`. None where the port does not say."""
    if port is None:
        return None
    match = _SPEED.fullmatch(read_text(f"{port}/{which}_link_speed", 64) or "")
    generation = _GENERATIONS.get(match[1]) if match else None
    width = read_number(f"{port}/{which}_link_width", 1, 32)
    return None if generation is None or width not in _WIDTHS or width is None else Link(generation, width)


def most(port: Path | None) -> Link | None:
    """The best that this card in this slot can reach, as NVML means it: what both ends of the link can."""
    own = link(port, "max")
    if port is None or own is None or not _is_bridge(port.parent):
        return own
    other = link(port.parent, "max")
    return own if other is None else Link(min(own.generation, other.generation), min(own.width, other.width))


def amd_slot_port(device: Path) -> Path:
    """The end of the slot's link on an AMD card: its switch's upstream port, else the chip itself."""
    port = device
    while _is_bridge(port.parent) and _is_amd_cards(port.parent):
        port = port.parent
    return port


def intel_slot_port(device: Path) -> Path | None:
    """The same for an Intel card. None without its switch, as inside a virtual machine: the chip's own link lies.

    Intel's root ports have the same vendor; a root port hangs on the host bridge, which is no bridge of PCI.
    """
    upstream = device.parent.parent
    inside = all(_is_bridge(port) and pci_id(port, "vendor") == _INTEL for port in (device.parent, upstream))
    return upstream if inside and _is_bridge(upstream.parent) else None


def _is_bridge(port: Path) -> bool:
    return (read_text(f"{port}/class", 16) or "").startswith(_BRIDGE_CLASS)


def _is_amd_cards(port: Path) -> bool:
    vendor = pci_id(port, "vendor")
    return vendor == _ATI or (vendor == _AMD and pci_id(port, "device") in _VEGA_BRIDGES)
