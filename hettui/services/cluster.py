"""Starts, stops and rebalances the whole cluster. The newest command wins.

Workers start first and stop last. A new split restarts the master only: it alone carries the split. When a new
split does not come up, the last one that was ready is started again. A worker that dies takes the master down
in llama.cpp, so the rest is stopped in order and the state says why.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field, replace

from hettui.domain.cluster import Applied, ClusterSnapshot, ClusterState, LoadProgress
from hettui.domain.errors import HettuiError, LaunchError
from hettui.domain.launch import Cluster, LaunchPlan, default_ports, is_loopback, plan_launch, shell_line
from hettui.domain.llama_log import MasterLog
from hettui.domain.process import ProcessSpec, ProcessState
from hettui.domain.split import Split
from hettui.ports import (
    Clock,
    LlamaClient,
    LlamaClientFactory,
    LogStore,
    Ports,
    ProcessRunner,
    RpcProber,
    TransferMeter,
)
from hettui.services.events import ClusterChanged, Event, LogLines, Notice
from hettui.services.supervisor import Supervised

WORKER_READY_S = 10.0
REMOTE_WORKER_READY_S = 30.0
"""An ssh login on a slow line, and a driver that wakes up."""
PROBE_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class World:
    """The outside that the cluster needs, by port."""

    runner: ProcessRunner
    logs: LogStore
    ports: Ports
    prober: RpcProber
    clients: LlamaClientFactory
    meter: TransferMeter
    clock: Clock


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """A cluster and the plan to run on it."""

    cluster: Cluster
    split: Split
    weights_bytes: int = 0
    """What the devices will receive; for the load bar."""
    api_key: str | None = field(default=None, repr=False)

    def like(self, other: Request) -> bool:
        """The same split with the same settings: if one failed, the other would."""
        return self.split == other.split and self.cluster.params == other.cluster.params


class ClusterController:
    """Owns the processes. All methods run on the engine's loop."""

    def __init__(self, world: World, emit: Callable[[Event], None]) -> None:
        self._world = world
        self._emit = emit
        self._operation: asyncio.Task[None] | None = None
        self._workers: dict[str, Supervised] = {}
        self._worker_ports: dict[str, int] = {}
        self._master: Supervised | None = None
        self._log = MasterLog({})
        self._last_good: Request | None = None
        self._loading_since: float | None = None
        self._snapshot = ClusterSnapshot()
        self.client: LlamaClient | None = None

    @property
    def snapshot(self) -> ClusterSnapshot:
        return self._snapshot

    @property
    def processes(self) -> tuple[Supervised, ...]:
        return (*self._workers.values(), *((self._master,) if self._master else ()))

    # -- commands ------------------------------------------------------------------------------------------

    async def start(self, request: Request) -> None:
        """Starts what does not run yet and the master with this split. Raises the reason when it fails."""
        await self._replace_operation(self._bring_up(request))

    async def stop(self) -> None:
        """Ends everything, also a start in progress. Returns when all processes are gone."""
        await self._replace_operation(self._bring_down())

    async def _replace_operation(self, work: Coroutine[None, None, None]) -> None:
        previous, self._operation = self._operation, None
        task = asyncio.create_task(self._after(previous, work), name="cluster operation")
        self._operation = task
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise LaunchError("a newer command took its place") from None
            raise

    @staticmethod
    async def _after(previous: asyncio.Task[None] | None, work: Coroutine[None, None, None]) -> None:
        if previous and not previous.done():
            previous.cancel()
            try:
                await asyncio.wait({previous})
            except asyncio.CancelledError:
                # An even newer command: it waits for this one, which still waits for the one before.
                work.close()
                await asyncio.wait({previous})
                raise
        await work

    # -- bringing up ---------------------------------------------------------------------------------------

    async def _bring_up(self, request: Request) -> None:
        fallback = self._last_good if self._master else None
        try:
            await self._start_all(request)
        except HettuiError as error:
            cause = self._root_cause(error)
            if fallback is None or fallback.like(request) or not self._workers_alive(fallback):
                await self._fail(str(cause))
            else:
                await self._roll_back(fallback, cause)
            raise cause from None

    def _root_cause(self, error: HettuiError) -> HettuiError:
        """A worker that died takes the master down: then the worker's end is what to tell."""
        dead = next((w for w in self._workers.values() if w.state is ProcessState.EXITED), None)
        return LaunchError(dead.detail) if dead else error

    async def _roll_back(self, fallback: Request, error: HettuiError) -> None:
        self._emit(Notice(f"{error}. Going back to the split that ran before.", "error"))
        try:
            await self._start_all(fallback)
        except HettuiError as second:
            await self._fail(f"{error}; going back failed too: {second}")

    async def _start_all(self, request: Request) -> None:
        cluster = self._with_free_port(request.cluster)
        await self._stop_master()
        await self._drop_workers_unlike(cluster)
        plan = plan_launch(cluster, request.split, self._choose_worker_ports(cluster))
        self._set(
            ClusterState.STARTING,
            applied=Applied(cluster.devices, request.split, ctx_size=cluster.params.ctx_size),
            commands=tuple(shell_line(spec) for spec in plan.processes),
            problem=None,
            load=None,
            api=None,
        )
        await self._start_workers(plan)
        await self._start_master(plan, request)
        self._last_good = replace(request, cluster=cluster)

    def _with_free_port(self, cluster: Cluster) -> Cluster:
        """The cluster with the API's real port. A port that somebody else holds is refused before anything starts."""
        serving = cluster.serving
        running = self._master.spec.address[1] if self._master and self._master.alive else None
        if running is not None and serving.port in (0, running):
            return replace(cluster, serving=replace(serving, port=running))
        if serving.port == 0:
            port = self._world.ports.free(serving.host, 0, frozenset())
            return replace(cluster, serving=replace(serving, port=port))
        if not self._world.ports.is_free(serving.host, serving.port):
            raise LaunchError(
                f"port {serving.port} on {serving.host} is in use: choose another [serving] port, or stop what holds it"
            )
        return cluster

    def _choose_worker_ports(self, cluster: Cluster) -> dict[str, int]:
        """Free ports for the workers that do not run yet; running ones keep theirs."""
        chosen: dict[str, int] = {}
        for name, port in default_ports(cluster.devices).items():
            running = self._workers.get(name)
            if running and running.alive:
                chosen[name] = running.spec.address[1]
                continue
            device = next(d for d in cluster.devices if d.name == name)
            if device.port is None:
                port = self._world.ports.free("127.0.0.1", port, frozenset(chosen.values()))
            elif not self._world.ports.is_free("127.0.0.1", port):
                raise LaunchError(
                    f'port {port} of device "{name}" is in use: choose another port for it, or stop what holds it'
                )
            chosen[name] = port
        return chosen

    async def _drop_workers_unlike(self, cluster: Cluster) -> None:
        """Ends workers whose device is gone or changed; all others keep running with what they hold in caches."""
        wanted = {d.name: d for d in cluster.devices if d.via == "worker"}
        running = {d.name: d for d in (self._snapshot.applied.devices if self._snapshot.applied else ())}
        for name in list(self._workers):
            same = name in wanted and name in running and _same_worker(wanted[name], running[name])
            if not same or not self._workers[name].alive:
                await self._workers[name].stop()
                del self._workers[name]

    async def _start_workers(self, plan: LaunchPlan) -> None:
        starts = []
        for spec in plan.workers:
            device = spec.device or spec.name
            if device not in self._workers:
                self._workers[device] = self._supervise(spec)
                starts.append(self._start_worker(self._workers[device]))
        self._publish()
        if starts:
            await _all_or_first_error(starts)

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
        await worker.start(answers, WORKER_READY_S if local else REMOTE_WORKER_READY_S)

    async def _start_master(self, plan: LaunchPlan, request: Request) -> None:
        host, port = plan.master.address
        # llama-server on 0.0.0.0 is reached through loopback.
        reached = host if is_loopback(host) else "127.0.0.1"
        api = f"http://{reached}:{port}"
        client = self._world.clients(api, request.api_key)
        self.client = client
        self._log = MasterLog(plan.owners)
        self._master = self._supervise(plan.master)
        self._loading_since = self._world.clock.monotonic()
        self._set(ClusterState.LOADING, load=LoadProgress(total_bytes=request.weights_bytes))
        # No time-out: a slow load is not a hang, and the user sees its progress and can stop it.
        await self._master.start(client.health, None)
        self._loading_since = None
        self._set(ClusterState.READY, api=api, load=None)
        self.read_logs()

    def _supervise(self, spec: ProcessSpec) -> Supervised:
        return Supervised(spec, self._world.runner, self._world.logs, self._publish, self._process_ended)

    # -- bringing down -------------------------------------------------------------------------------------

    async def _bring_down(self) -> None:
        if self.processes:
            self._set(ClusterState.STOPPING, load=None)
        await self._stop_everything()
        self._set(ClusterState.DOWN, applied=None, api=None, problem=None, load=None)

    async def _fail(self, reason: str) -> None:
        await self._stop_everything()
        self._set(ClusterState.FAILED, problem=reason, api=None, load=None, applied=None)
        self._emit(Notice(reason, "error"))

    async def _stop_everything(self) -> None:
        await self._stop_master()
        workers = list(self._workers.values())
        await asyncio.gather(*(worker.stop() for worker in workers))
        self.read_logs()
        self._workers.clear()
        self._last_good = None

    async def _stop_master(self) -> None:
        self._loading_since = None
        if self.client:
            # Before the signal: with an open stream llama-server waits for its next ping, up to 30 s.
            await self.client.close()
            self.client = None
        if self._master:
            await self._master.stop()
            self.read_logs()
            self._master = None

    def _process_ended(self, process: Supervised) -> None:
        """A process ended that nobody asked to end. While starting, whoever waits for it raises instead."""
        if self._operation and not self._operation.done():
            return
        self._operation = asyncio.create_task(self._fail_after(process), name="cluster failed")

    async def _fail_after(self, process: Supervised) -> None:
        await self._fail(str(self._root_cause(LaunchError(process.detail))))

    def _workers_alive(self, request: Request) -> bool:
        names = {d.name for d in request.cluster.devices if d.via == "worker"}
        return all(name in self._workers and self._workers[name].alive for name in names)

    # -- observing -----------------------------------------------------------------------------------------

    def read_logs(self) -> None:
        """Reads what the processes wrote since the last time; called by the engine's clock and at each end."""
        for process in self.processes:
            lines, partial = process.read_log()
            if process is self._master:
                for line in lines:
                    self._log.feed(line)
                self._log.feed_partial(partial)
            if lines:
                self._emit(LogLines(process.spec.name, tuple(lines)))
                self._world.logs.rotate(process.spec.name)
        if self._snapshot.state is ClusterState.READY and self._measured() != self._snapshot.applied:
            self._set(ClusterState.READY, applied=self._measured())
        self._update_load()

    def _update_load(self) -> None:
        load = self._snapshot.load
        if self._loading_since is None or load is None:
            return
        ports = [w.spec.address[1] for w in self._workers.values()]
        sent = self._world.meter.sent_bytes(ports) if ports else None
        by_bytes = sum(sent.values()) / load.total_bytes if sent and load.total_bytes else 0.0
        fraction = min(1.0, max(load.fraction, self._log.load_fraction, by_bytes))
        elapsed_s = self._world.clock.monotonic() - self._loading_since
        self._set(self._snapshot.state, load=LoadProgress(fraction, load.total_bytes, elapsed_s))

    def _measured(self) -> Applied | None:
        applied = self._snapshot.applied
        if applied is None:
            return None
        return replace(applied, measured=self._log.memory, measured_layers=self._log.layers)

    def _set(self, state: ClusterState, **changes: object) -> None:
        self._snapshot = replace(self._snapshot, state=state, **changes)  # type: ignore[arg-type]
        self._publish()

    def _publish(self) -> None:
        self._snapshot = replace(self._snapshot, processes=tuple(p.snapshot() for p in self.processes))
        self._emit(ClusterChanged(self._snapshot))


def _same_worker(a: object, b: object) -> bool:
    """Whether one worker process can serve both: locks, budgets and layer counts are none of its business."""
    keys = ("id", "host", "via", "backend", "engine_name", "uuid", "threads", "port")
    return all(getattr(a, key) == getattr(b, key) for key in keys)


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
