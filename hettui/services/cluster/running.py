"""What runs now: the processes, how one connects to them and ends them, and what is told and recorded of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from hettui.domain.cluster.address import reachable
from hettui.domain.cluster.postmortem import PostMortem
from hettui.domain.cluster.process import Life, ProcessSpec, ProcessState
from hettui.domain.cluster.snapshot import Applied, ClusterSnapshot, ClusterState, Waiting, derived_state
from hettui.domain.errors import LaunchError
from hettui.ports import LlamaClient
from hettui.services.cluster import aftermath
from hettui.services.cluster.load_watch import LoadWatch
from hettui.services.cluster.record_keeper import RecordKeeper
from hettui.services.cluster.stopping import stop_all
from hettui.services.cluster.supervisor import Supervised
from hettui.services.cluster.world import Request, Supervision, World
from hettui.services.events import ClusterChanged, Event, LogLines, Notice


class Running:
    """Owns the processes. All methods run on the engine's loop."""

    def __init__(self, world: World, emit: Callable[[Event], None], answering: Callable[[], bool] = bool) -> None:
        """`answering` says whether an answer of ours is being written."""
        self._world = world
        self._emit = emit
        self._answering = answering
        self._operation: asyncio.Task[None] | None = None
        self._workers: dict[str, Supervised] = {}
        self._strays: list[Supervised] = []
        self._master: Supervised | None = None
        self._request: Request | None = None
        self._last_good: Request | None = None
        self._lives: dict[str, Life] = {}
        """Of processes that are to be started again: how often they were already."""
        self._wanted = False
        self._stopping = False
        self._ends: list[Supervised] = []
        """What ended unasked since the last start, in order."""
        self._worker_lost = asyncio.Event()
        self._load = LoadWatch(world.clock, world.meter)
        self._keeper = RecordKeeper(world.runs, emit)
        self._snapshot = ClusterSnapshot()
        self.client: LlamaClient | None = None

    @property
    def snapshot(self) -> ClusterSnapshot:
        return self._snapshot

    @property
    def processes(self) -> tuple[Supervised, ...]:
        return (*self._workers.values(), *self._strays, *((self._master,) if self._master else ()))

    @property
    def model_path(self) -> str | None:
        return self._request.cluster.model_path if self._request and self.processes else None

    # -- observing ------------------------------------------------------------------------------------------

    def read_logs(self) -> None:
        """Reads what the processes wrote since the last time; called by the engine's clock and at each end."""
        for process in self.processes:
            lines, partial = process.read_log()
            if process is self._master:
                self._load.feed(lines, partial)
            if lines:
                self._emit(LogLines(process.spec.name, tuple(lines)))
                self._world.logs.rotate(process.spec.name)
            if process.look():
                if process.detail:
                    self._emit(Notice(f"{process.spec.name}: {process.detail}", "warning"))
                self._publish()
        measured = self._measured()
        if self._snapshot.state is ClusterState.READY and measured != self._snapshot.applied:
            self._set(applied=measured)
        progress = self._load.progress(self._snapshot.load, [w.spec.address[1] for w in self._workers.values()])
        if progress is not None:
            self._set(load=progress)

    def _measured(self) -> Applied | None:
        applied = self._snapshot.applied
        if applied is None:
            return None
        return replace(applied, measured=self._load.memory, measured_layers=self._load.layers)

    def _set(self, **changes: object) -> None:
        self._snapshot = replace(self._snapshot, **changes)  # type: ignore[arg-type]
        self._publish()

    def _publish(self) -> None:
        processes = tuple(p.snapshot() for p in self.processes)
        state = derived_state(processes, wanted=self._wanted, busy=self._stopping, problem=self._snapshot.problem)
        self._snapshot = replace(self._snapshot, state=state, processes=processes)
        self._keeper.write(self._request, self._snapshot, self.processes, dict(self._load.owners))
        self._emit(ClusterChanged(self._snapshot))

    # -- connecting and ending -------------------------------------------------------------------------------

    def _connect(self, spec: ProcessSpec, request: Request) -> str:
        api = reachable(*spec.address)
        self.client = self._world.clients(api, request.api_key)
        return api

    def _supervise(self, spec: ProcessSpec, offset: int | None = None) -> Supervised:
        policy = self._supervision.restart
        life = self._lives.pop(spec.name, None)
        return Supervised(
            spec, self._world, self._publish, self._process_ended, policy=policy, life=life, offset=offset
        )

    @property
    def _supervision(self) -> Supervision:
        return self._request.supervision if self._request else Supervision()

    @property
    def _grace_s(self) -> float:
        return self._supervision.stop_grace_s

    async def _ended_for_certain(self, processes: list[Supervised]) -> None:
        """Raises LaunchError when one of them does not end: nothing new is started over it."""
        for process in processes:
            if process.state is ProcessState.BACKOFF:
                self._lives[process.spec.name] = process.life
        stuck = await stop_all(processes, self._grace_s, self._world.clock, self._tell_waiting)
        if stuck:
            raise LaunchError(aftermath.stuck(stuck))

    async def _end_everything(self, problem: str | None, found: PostMortem | None) -> None:
        """The reason is on the screen before the rest is stopped, which may take a while."""
        self._wanted, self._stopping = False, bool(self.processes)
        self._load.end()
        self._set(problem=problem, post_mortem=found, load=None, waiting=None)
        await self._close_client()
        master = [self._master] if self._master else []
        stuck = await stop_all(master, self._grace_s, self._world.clock, self._tell_waiting)
        rest = [*self._workers.values(), *self._strays]
        stuck += await stop_all(rest, self._grace_s, self._world.clock, self._tell_waiting)
        self.read_logs()
        self._workers = {name: worker for name, worker in self._workers.items() if worker in stuck}
        self._strays = [stray for stray in self._strays if stray in stuck]
        self._master = self._master if self._master in stuck else None
        self._stopping = False
        if stuck:
            problem = f"{problem}; {aftermath.stuck(stuck)}" if problem else aftermath.stuck(stuck)
        self._set(problem=problem, applied=None, api=None, waiting=None)

    async def _stop_master(self) -> None:
        self._load.end()
        await self._close_client()
        if self._master:
            await self._ended_for_certain([self._master])
            self.read_logs()
            self._master = None

    async def _close_client(self) -> None:
        """Before the signal: with an open stream llama-server waits for its next ping, up to 30 s."""
        client, self.client = self.client, None
        if client:
            await client.close()

    def _tell_waiting(self, waiting: Waiting | None) -> None:
        self._set(waiting=waiting)

    def _process_ended(self, process: Supervised) -> None:
        """A process ended that nobody asked to end."""
        raise NotImplementedError
