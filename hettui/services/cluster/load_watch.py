"""Watches the master load: how far it is, whether it moves at all, and what it reserved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hettui.domain.cluster.llama_log import MasterLog
from hettui.domain.cluster.snapshot import LoadProgress
from hettui.domain.memory.forecast import Memory
from hettui.ports import Clock, TransferMeter
from hettui.services.cluster.supervisor import Supervised


class LoadWatch:
    """One launch of the master at a time."""

    def __init__(self, clock: Clock, meter: TransferMeter) -> None:
        self._clock = clock
        self._meter = meter
        self._log = MasterLog({})
        self._since_s: float | None = None
        self._lines = 0
        self._sent_bytes = 0
        self.owners: Mapping[str, str] = {}

    def begin(self, owners: Mapping[str, str]) -> None:
        """A master is about to load."""
        self.owners = owners
        self._log = MasterLog(owners)
        self._since_s = self._clock.monotonic()
        self._sent_bytes = 0

    def end(self) -> None:
        """It is ready, or gone."""
        self._since_s = None

    def feed(self, lines: Sequence[str], partial: str) -> None:
        """New lines of the master's log."""
        for line in lines:
            self._log.feed(line)
        self._log.feed_partial(partial)
        self._lines += len(lines)

    @property
    def memory(self) -> dict[str, Memory]:
        return self._log.memory

    @property
    def layers(self) -> dict[str, int]:
        return self._log.layers

    def moved(self, master: Supervised) -> tuple[object, ...]:
        """Differs from one look to the next as long as the load makes any progress."""
        return (self._lines, self._log.load_fraction, self._sent_bytes, master.activity)

    def progress(self, before: LoadProgress | None, ports: Sequence[int]) -> LoadProgress | None:
        """How far it is now; None when nothing loads."""
        if self._since_s is None or before is None:
            return None
        sent = self._meter.sent_bytes(ports) if ports else None
        if sent:
            self._sent_bytes = sum(sent.values())
        by_bytes = self._sent_bytes / before.total_bytes if before.total_bytes else 0.0
        fraction = min(1.0, max(before.fraction, self._log.load_fraction, by_bytes))
        return LoadProgress(fraction, before.total_bytes, self._clock.monotonic() - self._since_s)
