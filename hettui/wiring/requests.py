"""What requests did, without the screen: read from the running master's log, and followed there."""

from __future__ import annotations

import time
from collections.abc import Iterator

from hettui.adapters.files.paths import log_dir
from hettui.adapters.processes.log_files import LogFolder
from hettui.adapters.processes.run_folder import RunFolder
from hettui.domain.cluster.run_state import ProcessRecord, RunState
from hettui.domain.errors import HettuiError
from hettui.domain.slots.request import Request
from hettui.domain.slots.request_log import RequestLog
from hettui.domain.slots.reread import Traits
from hettui.ports import LogTail
from hettui.wiring.ownership import open_runs

_FOLLOW_S = 0.2


class FollowedRequests:
    """Of the cluster that runs, whoever owns it: only its record and its log are read."""

    def __init__(self) -> None:
        """Raises HettuiError when nothing runs."""
        self._runs: RunFolder = open_runs()
        self._logs = LogFolder(log_dir())
        self.log = RequestLog()
        self._master: ProcessRecord | None = None
        self._tail: LogTail | None = None
        self._look()
        if self._master is None:
            raise HettuiError("nothing runs: hettui up starts the cluster, and hettui status shows it")
        self._read()

    def ended(self) -> Iterator[Request]:
        """Each one that ends from now on, without an end."""
        while True:
            time.sleep(_FOLLOW_S)
            before = self.log.version
            self._look()
            self._read()
            yield from self.log.since(before)

    def _look(self) -> None:
        """Which master it is, and what its model is like."""
        record = self._record()
        master = record.master if record else None
        if record is None or master is None or (self._master is not None and master.pid == self._master.pid):
            return
        if self._master is not None:
            self._read()
            self.log.restart()
        terms = record.terms
        self.log.traits = Traits(bool(terms and terms.windows and not terms.swa_full), bool(terms and terms.recurrent))
        # Rotated meanwhile: what is left begins at the front.
        offset = master.log_offset if master.log_offset <= self._logs.size(master.spec.name) else 0
        self._master, self._tail = master, self._logs.tail(master.spec.name, offset)

    def _record(self) -> RunState | None:
        try:
            return self._runs.load()
        except HettuiError:
            return None

    def _read(self) -> None:
        while self._tail is not None and (lines := self._tail.read()[0]):
            for line in lines:
                self.log.feed(line)
