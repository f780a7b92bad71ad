"""What sensors say. Every reading is optional: None is "not available", never 0."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DeviceSample:
    """One device at one moment."""

    used_bytes: int | None = None
    """Memory in use: of a card, everybody's; of a CPU worker, its process's resident size."""
    total_bytes: int | None = None
    own_bytes: int | None = None
    """The part of `used_bytes` that this cluster's processes hold."""
    utilisation_percent: float | None = None
    """Of a card; of a CPU worker, 100 is one core."""
    temperature_c: float | None = None
    temperature_limit_c: float | None = None
    """The card's own slowdown threshold."""
    power_w: float | None = None
    power_limit_w: float | None = None
    pcie_now: str | None = None
    """`gen4 x16`"""
    pcie_max: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TelemetrySnapshot:
    """All devices of one sampling round, by device name."""

    monotonic_s: float
    interval_s: float
    samples: Mapping[str, DeviceSample]
    errors: Mapping[str, str] = field(default_factory=dict)
    """Why a device has no sample, by device name."""


class Series:
    """The last `length` values of one reading, oldest first; gaps are None."""

    def __init__(self, length: int) -> None:
        self._values: deque[float | None] = deque([None] * length, maxlen=length)

    def push(self, value: float | None) -> None:
        self._values.append(value)

    @property
    def values(self) -> tuple[float | None, ...]:
        return tuple(self._values)
