"""Readings of the sensors during a bench, and what follows from them for each device."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hettui.domain.bench.run import DeviceFigures
from hettui.domain.telemetry.readings import DeviceSample, TelemetrySnapshot

Window = tuple[float, float]
"""Begin and end by the sensors' clock."""


class DeviceMeter:
    """Collects rounds of readings. Times are the clock's that the poller uses."""

    def __init__(self) -> None:
        self._rounds: list[TelemetrySnapshot] = []

    def add(self, snapshot: TelemetrySnapshot) -> None:
        self._rounds.append(snapshot)

    @property
    def names(self) -> list[str]:
        """Every device that was read, in the order of the first round that knew it."""
        return list(dict.fromkeys(name for found in self._rounds for name in found.samples))

    def power_w(self, name: str, window: Window) -> float | None:
        """The mean over a window. From the energy counter where the card has one, for it misses no peak.

        Readings are rare beside a short window: those just before and after it count as well. Nothing that runs takes
        no power: a counter that stands still, and a reading of 0, have measured nothing.
        """
        readings = self._around(name, window)
        counted = [(t, s.energy_j) for t, s in readings if s.energy_j is not None]
        if len(counted) > 1 and counted[-1][0] > counted[0][0] and counted[-1][1] > counted[0][1]:
            return (counted[-1][1] - counted[0][1]) / (counted[-1][0] - counted[0][0])
        begin, end = window
        known = [(t, s.power_w) for t, s in readings if s.power_w is not None and s.power_w > 0]
        powers = [power for t, power in known if begin <= t <= end] or [power for _, power in known]
        return sum(powers) / len(powers) if powers else None

    def energy_j(self, window: Window) -> float | None:
        """Of all devices that know their power; None when none does."""
        powers = [p for name in self.names if (p := self.power_w(name, window)) is not None]
        return sum(powers) * (window[1] - window[0]) if powers and window[1] > window[0] else None

    def figures(self, whole: Window, generating: Sequence[tuple[Window, int]]) -> tuple[DeviceFigures, ...]:
        """Every device over the whole bench. `generating`: windows of single streams, and their tokens."""
        return tuple(self._figures(name, whole, generating) for name in self.names)

    def _figures(self, name: str, whole: Window, generating: Sequence[tuple[Window, int]]) -> DeviceFigures:
        samples = [s for _, s in self._inside(name, whole)]
        energies = [(self.power_w(name, window), window, tokens) for window, tokens in generating]
        known = [(power * (window[1] - window[0]), tokens) for power, window, tokens in energies if power]
        tokens = sum(count for _, count in known)
        throttles = (reason.value for s in samples for reason in s.throttles or ())
        return DeviceFigures(
            name,
            max((s.used_bytes for s in samples if s.used_bytes is not None), default=None),
            max((s.temperature_c for s in samples if s.temperature_c is not None), default=None),
            self.power_w(name, whole),
            sum(energy for energy, _ in known) / tokens if tokens else None,
            tuple(dict.fromkeys(throttles)),
        )

    def limits_w(self) -> dict[str, float]:
        """Power limits by device, as read last."""
        found: dict[str, float] = {}
        for snapshot in self._rounds:
            for name, sample in snapshot.samples.items():
                if sample.power_limit_w is not None:
                    found[name] = sample.power_limit_w
        return found

    def _readings(self, name: str) -> Iterable[tuple[float, DeviceSample]]:
        return ((r.monotonic_s, r.samples[name]) for r in self._rounds if name in r.samples)

    def _inside(self, name: str, window: Window) -> list[tuple[float, DeviceSample]]:
        return [(t, s) for t, s in self._readings(name) if window[0] <= t <= window[1]]

    def _around(self, name: str, window: Window) -> list[tuple[float, DeviceSample]]:
        readings = list(self._readings(name))
        first = max((i for i, (t, _) in enumerate(readings) if t <= window[0]), default=0)
        last = min((i for i, (t, _) in enumerate(readings) if t >= window[1]), default=len(readings) - 1)
        return readings[first : last + 1]
