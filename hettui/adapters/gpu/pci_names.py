"""What a card is called in shops: the kernel knows numbers, two files that distributions ship know names."""

from __future__ import annotations

import re
from pathlib import Path

from hettui.adapters.machine.sysfs import pci_id
from hettui.domain.patterns import late_pattern
from hettui.domain.text import clean_line

_AMDGPU_IDS = Path("usr/share/libdrm/amdgpu.ids")
"""Of libdrm: by chip and revision, exact, and the names that Mesa and ROCm use."""
_PCI_IDS = (Path("usr/share/misc/pci.ids"), Path("usr/share/hwdata/pci.ids"))
_MOST_BYTES = 8 << 20
_NUMBERS = late_pattern(r"\[[0-9a-f]{4}:[0-9a-f]{4}\]")


def card_name(maker: str, card: Path, root: Path) -> str:
    """`AMD Radeon RX 7900 XTX`; `Intel Arc A770` by pci.ids; `Intel GPU [8086:56a0]` when no file names it.

    `card` is its folder in sysfs, `root` the folder that holds `usr`.
    """
    vendor, device = pci_id(card, "vendor"), pci_id(card, "device")
    if vendor is None or device is None:
        return f"{maker} GPU"
    name = _in_amdgpu_ids(root, device, pci_id(card, "revision")) if maker == "AMD" else None
    if name is None:
        short = _in_pci_ids(root, vendor, device)
        name = short and (short if short.startswith(maker) else f"{maker} {short}")
    return clean_line(name or f"{maker} GPU [{vendor:04x}:{device:04x}]", 80)


def is_nameless(name: str) -> bool:
    """Whether `card_name` found nothing but numbers."""
    return name.endswith(" GPU") or _NUMBERS.search(name) is not None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return ""


def _in_amdgpu_ids(root: Path, device: int, revision: int | None) -> str | None:
    """Lines are `744C,\tC8,\tAMD Radeon RX 7900 XTX`."""
    if revision is None:
        return None
    found = re.search(rf"^{device:04X},\s*{revision:02X},\s*(\S.*?)\s*$", _text(root / _AMDGPU_IDS), re.MULTILINE)
    return found[1] if found else None


def _in_pci_ids(root: Path, vendor: int, device: int) -> str | None:
    """Of `DG2 [Arc A770]` the part in brackets, which is what the shop says."""
    text = next((text for path in _PCI_IDS if (text := _text(root / path))), "")
    block = re.search(rf"^{vendor:04x}  .*\n((?:[\t#].*\n|\n)*)", text, re.MULTILINE)
    line = re.search(rf"^\t{device:04x}  (\S.*?)\s*$", block[1], re.MULTILINE) if block else None
    if line is None:
        return None
    shop = re.search(r"\[(.+)\]", line[1])
    return shop[1] if shop else line[1]
