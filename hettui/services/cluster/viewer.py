"""A second hettui beside a live one: shows what the owner's record says, follows the logs, changes nothing."""

from __future__ import annotations

from collections.abc import Callable

from hettui.domain.cluster.address import api_url, endpoint
from hettui.domain.cluster.launch import shell_line
from hettui.domain.cluster.process import ProcessState
from hettui.domain.cluster.run_state import ProcessRecord, RunState
from hettui.domain.cluster.snapshot import Applied, ClusterSnapshot, ClusterState, ProcessSnapshot
from hettui.domain.errors import HettuiError
from hettui.ports import ContextFolder, LlamaClient, LogTail
from hettui.services.cluster.adopting import log_start
from hettui.services.cluster.slot_watch import SlotWatch
from hettui.services.cluster.takeover import request_of
from hettui.services.cluster.world import Request, Supervision, World
from hettui.services.events import ClusterChanged, Event, LogLines, OwnerLeft

_LAST_BYTES = 64 * 1024
"""Of each log, of what was printed before one looks."""
_OWNER_EVERY_S = 1.0
"""Not oftener: a look holds the owner's lock for a blink."""


class Viewer:
    """Implements ClusterFacade. All methods run on the engine's loop."""

    follows_others = True

    def __init__(self, world: World, emit: Callable[[Event], None], reason: str) -> None:
        self._world = world
        self._emit = emit
        self._reason = reason
        self._record: RunState | None = None
        self._tails: dict[str, LogTail] = {}
        self._slots = SlotWatch(world, emit)
        self._master: ProcessRecord | None = None
        """The one whose requests are followed."""
        self._requests: LogTail | None = None
        self._api_key: str | None = None
        self._waits = False
        """For `take_over`: before it nobody hears what is told."""
        self._left = False
        self._looked_s = world.clock.monotonic()
        self.snapshot = ClusterSnapshot()
        self.client: LlamaClient | None = None
        self.contexts: ContextFolder | None = None

    async def start(self, request: Request) -> None:
        raise HettuiError(self._reason)

    async def stop(self, patience_s: float = 0.0) -> None:
        raise HettuiError(self._reason)

    @property
    def model_path(self) -> str | None:
        return self._record.cluster.model_path if self._record else None

    async def watch_slots(self) -> None:
        """Snapshots are the owner's."""

    async def settled(self) -> None:
        """Nothing is ever at work here."""

    async def leave(self) -> None:
        if self.client:
            await self.client.close()

    def expect_takeover(self) -> None:
        self._waits = True
        self.snapshot = ClusterSnapshot(ClusterState.LOOKING)

    async def take_over(
        self, record: RunState | None, api_key: str | None = None, supervision: Supervision | None = None
    ) -> None:
        self._api_key = api_key
        self._waits = False
        self.read_logs()

    def read_logs(self) -> None:
        """The record and the logs as they are now. A damaged record counts as one that was not read yet."""
        if self._waits:
            return
        try:
            record = self._world.runs.load()
        except HettuiError:
            record = self._record
        if record != self._record or self.snapshot.state is ClusterState.LOOKING:
            self._record = record
            self._show(record)
        self._read_requests()
        for entry in self._record.processes if self._record else ():
            name = entry.spec.name
            if name not in self._tails:
                self._tails[name] = self._world.logs.tail(name, self._log_start(entry))
            lines, _ = self._tails[name].read()
            if lines:
                self._emit(LogLines(name, tuple(lines)))

        self._look_for_the_owner()

    def _log_start(self, entry: ProcessRecord) -> int:
        """Of a run of days the end is enough."""
        return max(log_start(entry, self._world), self._world.logs.size(entry.spec.name) - _LAST_BYTES)

    def _look_for_the_owner(self) -> None:
        now_s = self._world.clock.monotonic()
        if self._left or now_s - self._looked_s < _OWNER_EVERY_S:
            return
        self._looked_s = now_s
        if self._world.runs.owner() is None:
            self._left = True
            self._emit(OwnerLeft(self.snapshot.state is ClusterState.READY))

    def _read_requests(self) -> None:
        """From where the master's log begins: what was asked before this hettui looked is told as well."""
        record = self._record
        master = record.master if record else None
        if record is not None and master is not None and (self._master is None or master.pid != self._master.pid):
            begin = self._slots.go_on if self._master is None else self._slots.begin
            begin(request_of(record, self._api_key, None))
            self._master = master
            self._requests = self._world.logs.tail(master.spec.name, log_start(master, self._world))
        if self._requests is not None:
            self._slots.feed(self._requests.read()[0])

    def _show(self, record: RunState | None) -> None:
        if record is None:
            self.snapshot, self.client = ClusterSnapshot(), None
        else:
            master = record.master if record.state is ClusterState.READY else None
            asked = api_url(*master.spec.address, master.spec.argv) if master else None
            self.client = self._world.clients(asked, self._api_key) if asked else None
            self.snapshot = ClusterSnapshot(
                record.state,
                tuple(_seen(entry) for entry in record.processes),
                Applied.of(record.cluster, record.split),
                api=record.api if master else None,
                problem=record.problem,
                commands=tuple(shell_line(entry.spec) for entry in record.processes),
            )
        self._emit(ClusterChanged(self.snapshot))


def _seen(entry: ProcessRecord) -> ProcessSnapshot:
    address = endpoint(*entry.spec.address)
    state = ProcessState.READY if entry.ready else ProcessState.STARTING if entry.pid else ProcessState.STOPPED
    return ProcessSnapshot(
        entry.spec.name, entry.spec.role, state, entry.pid, entry.spec.device, address, entry.log_path
    )
