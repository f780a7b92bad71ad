"""From a request to a ready cluster: workers first, each probed, then the master, watched while it loads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterable
from dataclasses import replace

from hettui.domain.cluster.launch import Cluster, LaunchPlan, plan_launch, shell_line
from hettui.domain.cluster.postmortem import PostMortem
from hettui.domain.cluster.process import ProcessSpec, ProcessState
from hettui.domain.cluster.snapshot import Applied, LoadProgress
from hettui.domain.errors import LaunchError
from hettui.services.cluster import aftermath
from hettui.services.cluster.port_choice import same_worker, with_free_port, worker_ports
from hettui.services.cluster.running import Running
from hettui.services.cluster.supervisor import Supervised
from hettui.services.cluster.world import Request
from hettui.services.events import Notice

WORKER_READY_S = 10.0
REMOTE_WORKER_READY_S = 30.0
"""An ssh login on a slow line, and a driver that wakes up."""
PROBE_TIMEOUT_S = 2.0
REUSED_WORKER_S = 5.0
"""A worker frees what its last master held before it answers."""


class BringingUp(Running):
    """Raises LaunchError where something does not come up, and leaves what came up for whoever decides."""

    async def _start_all(self, request: Request, found: PostMortem | None = None) -> None:
        """`found`: why this is a restart, which stays on the screen until it runs again."""
        cluster = with_free_port(request.cluster, self._master, self._world.ports)
        self._wanted, self._stopping = True, False
        await self._stop_master()
        await self._drop_workers_unlike(cluster)
        plan = plan_launch(cluster, request.split, worker_ports(cluster, self._workers, self._world.ports))
        self._ends.clear()
        self._worker_lost.clear()
        self._request = replace(request, cluster=cluster)
        self._set(
            applied=Applied.of(cluster, request.split),
            commands=tuple(shell_line(spec) for spec in plan.processes),
            problem=None,
            post_mortem=found,
            waiting=None,
            load=None,
            api=None,
        )
        await self._start_workers(plan)
        await self._start_master(plan, self._request)
        self._last_good = self._request

    async def _drop_workers_unlike(self, cluster: Cluster) -> None:
        """Ends workers whose device is gone or changed; all others keep running with what they hold in caches."""
        wanted = {d.name: d for d in cluster.devices if d.via == "worker"}
        running = {d.name: d for d in (self._snapshot.applied.devices if self._snapshot.applied else ())}
        for name in list(self._workers):
            same = name in wanted and name in running and same_worker(wanted[name], running[name])
            if not same or not self._workers[name].alive:
                await self._ended_for_certain([self._workers[name]])
                del self._workers[name]
        await self._ended_for_certain(self._strays)
        self._strays.clear()

    async def _start_workers(self, plan: LaunchPlan) -> None:
        starts = []
        for spec in plan.workers:
            device = spec.device or spec.name
            if device not in self._workers:
                self._workers[device] = self._supervise(spec)
                starts.append(self._start_worker(self._workers[device]))
            elif self._workers[device].state is ProcessState.STARTING:
                # Of a start that was given up: it runs, and nobody has heard it answer yet.
                starts.append(self._start_worker(self._workers[device]))
            else:
                starts.append(self._check_worker(device, spec))
        self._publish()
        if starts:
            await _all_or_first_error(starts)

    async def _check_worker(self, device: str, spec: ProcessSpec) -> None:
        """A master waits for ever for a worker that hangs. No master is attached now, so it can be asked."""
        host, port = spec.address
        try:
            await self._world.prober.probe(host, port, REUSED_WORKER_S)
        except OSError as error:
            self._emit(Notice(f"{spec.name} does not answer any more and is started anew: {error}", "warning"))
            await self._ended_for_certain([self._workers[device]])
            self._workers[device] = self._supervise(spec)
            await self._start_worker(self._workers[device])

    async def _start_worker(self, worker: Supervised) -> None:
        host, port = worker.spec.address

        async def answers() -> bool:
            try:
                info = await self._world.prober.probe(host, port, PROBE_TIMEOUT_S)
            except OSError:
                return False
            if len(info.devices) != 1:
                raise LaunchError(
                    f'device "{worker.spec.device}": its worker lends {len(info.devices)} devices instead of one: '
                    'say which with id = "CUDA0" or the like'
                )
            return True

        local = worker.spec.host == "local"
        wait = worker.start if worker.gone else worker.until_ready
        await wait(answers, WORKER_READY_S if local else REMOTE_WORKER_READY_S)

    async def _start_master(self, plan: LaunchPlan, request: Request) -> None:
        api = self._connect(plan.master, request)
        master = self._master = self._supervise(plan.master)
        self._load.begin(plan.owners)
        self._set(load=LoadProgress(total_bytes=request.weights_bytes))
        await self._until_loaded(master, api, request, adopted=False)

    async def _until_loaded(self, master: Supervised, api: str, request: Request, *, adopted: bool) -> None:
        """A slow load is not a hang: the time-out counts from the last progress, and the user sees it and can stop."""
        client = self.client
        assert client is not None  # noqa: S101 - _connect() was called before
        limit_s = request.supervision.load_timeout_s or None
        wait = master.until_ready if adopted else master.start
        await self._unless_a_worker_ends(wait(client.health, limit_s, lambda: self._load.moved(master)))
        if self._ends:
            # In the moment in which it became ready: from here on nobody else would look at it.
            raise LaunchError("a process ended as soon as the cluster was ready")
        self._load.end()
        self._set(api=api, load=None, post_mortem=None, waiting=None)
        self.read_logs()

    async def _unless_a_worker_ends(self, work: Coroutine[None, None, None]) -> None:
        """llama.cpp cannot do without a worker: its end is the end of the load, whether the master notices or not."""
        loading = asyncio.create_task(work, name="loading")
        lost = asyncio.create_task(self._worker_lost.wait(), name="a worker lost")
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
