"""Looks after the cards: every round of readings may raise or end an alert, told as an event and as a log line."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hettui.domain.devices.device import Device
from hettui.domain.telemetry.alerts import AlertState, update
from hettui.domain.telemetry.readings import TelemetrySnapshot
from hettui.services.events import Event, LogLines, TelemetryUpdated

LOG_NAME = "hettui"
"""Whose lines they are, among those of the cluster's processes."""


class AlertWatcher:
    """Runs on the engine's loop."""

    def __init__(self, emit: Callable[[Event], None], time_of_day: Callable[[], str]) -> None:
        """`time_of_day`: what stands before a line in the log, such as `14:03:07`."""
        self._emit = emit
        self._time_of_day = time_of_day
        self._state = AlertState()

    def watch(self, devices: Sequence[Device]) -> None:
        """Cards, here and on other hosts: a CPU worker may end as it likes."""
        self._state = self._state.watching([d.name for d in devices if d.backend != "cpu"])

    def hear(self, event: Event) -> None:
        if isinstance(event, TelemetryUpdated):
            self.feed(event.snapshot)

    def feed(self, snapshot: TelemetrySnapshot) -> None:
        """The next round."""
        self._state, alerts = update(self._state, snapshot, snapshot.monotonic_s)
        for alert in alerts:
            self._emit(alert)
            self._emit(LogLines(LOG_NAME, (f"{self._time_of_day()} {alert.text}".lstrip(),)))
