"""How a card is called: every usual spelling of an address, a UUID or an engine's name, in one form.

nvidia-smi writes `00000000:04:00.0`, lspci `04:00.0`, the kernel `0000:04:00.0` and `10000:e1:00.0`, its log
`PCI:0000:04:00`; a UUID stands with and without `GPU-`. Two spellings of one card must not be two cards.
"""

from __future__ import annotations

import re

from hettui.domain.patterns import late_pattern

_ADDRESS = late_pattern(r"(?:pci:)?(?:([0-9a-f]{1,8}):)?([0-9a-f]{2}):([01][0-9a-f])(?:\.([0-7]))?", re.IGNORECASE)
_UUID = late_pattern(r"(?:uuid:)?((?:GPU|MIG)-[\w/-]{1,100})", re.IGNORECASE)
_BARE_UUID = late_pattern(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_ANY_UUID = late_pattern(r"uuid:([\w/-]{1,100})", re.IGNORECASE)
_ENGINE_NAME = late_pattern(r"([A-Za-z]+):?([0-9]{1,4})")
_BACKENDS = {name.lower(): name for name in ("CUDA", "ROCm", "Vulkan", "SYCL", "MUSA", "CANN", "OpenCL", "Metal")}
"""llama.cpp's spelling of what people write in their own."""


def pci_address(text: str | None) -> str | None:
    """`0000:04:00.0` as the kernel writes it, longer domains in full; None for anything else."""
    match = _ADDRESS.fullmatch(text.strip()) if text else None
    if match is None:
        return None
    domain, bus, slot, function = match.groups()
    return f"{int(domain or '0', 16):04x}:{bus.lower()}:{slot.lower()}.{function or '0'}"


def in_pci_order(address: str | None) -> tuple[int, str]:
    """Sorts addresses in their one form: a longer domain is a higher one."""
    return len(address or ""), address or ""


def card_uuid(text: str | None) -> str | None:
    """`GPU-1f2e…` or `MIG-1f2e…` as CUDA takes it; None for anything else."""
    text = (text or "").strip()
    if match := _UUID.fullmatch(text):
        return match[1][:4].upper() + match[1][4:].lower()
    if match := _ANY_UUID.fullmatch(text):
        text = match[1]
        return f"GPU-{text.lower()}" if _BARE_UUID.fullmatch(text) else text.lower()
    return f"GPU-{text.lower()}" if _BARE_UUID.fullmatch(text) else None


def engine_name(text: str | None) -> str | None:
    """`CUDA1` for `cuda1` and `cuda:1`; None for anything else."""
    match = _ENGINE_NAME.fullmatch(text.strip()) if text else None
    if match is None:
        return None
    backend = _BACKENDS.get(match[1].lower(), match[1] if match[1][0].isupper() else None)
    return None if backend is None else f"{backend}{int(match[2])}"


def one_form(text: str | None) -> str | None:
    """The one form of an id: `cpu`, `pci:0000:04:00.0`, `uuid:GPU-…`, `CUDA1`; None when it is no id at all."""
    if text and text.strip().lower() == "cpu":
        return "cpu"
    if address := pci_address(text):
        return f"pci:{address}"
    if uuid := card_uuid(text):
        return f"uuid:{uuid}"
    return engine_name(text)
