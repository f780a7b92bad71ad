"""From a request to a ready cluster: workers first, each probed, then the master, watched while it loads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from functools import partial

from hettui.domain.cluster.launch import Cluster, LaunchPlan, plan_launch, shell_line
from hettui.domain.cluster.postmortem import PostMortem
from hettui.domain.cluster.process import ProcessSpec, ProcessState
from hettui.domain.cluster.run_state import RunState
from hettui.domain.cluster.snapshot import Applied, ClusterState, LoadProgress
from hettui.domain.devices.device import LOCAL
from hettui.domain.errors import LaunchError
from hettui.ports import LlamaClient
from hettui.services.cluster import aftermath
from hettui.services.cluster.ends import Ends
from hettui.services.cluster.front_door import FrontDoor
from hettui.services.cluster.port_choice import inner_port, same_worker, with_free_port, worker_ports
from hettui.services.cluster.running import Running
from hettui.services.cluster.same_build import SameBuild
from hettui.services.cluster.supervisor import Supervised
from hettui.services.cluster.world import Request
from hettui.services.events import Event, Notice

WORKER_READY_S = 10.0
REMOTE_WORKER_READY_S = 30.0
"""An ssh login on a slow line, and a driver that wakes up."""
PROBE_TIMEOUT_S = 2.0
REUSED_WORKER_S = 5.0
"""A worker frees what its last master held before it answers."""


class BringingUp:
    """Works on what runs, and holds nothing of its own.

    Raises LaunchError where something does not come up, and leaves what came up for whoever decides.
    """

    def __init__(self, running: Running, ends: Ends, door: FrontDoor, emit: Callable[[Event], None]) -> None:
        self._running = running
        self._door = door
        self._ends = ends
        self._emit = emit
        self._world = running.world
        self._same_build = SameBuild(self._world.own_build, emit)

    def check(self, request: Request) -> None:
        """Raises HettuiError where this would be refused before a process is started: now, while all still runs."""
        running, ports = self._running, self._world.ports
        cluster = with_free_port(request.cluster, running.door or running.master, ports)
        plan_launch(cluster, request.split, worker_ports(cluster, running.workers, ports))

    async def start(self, request: Request, found: PostMortem | None = None) -> Request:
        """The request with its real ports, once it is ready.

        `found`: why this is a restart, which stays on the screen until it runs again.
        """
        running, ports = self._running, self._world.ports
        cluster = with_free_port(request.cluster, running.door or running.master, ports)
        running.wanted, running.stopping = True, False
        await self._door.hold()
        await self._save_context(request)
        await running.end_master()
        cluster = await running.slots.contexts.prepared(cluster, request)
        await self._drop_workers_unlike(cluster)
        taken, control = worker_ports(cluster, running.workers, ports), self._door.control(cluster)
        plan = plan_launch(cluster, request.split, taken, inner_port(cluster, ports), control)
        self._ends.clear()
        running.request = request = replace(request, cluster=cluster)
        running.tell(
            applied=Applied.of(cluster, request.split),
            commands=tuple(shell_line(spec) for spec in plan.processes),
            problem=None,
            post_mortem=found,
            waiting=None,
            load=None,
            api=None,
        )
        await self._door.open(plan)
        await self._start_workers(plan)
        await self._start_master(plan, request)
        return request

    async def go_on(self, record: RunState, request: Request, master: Supervised) -> None:
        """All that was recorded runs, perhaps the master still loads: as if we had started it."""
        running = self._running
        loading = master.state is ProcessState.STARTING
        await running.slots.contexts.adopted(request)
        api = running.connect(master.spec, request)
        await self._door.adopted(record, master.spec.address[1], ready=not loading)
        running.tell(
            applied=Applied.of(record.cluster, record.split),
            commands=tuple(shell_line(entry.spec) for entry in record.processes),
            problem=None,
            load=None if master.state is ProcessState.READY else LoadProgress(total_bytes=record.weights_bytes),
            api=None,
        )
        if loading:
            await self._until_loaded(master, api, request, adopted=True)
        running.load.end()
        running.tell(api=api, load=None)

    async def _save_context(self, after: Request) -> None:
        """What runs is about to end for this: what its slots hold is kept, as far as it is of use then."""
        running, before = self._running, self._running.request
        if before is not None and running.client is not None and running.snapshot.state is ClusterState.READY:
            await running.slots.contexts.save(running.client, before, after.terms, running.tell_waiting)

    # -- workers ---------------------------------------------------------------------------------------------

    async def _drop_workers_unlike(self, cluster: Cluster) -> None:
        """Ends workers whose device is gone or changed; all others keep running with what they hold in caches."""
        workers, applied = self._running.workers, self._running.snapshot.applied
        wanted = {d.name: d for d in cluster.devices if d.via == "worker"}
        running = {d.name: d for d in (applied.devices if applied else ())}
        before = self._running.request
        kept_alike = before is not None and before.cluster.large_tensors == cluster.large_tensors
        for name in list(workers):
            same = name in wanted and name in running and same_worker(wanted[name], running[name])
            # One there would not know what its cache may hold of another model.
            same = same and (kept_alike or wanted[name].host == LOCAL)
            if not same or not workers[name].alive:
                await self._running.end_for_certain([workers[name]])
                del workers[name]
        await self._running.end_for_certain(self._running.strays)
        self._running.strays.clear()

    async def _start_workers(self, plan: LaunchPlan) -> None:
        workers, starts = self._running.workers, []
        for spec in plan.workers:
            device = spec.device or spec.name
            if device not in workers:
                workers[device] = self._running.supervise(spec)
                starts.append(self._start_worker(workers[device]))
            elif workers[device].state is ProcessState.STARTING:
                starts.append(self._hear_worker(device, spec))
            else:
                starts.append(self._check_worker(device, spec))
        self._running.publish()
        if starts:
            await _all_or_first_error(starts)

    async def _check_worker(self, device: str, spec: ProcessSpec) -> None:
        """A master waits for ever for a worker that hangs. No master is attached now, so it can be asked."""
        host, port = spec.address
        try:
            await self._world.prober.probe(host, port, REUSED_WORKER_S)
        except OSError as error:
            self._emit(Notice(f"{spec.name} does not answer any more and is started anew: {error}", "warning"))
            await self._start_anew(device, spec)

    async def _hear_worker(self, device: str, spec: ProcessSpec) -> None:
        """Of a start that was given up, or of a stop that an earlier hettui did not live to end: it runs, and nobody
        has heard it answer. Stopped (SIGSTOP), or in the middle of its end, it never will."""
        try:
            await self._start_worker(self._running.workers[device])
        except LaunchError as error:
            self._emit(Notice(f"{error}; it is started anew", "warning"))
            await self._start_anew(device, spec)

    async def _start_anew(self, device: str, spec: ProcessSpec) -> None:
        await self._running.end_for_certain([self._running.workers[device]])
        worker = self._running.workers[device] = self._running.supervise(spec)
        await self._start_worker(worker)

    async def _start_worker(self, worker: Supervised) -> None:
        host, port = worker.spec.address
        local = worker.spec.host == LOCAL

        async def answers() -> bool:
            try:
                info = await self._world.prober.probe(host, port, PROBE_TIMEOUT_S)
            except OSError:
                return False
            request = self._running.request
            if not local and request is not None:
                engine, log = request.cluster.engine, worker.witness().lines
                await self._same_build.check(worker.spec, engine, info.version, log)
            if len(info.devices) != 1:
                raise LaunchError(
                    f'device "{worker.spec.device}": its worker lends {len(info.devices)} devices instead of one: '
                    'say which with id = "CUDA0" or the like'
                )
            return True

        wait = worker.start if worker.gone else worker.until_ready
        await wait(answers, WORKER_READY_S if local else REMOTE_WORKER_READY_S)

    # -- the master ------------------------------------------------------------------------------------------

    async def _start_master(self, plan: LaunchPlan, request: Request) -> None:
        running = self._running
        api = running.connect(plan.master, request)
        master = running.master = running.supervise(plan.master)
        await self._door.aim(plan.master.address[1])
        running.load.begin(plan.owners)
        running.slots.begin(request)
        running.tell(load=LoadProgress(total_bytes=request.weights_bytes))
        await self._until_loaded(master, api, request, adopted=False)
        await self._door.ensure(plan)

    async def _until_loaded(self, master: Supervised, api: str, request: Request, *, adopted: bool) -> None:
        """A slow load is not a hang: the time-out counts from the last progress, and the user sees it and can stop."""
        client = self._running.client
        assert client is not None  # noqa: S101 - connect() was called before
        load, limit_s = self._running.load, request.supervision.load_timeout_s or None
        wait = master.until_ready if adopted else master.start
        moved = partial(self._moved, master)
        answers = partial(self._answers, client, request)
        try:
            await self._unless_a_worker_ends(wait(answers, limit_s, moved))
        except LaunchError as error:
            if master.alive and client.complaint:
                raise LaunchError(f"{error}; {client.complaint}") from error
            raise
        if self._ends:
            # In the moment in which it became ready: from here on nobody else would look at it.
            raise LaunchError("a process ended as soon as the cluster was ready")
        load.end()
        self._running.tell(api=api, load=None, post_mortem=None, waiting=None)
        await self._door.go(master.spec.address[1])
        self._running.read_logs()

    async def _answers(self, client: LlamaClient, request: Request) -> bool:
        """Ready is it when its slots hold again what they held: whoever asks then finds it there."""
        if not await client.health():
            return False
        came = await self._running.slots.contexts.restore(client, request, self._running.tell_waiting)
        if came is not None:
            self._emit(Notice(came.words))
        return True

    def _moved(self, master: Supervised) -> tuple[object, ...]:
        client = self._running.client
        moved = self._running.load.moved(master, answers=client is not None and bool(client.complaint))
        return (*moved, self._running.slots.contexts.pulse)

    async def _unless_a_worker_ends(self, work: Coroutine[None, None, None]) -> None:
        """llama.cpp cannot do without a worker: its end is the end of the load, whether the master notices or not."""
        loading = asyncio.create_task(work, name="loading")
        lost = asyncio.create_task(self._ends.worker_lost.wait(), name="a worker lost")
        try:
            await asyncio.wait({loading, lost}, return_when=asyncio.FIRST_COMPLETED)
            if not loading.done():
                # Mostly the master notices by itself, and then its end belongs to the story.
                await asyncio.wait({loading}, timeout=aftermath.SETTLE_S)
            if not loading.done():
                raise LaunchError("a worker ended while the master was loading")
            await loading
        finally:
            for task in (loading, lost):
                task.cancel()
            await asyncio.wait({loading, lost})


async def _all_or_first_error(starts: Iterable[Coroutine[None, None, None]]) -> None:
    """Runs all at once; the first failure cancels the others and is raised when they have ended."""
    tasks = [asyncio.create_task(start) for start in starts]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait(tasks)
