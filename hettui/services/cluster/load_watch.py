"""Watches the master load: how far it is, whether it moves at all, and what it reserved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hettui.domain.cluster.llama_log import MasterLog
from hettui.domain.cluster.snapshot import LoadProgress
from hettui.domain.memory.forecast import Memory
from hettui.domain.patterns import late_pattern
from hettui.ports import Clock, TransferMeter
from hettui.services.cluster.supervisor import Supervised

_POLLS_COST = 3
"""What a process that only answers us may do from one look to the next: ticks of its CPU time. A load does more: each
tick, and each 64 KiB that it reads, counts one."""
_ASKED = late_pattern(r"log_server_r|\b(?:GET|POST|HEAD) /")
"""A line about a request."""
_FIGURES = late_pattern(r"[\d.]+")
_LINE_CHARS = 200
_LINES_KEPT = 4096


class LoadWatch:
    """One launch of the master at a time."""

    def __init__(self, clock: Clock, meter: TransferMeter) -> None:
        self._clock = clock
        self._meter = meter
        self._log = MasterLog({})
        self._since_s: float | None = None
        self._lines = 0
        """Those that said something new."""
        self._said: set[str] = set()
        self._active = 0
        self._works = 0
        """Looks that found it at work."""
        self._sent_bytes = 0
        self.owners: Mapping[str, str] = {}

    def begin(self, owners: Mapping[str, str]) -> None:
        """A master is about to load."""
        self.owners = owners
        self._log = MasterLog(owners)
        self._said.clear()
        self._active = 0
        self._since_s = self._clock.monotonic()
        self._sent_bytes = 0

    def end(self) -> None:
        """It is ready, or gone."""
        self._since_s = None

    def feed(self, lines: Sequence[str], partial: str) -> None:
        """New lines of the master's log."""
        for line in lines:
            self._log.feed(line)
            said = _FIGURES.sub("#", line[:_LINE_CHARS])
            if said not in self._said and len(self._said) < _LINES_KEPT and not _ASKED.search(line):
                self._said.add(said)
                self._lines += 1
        self._log.feed_partial(partial)

    @property
    def memory(self) -> dict[str, Memory]:
        return self._log.memory

    @property
    def layers(self) -> dict[str, int]:
        return self._log.layers

    def moved(self, master: Supervised, *, answers: bool = False) -> tuple[object, ...]:
        """Differs from one look to the next as long as the load makes any progress.

        What our own asking causes is none: the little work of an answer, and a line about it. `answers`: it is asked
        and answers already, and not that it loads; then it loads no more, whatever it does.
        """
        active, self._active = self._active, master.activity or 0
        if not answers and self._active - active > _POLLS_COST:
            self._works += 1
        return (self._lines, self._log.load_fraction, self._sent_bytes, self._works) if not answers else ()

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
