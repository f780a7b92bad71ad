"""After a stop: whether the cards have their memory back. Drivers take a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from hettui.domain.devices.device import Device
from hettui.domain.telemetry.memory_back import in_words, not_back, worth_watching
from hettui.domain.telemetry.readings import DeviceSample, TelemetrySnapshot
from hettui.ports import Clock
from hettui.services.events import Event, Notice, TelemetryUpdated

MEMORY_BACK_S = 6.0
"""How long a driver may take to give a card's memory back after the last process has ended."""
_LOOK_S = 0.1


class MemoryBack:
    """Hears the readings. Runs on the engine's loop."""

    def __init__(self, clock: Clock, emit: Callable[[Event], None]) -> None:
        self._clock = clock
        self._emit = emit
        self._readings: TelemetrySnapshot | None = None

    def hear(self, event: Event) -> None:
        if isinstance(event, TelemetryUpdated):
            self._readings = event.snapshot

    def held(self, devices: Sequence[Device]) -> dict[str, DeviceSample]:
        """The cards among them on which processes of ours hold memory now."""
        cards = frozenset(d.name for d in devices if d.backend != "cpu")
        return worth_watching(self._readings.samples, cards) if self._readings else {}

    async def confirm(self, before: Mapping[str, DeviceSample]) -> None:
        """All processes have ended just now; after a few rounds of readings it is told either way."""
        ended_s = self._clock.monotonic()
        missing: dict[str, int | None] = dict.fromkeys(before)
        while missing and self._clock.monotonic() - ended_s < MEMORY_BACK_S:
            await asyncio.sleep(_LOOK_S)
            if self._readings is not None and self._readings.monotonic_s > ended_s:
                missing = not_back(before, self._readings.samples)
        self._emit(Notice(in_words(before, missing), "warning" if missing else "information"))
