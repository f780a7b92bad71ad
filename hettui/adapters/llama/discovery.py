"""Everything on this machine that can hold layers, each once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from hettui.adapters.llama.binaries import EngineDevice, list_devices
from hettui.adapters.llama.engine_match import backend_of, match
from hettui.adapters.machine.psutil_host import cpu_hardware
from hettui.domain.devices.device import Hardware
from hettui.domain.errors import EngineError
from hettui.ports import EngineInfo

_CUDA_ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""CUDA's numbers then follow the PCI addresses, as NVML's do."""


class CardLister(Protocol):
    """A telemetry source that knows its cards."""

    def list_cards(self) -> tuple[Hardware, ...]:
        """In PCI order; none where its driver is missing."""


def discover(engine: EngineInfo | None, nvml: CardLister, others: Sequence[CardLister] = ()) -> tuple[Hardware, ...]:
    """NVIDIA cards in PCI order, those of the other listers, what else the engine lists, the CPU last.

    Never raises for what is missing. A card that the engine's list cannot be matched with has no engine name; the
    entry of the list then stands for itself.
    """
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
        listed = tuple(device for device in listed if device not in cuda)
    for lister in others:
        cards = (*cards, *lister.list_cards())
    # A build without CUDA may still reach NVIDIA cards through Vulkan; then that is their name.
    cards, rest = match(cards, listed)
    return (*cards, *(_hardware(device) for device in rest), cpu_hardware())


def _hardware(device: EngineDevice) -> Hardware:
    return Hardware(
        id=device.name,
        name=device.description or device.name,
        backend=backend_of(device.name),
        total_bytes=device.total_bytes,
        free_bytes=device.free_bytes,
        engine_name=device.name,
    )
