"""A scripted NVML: unlike cards, fields that are not supported, a card that falls off the bus."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


class NVMLError(Exception):
    """As pynvml raises for everything."""


@dataclass
class Card:
    """One card's answers by NVML's function name, shortened; what is not in `says` is not supported."""

    name: str
    uuid: str
    bus_id: str
    says: dict[str, Any] = field(default_factory=dict)
    lost: bool = False


@dataclass
class FakeNvml:
    """Stands in for the pynvml module."""

    cards: list[Card] = field(default_factory=list)
    driver: bool = True
    NVMLError = NVMLError
    NVML_TEMPERATURE_GPU = 0
    NVML_TEMPERATURE_THRESHOLD_SLOWDOWN = 1

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's own names
        if not self.driver:
            raise NVMLError("Driver Not Loaded")

    def nvmlShutdown(self) -> None:  # noqa: N802
        pass

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "580.159"

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Card:  # noqa: N802
        return self.cards[index]

    def __getattr__(self, query: str) -> Any:
        if not query.startswith("nvmlDeviceGet"):
            raise AttributeError(query)

        def ask(card: Card, *_: Any) -> Any:
            if card.lost:
                raise NVMLError("GPU is lost")
            known = {"Name": card.name, "UUID": card.uuid, "PciInfo": SimpleNamespace(busId=card.bus_id)}
            key = query.removeprefix("nvmlDeviceGet")
            value = known.get(key, card.says.get(key))
            if value is None:
                raise NVMLError("Not Supported")
            return value

        return ask


def three_cards() -> FakeNvml:
    """An RTX 5080 that tells all, an RTX 3060 with the name as bytes, a GTX 1660 that tells little."""
    full = {
        "MemoryInfo": SimpleNamespace(total=16 << 30, used=2 << 30, free=14 << 30),
        "UtilizationRates": SimpleNamespace(gpu=87),
        "Temperature": 61,
        "TemperatureThreshold": 90,
        "PowerUsage": 215_500,
        "EnforcedPowerLimit": 360_000,
        "CurrPcieLinkGeneration": 5,
        "CurrPcieLinkWidth": 16,
        "MaxPcieLinkGeneration": 5,
        "MaxPcieLinkWidth": 16,
        "ComputeRunningProcesses": [
            SimpleNamespace(pid=77, usedGpuMemory=1 << 30),
            SimpleNamespace(pid=5, usedGpuMemory=1 << 29),
        ],
    }
    some = {"MemoryInfo": SimpleNamespace(total=12 << 30, used=1 << 30, free=11 << 30), "Temperature": 0}
    return FakeNvml(
        [
            Card("NVIDIA GeForce RTX 3060", "GPU-bbb", "00000000:04:00.0", some),
            Card("NVIDIA GeForce RTX 5080", "GPU-aaa", "00000000:01:00.0", full),
            Card("\x1b[31mGTX 1660 SUPER", "GPU-ccc", "0000000A:05:00.0", {}),
        ]
    )
