"""What sensors say. Every reading is optional: None is "not available", never 0."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import field
from enum import Enum
from math import ceil

from hettui.domain.records import dataclass

_LANE_BYTES_PER_S = {1: 250e6, 2: 500e6, 3: 985e6, 4: 1969e6, 5: 3938e6, 6: 7563e6}
"""Of one PCIe lane in one direction, by generation, after the line code."""


@dataclass(frozen=True, slots=True)
class Link:
    """A PCIe link. An idle card lowers both: only under load do they say something."""

    generation: int
    width: int

    def __str__(self) -> str:
        return f"gen{self.generation} x{self.width}"

    @property
    def bytes_per_s(self) -> float | None:
        """What it can carry in one direction; None for a generation that is not known here."""
        lane = _LANE_BYTES_PER_S.get(self.generation)
        return None if lane is None else lane * self.width


class Throttle(Enum):
    """Why a card's clocks are held down, in words. What is normal for an idle card is not one of them."""

    HOT = "too hot: the driver lowers its clocks"
    HOT_HARDWARE = "too hot: the hardware halves its clocks"
    POWER_BRAKE = "the power supply pulls the brake"
    SLOWDOWN = "the hardware slows it down: heat, power or its supply"
    POWER_LIMIT = "at its power limit"
    SYNC = "held back with the other cards of its group"


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds memory of a card."""

    pid: int
    name: str
    """Clean; empty when it is not known."""
    used_bytes: int | None


@dataclass(frozen=True, slots=True)
class DeviceSample:
    """One device at one moment."""

    used_bytes: int | None = None
    """Memory in use: of a card, everybody's; of a CPU worker, its process's resident size."""
    total_bytes: int | None = None
    own_bytes: int | None = None
    """The part of `used_bytes` that this cluster's processes hold."""
    holders: tuple[Holder, ...] | None = None
    """Who holds memory of the card, ours included, the largest first; None when the driver does not say."""
    utilisation_percent: float | None = None
    """Of a card; of a CPU worker, 100 is one core."""
    own_busy_percent: float | None = None
    """Of `utilisation_percent`: for how much of the time this cluster's processes computed on the card."""
    others_busy_percent: float | None = None
    """For how much somebody else did. On a shared card all three are near 100, and none says whose time it was."""
    temperature_c: float | None = None
    memory_temperature_c: float | None = None
    slowdown_c: float | None = None
    """The card's own threshold from which it lowers its clocks."""
    shutdown_c: float | None = None
    fan_percent: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    clock_mhz: float | None = None
    """Of the compute units."""
    clock_max_mhz: float | None = None
    throttles: tuple[Throttle, ...] | None = None
    """Empty: nothing holds the clocks down; None: the card does not say."""
    link_now: Link | None = None
    link_max: Link | None = None
    received_bytes_per_s: float | None = None
    """Over PCIe, by the card."""
    sent_bytes_per_s: float | None = None
    ecc_errors: int | None = None
    """Uncorrected ones since the driver was loaded."""
    energy_j: float | None = None
    """Since the driver was loaded: differences mean something."""
    asleep: bool = False
    """Powered down by the kernel while nothing uses it: it is not asked, for any question would wake it up."""
    lost: str | None = None
    """Why the card cannot be read any more, though it could before: it fell off the bus, its driver was reset."""


@dataclass(frozen=True, slots=True, eq=False)
class TelemetrySnapshot:
    """All devices of one sampling round, by device name."""

    monotonic_s: float
    interval_s: float
    samples: Mapping[str, DeviceSample]
    errors: Mapping[str, str] = field(default_factory=dict)
    """Why a device has no sample, by device name."""


class Series:
    """The readings of the last `span_s` seconds, each with its time; a gap is a gap or None."""

    def __init__(self, span_s: float) -> None:
        self._span_s = span_s
        self._readings: deque[tuple[float, float | None]] = deque()
        self._part_s = 0.0
        self._highest: dict[int, float | None] = {}
        """By the number of the part: of parts as long as they were asked for last."""

    def push(self, time_s: float, value: float | None) -> None:
        """Times never go back."""
        self._readings.append((time_s, value))
        while self._readings[0][0] < time_s - 2 * self._span_s:
            gone_s, _ = self._readings.popleft()
            if self._part_s and gone_s // self._part_s < self._readings[0][0] // self._part_s:
                self._highest.pop(int(gone_s // self._part_s), None)
        if self._part_s:
            self._count(time_s, value)

    def _count(self, time_s: float, value: float | None) -> None:
        part = int(time_s // self._part_s)
        before = self._highest.get(part)
        self._highest[part] = before if value is None else value if before is None else max(before, value)

    def bins(self, now_s: float, count: int, hold_s: float = 0.0) -> tuple[float | None, ...]:
        """The highest reading in each of `count` equal parts of the span, oldest first; None where there is none.

        The parts lie at whole multiples of their length, so that most of the time the picture stays the same and does
        not crawl with every reading. A reading stands for `hold_s` when none follows: readings may be rarer than parts.
        """
        if count <= 0:
            return ()
        part_s = self._span_s / count
        if part_s != self._part_s:
            self._part_s, self._highest = part_s, {}
            for reading in self._readings:
                self._count(*reading)
        highest, held = self._highest, ceil(hold_s / part_s)
        newest, bins = int(now_s // part_s), []
        last = first = newest - count + 1 - held
        for part in range(first, newest + 1):
            if part in highest:
                last = part
            if part >= first + held:
                bins.append(highest.get(last) if part - last <= held else None)
        return tuple(bins)
