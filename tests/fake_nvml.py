"""A scripted NVML: unlike cards, fields that are not supported, a card that falls off the bus."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


class NVMLError(Exception):
    """As pynvml raises for everything; `value` is NVML's code."""

    def __init__(self, value: int) -> None:
        super().__init__(f"NVML error {value}")
        self.value = value


NOT_SUPPORTED, DRIVER_NOT_LOADED, GPU_IS_LOST, UNKNOWN = 3, 9, 15, 999


@dataclass
class Card:
    """One card's answers by NVML's function name, shortened; what is not in `says` is not supported.

    An answer may be a function of the call's further arguments, or an NVMLError to raise.
    """

    name: str
    uuid: str
    bus_id: str
    says: dict[str, Any] = field(default_factory=dict)
    lost: bool = False
    hung: threading.Event | None = None
    """While it is there, every call waits for it."""
    asked: Counter[str] = field(default_factory=Counter)
    """How often each was asked."""


@dataclass
class FakeNvml:
    """Stands in for the pynvml module."""

    cards: list[Card] = field(default_factory=list)
    driver: bool = True
    init_error: int | None = None
    """NVML's code with which it does not begin."""
    refused: dict[int, int] = field(default_factory=dict)
    """By number: the code with which a card's handle is refused."""
    calls: int = 0
    """Of every kind but the version's."""
    NVMLError = NVMLError
    NVML_TEMPERATURE_GPU = 0
    NVML_TEMPERATURE_THRESHOLD_SHUTDOWN = 0
    NVML_TEMPERATURE_THRESHOLD_SLOWDOWN = 1
    NVML_CLOCK_SM = 1
    NVML_CLOCK_MEM = 2
    NVML_PCIE_UTIL_TX_BYTES = 0
    NVML_PCIE_UTIL_RX_BYTES = 1
    NVML_MEMORY_ERROR_TYPE_UNCORRECTED = 1
    NVML_VOLATILE_ECC = 0
    nvmlMemory_v2 = 0x02000028  # noqa: N815
    inits: int = 0
    process_names: dict[int, str | bytes] = field(default_factory=dict)

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's own names
        self.inits += 1
        self.calls += 1
        if self.init_error is not None:
            raise NVMLError(self.init_error)
        if not self.driver:
            raise NVMLError(DRIVER_NOT_LOADED)

    def nvmlShutdown(self) -> None:  # noqa: N802
        pass

    def nvmlSystemGetProcessName(self, pid: int) -> str | bytes:  # noqa: N802
        if pid not in self.process_names:
            raise NVMLError(UNKNOWN)
        return self.process_names[pid]

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "580.159"

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        self.calls += 1
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Card:  # noqa: N802
        self.calls += 1
        if index in self.refused:
            raise NVMLError(self.refused[index])
        return self.cards[index]

    def nvmlDeviceGetHandleByPciBusId(self, address: str) -> Card:  # noqa: N802
        self.calls += 1
        found = (card for card in self.cards if card.bus_id.lower().endswith(address.lower()))
        return next(found)

    def __getattr__(self, query: str) -> Any:
        if not query.startswith("nvmlDeviceGet"):
            raise AttributeError(query)

        def ask(card: Card, *arguments: Any) -> Any:
            self.calls += 1
            card.asked[query.removeprefix("nvmlDeviceGet")] += 1
            if card.hung is not None:
                card.hung.wait(30)
            if card.lost:
                raise NVMLError(GPU_IS_LOST)
            known = {"Name": card.name, "UUID": card.uuid, "PciInfo": SimpleNamespace(busId=card.bus_id)}
            key = query.removeprefix("nvmlDeviceGet")
            value = known.get(key, card.says.get(key))
            if value is None:
                raise NVMLError(NOT_SUPPORTED)
            if isinstance(value, NVMLError):
                raise value
            return value(*arguments) if callable(value) else value

        return ask


def three_cards() -> FakeNvml:
    """An RTX 5080 that tells all, an RTX 3060 with the name as bytes, a GTX 1660 that tells little."""
    full = {
        "MemoryInfo": SimpleNamespace(total=16 << 30, used=2 << 30, free=14 << 30),
        "UtilizationRates": SimpleNamespace(gpu=87),
        "Temperature": 61,
        "TemperatureThreshold": lambda kind: {0: 95, 1: 90}[kind],
        "PowerUsage": 215_500,
        "EnforcedPowerLimit": 360_000,
        "CurrPcieLinkGeneration": 5,
        "CurrPcieLinkWidth": 16,
        "MaxPcieLinkGeneration": 5,
        "MaxPcieLinkWidth": 16,
        "ClockInfo": 2400,
        "MaxClockInfo": lambda clock: {1: 2900, 2: 15001}[clock],
        "MemoryBusWidth": 256,
        "FanSpeed": 41,
        "CurrentClocksEventReasons": 0x4,
        "PcieThroughput": lambda way: {0: 120_000, 1: 450_000}[way],
        "TotalEccErrors": 0,
        "TotalEnergyConsumption": 9_500_000,
        "FieldValues": lambda _: [SimpleNamespace(nvmlReturn=0, value=SimpleNamespace(uiVal=72))],
        "CudaComputeCapability": (12, 0),
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
