"""Everything on this machine that can hold layers, each once."""

from __future__ import annotations

from dataclasses import replace

from hettui.adapters.binaries import EngineDevice, list_devices
from hettui.adapters.nvml import NvmlSource
from hettui.adapters.psutil_host import cpu_hardware
from hettui.domain.device import Hardware
from hettui.domain.errors import EngineError
from hettui.ports import EngineInfo

_CUDA_ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""CUDA's numbers then follow the PCI addresses, as NVML's do."""


def discover(engine: EngineInfo | None, nvml: NvmlSource) -> tuple[Hardware, ...]:
    """NVIDIA cards in PCI order, then what else the engine lists, the CPU last. Never raises for what is missing."""
    cards = nvml.list_cards()
    listed: tuple[EngineDevice, ...] = ()
    if engine is not None:
        try:
            listed = list_devices(engine, _CUDA_ORDER)
        except EngineError:
            listed = ()
    cuda = [device for device in listed if device.name.startswith("CUDA")]
    if cuda and len(cuda) == len(cards):
        cards = tuple(replace(card, engine_name=device.name) for card, device in zip(cards, cuda, strict=True))
        known = cuda
    else:
        # A build without CUDA may still reach NVIDIA cards through Vulkan; then that is their name.
        cards, known = _by_description(cards, [d for d in listed if d not in cuda])
        known = [*known, *cuda] if cards else known
    others = tuple(_hardware(device) for device in listed if device not in known)
    return (*cards, *others, cpu_hardware())


def _by_description(
    cards: tuple[Hardware, ...], listed: list[EngineDevice]
) -> tuple[tuple[Hardware, ...], list[EngineDevice]]:
    """Cards with the engine's names where the descriptions agree and no two cards are of the same make."""
    result, known = [], []
    for card in cards:
        same = [d for d in listed if card.name in d.description]
        twins = [c for c in cards if c.name == card.name]
        if len(same) == 1 and len(twins) == 1:
            known.append(same[0])
            result.append(replace(card, engine_name=same[0].name, backend=_backend(same[0].name)))
        else:
            result.append(card)
    return tuple(result), known


def _backend(engine_name: str) -> str:
    return engine_name.rstrip("0123456789").lower()


def _hardware(device: EngineDevice) -> Hardware:
    return Hardware(
        id=device.name,
        name=device.description or device.name,
        backend=_backend(device.name),
        total_bytes=device.total_bytes,
        free_bytes=device.free_bytes,
        engine_name=device.name,
    )
