"""What runs now: the processes, how one connects to them and ends them, and what is told and recorded of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from hettui.domain.cluster.address import api_url
from hettui.domain.cluster.postmortem import PostMortem
from hettui.domain.cluster.process import Life, ProcessSpec, ProcessState
from hettui.domain.cluster.snapshot import Applied, ClusterSnapshot, ClusterState, Waiting, derived_state
from hettui.domain.devices.device import LOCAL
from hettui.domain.errors import LaunchError
from hettui.ports import ChildProcess, LlamaClient
from hettui.services.cluster import aftermath
from hettui.services.cluster.load_watch import LoadWatch
from hettui.services.cluster.record_keeper import RecordKeeper
from hettui.services.cluster.slot_watch import SlotWatch
from hettui.services.cluster.stopping import stop_all
from hettui.services.cluster.supervisor import Supervised
from hettui.services.cluster.world import Request, Supervision, World
from hettui.services.events import ClusterChanged, Event, LogLines, Notice

_ABANDONED = (-9, None)
"""How a holder ends that could not end its worker first."""


class Running:
    """Owns the processes and decides nothing about them. All methods run on the engine's loop.

    Whoever changes `workers`, `strays`, `master`, `wanted` or `stopping` says so with `tell` or `publish`.
    """

    def __init__(self, world: World, emit: Callable[[Event], None], ended: Callable[[Supervised], None]) -> None:
        """`ended` is called with each process that ends though nobody asked it to."""
        self.world = world
        self.workers: dict[str, Supervised] = {}
        """By the names of their devices."""
        self.strays: list[Supervised] = []
        """They carry the cluster's mark and stand in no record."""
        self.master: Supervised | None = None
        self.door: Supervised | None = None
        """What clients talk to in its place, where the configuration wants one."""
        self.client: LlamaClient | None = None
        self.request: Request | None = None
        """What was asked for, with the ports that it really has."""
        self.unrecognised: str | None = None
        """What runs that no record describes, as a sentence: nothing is started over it before it was asked to end."""
        self.left_there: dict[str, ProcessSpec] = {}
        """By name: workers of other hosts that nobody holds any more, and that may live there."""
        self.wanted = False
        """Somebody asked for a running cluster, and not otherwise since."""
        self.stopping = False
        self.load = LoadWatch(world.clock, world.meter)
        self.slots = SlotWatch(world, emit)
        self._snapshot = ClusterSnapshot()
        self._emit = emit
        self._ended = ended
        self._lives: dict[str, Life] = {}
        """Of processes that are to be started again: how often they were already."""
        self._keeper = RecordKeeper(world.runs, emit)
        self._held = False
        self._api: str | None = None
        """Of the master that was connected to last."""

    @property
    def snapshot(self) -> ClusterSnapshot:
        return self._snapshot

    @property
    def processes(self) -> tuple[Supervised, ...]:
        ends = (*self.workers.values(), *self.strays, *((self.master,) if self.master else ()))
        return (self.door, *ends) if self.door else ends

    @property
    def supervision(self) -> Supervision:
        return self.request.supervision if self.request else Supervision()

    # -- observing and telling ------------------------------------------------------------------------------

    def read_logs(self) -> None:
        """Reads what the processes wrote since the last time; called by the engine's clock and at each end."""
        for process in self.processes:
            lines, partial = process.read_log()
            if process is self.master:
                self.load.feed(lines, partial)
                self.slots.feed(lines)
            if lines:
                self._emit(LogLines(process.spec.name, tuple(lines)))
                process.rotate_log()
            if process.look():
                if process.detail:
                    self._emit(Notice(f"{process.spec.name}: {process.detail}", "warning"))
                self.publish()
        measured = self._measured()
        if self._snapshot.state is ClusterState.READY and measured != self._snapshot.applied:
            self.tell(applied=measured)
        progress = self.load.progress(self._snapshot.load, [w.spec.address[1] for w in self.workers.values()])
        if progress is not None:
            self.tell(load=progress)

    def _measured(self) -> Applied | None:
        applied = self._snapshot.applied
        if applied is None:
            return None
        return replace(applied, measured=self.load.memory, measured_layers=self.load.layers)

    def tell(self, **changes: object) -> None:
        """Changes these fields of the snapshot, and publishes it."""
        self._snapshot = replace(self._snapshot, **changes)  # type: ignore[arg-type]
        self.publish()

    def tell_waiting(self, waiting: Waiting | None) -> None:
        self.tell(waiting=waiting)

    def expect_takeover(self) -> None:
        """Before anything is known: that nothing runs would be a guess."""
        self._snapshot = ClusterSnapshot(ClusterState.LOOKING)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is told or recorded within: what is only half known is neither what runs nor what is on record."""
        self._held = True
        try:
            yield
        finally:
            self._held = False

    def publish(self) -> None:
        """Records and tells what the processes are now."""
        if self._held:
            return
        processes = tuple(p.snapshot() for p in self.processes)
        state = derived_state(processes, wanted=self.wanted, busy=self.stopping, problem=self._snapshot.problem)
        if state is ClusterState.READY and self._snapshot.state is not state:
            # In one step: nobody sees it ready and failed, or ready nowhere.
            self._snapshot = replace(self._snapshot, post_mortem=None, load=None, waiting=None, api=self._api)
        self._snapshot = replace(self._snapshot, state=state, processes=processes)
        self._keeper.write(self.request, self._snapshot, self.processes, dict(self.load.owners))
        self._emit(ClusterChanged(self._snapshot))

    # -- taking in hand --------------------------------------------------------------------------------------

    def connect(self, spec: ProcessSpec, request: Request) -> str:
        """A client of this master, which asks it and no door; where others find its API."""
        self.client = self.world.clients(api_url(*spec.address, spec.argv), request.api_key)
        self._api = api_url(request.cluster.serving.host, request.cluster.serving.port, spec.argv)
        return self._api

    def supervise(self, spec: ProcessSpec, offset: int | None = None) -> Supervised:
        """One process, not started yet, which remembers what one of its name went through."""
        policy, life = self.supervision.restart, self._lives.pop(spec.name, None)
        return Supervised(spec, self.world, self.publish, self._ended, policy=policy, life=life, offset=offset)

    def adopt(self, spec: ProcessSpec, child: ChildProcess, *, ready: bool, offset: int | None = None) -> Supervised:
        """One process that runs already."""
        process = self.supervise(spec, offset)
        process.adopt(child, ready=ready)
        return process

    def forget(self, process: Supervised) -> None:
        """It has ended, and nothing depends on it."""
        self.workers = {name: worker for name, worker in self.workers.items() if worker is not process}
        self.strays = [stray for stray in self.strays if stray is not process]
        self.master = None if self.master is process else self.master
        self.door = None if self.door is process else self.door
        self.publish()

    def forget_restarts(self) -> None:
        """A start that was asked for: what was started again before does not count."""
        self._lives.clear()

    # -- ending ----------------------------------------------------------------------------------------------

    async def end_for_certain(self, processes: list[Supervised]) -> None:
        """Raises LaunchError when one of them does not end: nothing new is started over it."""
        for process in processes:
            if process.state is ProcessState.BACKOFF:
                self._lives[process.spec.name] = process.life
        if stuck := await self._stopped(processes):
            raise LaunchError(aftermath.stuck(stuck))

    async def end_master(self) -> None:
        """Raises LaunchError when it does not end."""
        self.load.end()
        await self._close_client()
        if self.master:
            await self.end_for_certain([self.master])
            self.read_logs()
            self.master = None

    async def end_everything(self, problem: str | None, found: PostMortem | None, *, door: bool = True) -> None:
        """The reason is on the screen before the rest is stopped, which may take a while.

        `door`: the front door ends, too; first, so that who waits is told and no new request holds up the master.
        """
        self.wanted, self.stopping = False, bool(self.processes)
        self.load.end()
        self.tell(problem=problem, post_mortem=found, load=None, waiting=None)
        await self._close_client()
        stuck = await self._stopped([self.door] if self.door and (door or not self.door.alive) else [])
        stuck += await self._stopped([self.master] if self.master else [])
        stuck += await self._stopped([*self.workers.values(), *self.strays])
        self.read_logs()
        left = await self._end_there()
        self.workers = {name: worker for name, worker in self.workers.items() if worker in stuck}
        self.strays = [stray for stray in self.strays if stray in stuck]
        self.master = self.master if self.master in stuck else None
        self.door = self.door if self.door and (self.door in stuck or self.door.alive) else None
        self.stopping = False
        self.unrecognised = None
        for more in (*((aftermath.stuck(stuck),) if stuck else ()), *left):
            problem = f"{problem}; {more}" if problem else more
        self.tell(problem=problem, applied=None, api=None, waiting=None)

    async def _end_there(self) -> list[str]:
        """Workers of other hosts whose holders are gone; a sentence for each that could not be asked to end."""
        for process in self.workers.values():
            if process.spec.host != LOCAL and process.end is not None and process.end.returncode in _ABANDONED:
                self.left_there[process.spec.name] = process.spec
        specs = list(self.left_there.values())
        said = await asyncio.gather(*(self.world.far.end(spec) for spec in specs))
        self.left_there.clear()
        ended = sorted({spec.host for spec, sentence in zip(specs, said, strict=True) if not sentence})
        if ended:
            self._emit(Notice(f"What was left of the cluster's workers on {', '.join(ended)} is ended."))
        return [sentence for sentence in said if sentence]

    async def leave(self) -> None:
        """Everything runs on without us; what the record says now is the last word."""
        self.publish()
        self._keeper.closed = True
        await self._close_client()
        for process in self.processes:
            await process.leave()

    async def _stopped(self, processes: list[Supervised]) -> list[Supervised]:
        """Ends them all at once; those that do not end."""
        return await stop_all(processes, self.supervision.stop_grace_s, self.world.clock, self.tell_waiting)

    async def _close_client(self) -> None:
        """Before the signal: with an open stream llama-server waits for its next ping, up to 30 s."""
        client, self.client = self.client, None
        if client:
            await client.close()
