"""Starts, stops and rebalances the whole cluster. The newest command wins.

Workers start first and stop last. A new split restarts the master only: it alone carries the split. When a new
split does not come up, the last one that was ready is started again. A worker that dies takes the master down
in llama.cpp: the rest is stopped in order, and brought back in order where the restart policy allows it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace

from hettui.domain.cluster import Applied, ClusterSnapshot, ClusterState, LoadProgress, Waiting, derived_state
from hettui.domain.errors import HettuiError, LaunchError
from hettui.domain.launch import Cluster, LaunchPlan, is_loopback, plan_launch, shell_line
from hettui.domain.postmortem import PostMortem
from hettui.domain.process import Life, ProcessSpec, ProcessState
from hettui.domain.run_state import ProcessRecord, RunState
from hettui.ports import ChildProcess, LlamaClient
from hettui.services import aftermath, takeover
from hettui.services.events import ClusterChanged, Event, LogLines, Notice
from hettui.services.load_watch import LoadWatch
from hettui.services.port_choice import same_worker, with_free_port, worker_ports
from hettui.services.recorder import Recorder
from hettui.services.stopping import answers_end, stop_all
from hettui.services.supervisor import Supervised
from hettui.services.world import Request as Request
from hettui.services.world import Supervision
from hettui.services.world import World as World

WORKER_READY_S = 10.0
REMOTE_WORKER_READY_S = 30.0
"""An ssh login on a slow line, and a driver that wakes up."""
PROBE_TIMEOUT_S = 2.0
REUSED_WORKER_S = 5.0
"""A worker frees what its last master held before it answers."""


class ClusterController:
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
        self._recorder = Recorder(world.runs, emit)
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

    # -- commands ------------------------------------------------------------------------------------------

    async def start(self, request: Request) -> None:
        """Starts what does not run yet and the master with this split. Raises the reason when it fails."""
        self._lives.clear()
        await self._replace_operation(self._bring_up(request))

    async def stop(self, patience_s: float = 0.0) -> None:
        """Ends everything, also a start in progress. Returns when all processes are gone, or told why one is not.

        Running requests may end within `patience_s`; another stop cuts that short.
        """
        await self._replace_operation(self._bring_down(patience_s))

    async def settled(self) -> None:
        """Returns when no operation is at work any more."""
        while self._operation and not self._operation.done():
            await asyncio.wait({self._operation})

    async def leave(self) -> None:
        """Lets everything run on without us. A stop in progress is finished first."""
        operation, self._operation = self._operation, None
        if operation and not operation.done():
            if not self._stopping:
                operation.cancel()
            await asyncio.wait({operation})
        self._publish()
        self._recorder.closed = True
        if self.client:
            await self.client.close()
            self.client = None
        for process in self.processes:
            await process.leave()

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
            await asyncio.sleep(0)
            found = self._examined()
            cause = LaunchError(found.sentence) if found else error
            if fallback is None or fallback.like(request) or not self._workers_alive(fallback):
                await self._fail(str(cause), found)
            else:
                await self._roll_back(fallback, cause)
            raise cause from None

    async def _roll_back(self, fallback: Request, error: HettuiError) -> None:
        self._emit(Notice(f"{error}. Going back to the split that ran before.", "error"))
        try:
            await self._start_all(fallback)
        except HettuiError as second:
            await self._fail(f"{error}; going back failed too: {second}", self._examined())

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
            applied=Applied(cluster.devices, request.split, ctx_size=cluster.params.ctx_size),
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

    async def _ended_for_certain(self, processes: list[Supervised]) -> None:
        """Raises LaunchError when one of them does not end: nothing new is started over it."""
        for process in processes:
            if process.state is ProcessState.BACKOFF:
                self._lives[process.spec.name] = process.life
        stuck = await stop_all(processes, self._grace_s, self._world.clock, self._tell_waiting)
        if stuck:
            raise LaunchError(aftermath.stuck(stuck))

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

    def _connect(self, spec: ProcessSpec, request: Request) -> str:
        host, port = spec.address
        # llama-server on 0.0.0.0 is reached through loopback.
        api = f"http://{host if is_loopback(host) else '127.0.0.1'}:{port}"
        self.client = self._world.clients(api, request.api_key)
        return api

    async def _until_loaded(self, master: Supervised, api: str, request: Request, *, adopted: bool) -> None:
        """A slow load is not a hang: the time-out counts from the last progress, and the user sees it and can stop."""
        client = self.client
        assert client is not None  # noqa: S101 - _connect() was called before
        limit_s = request.supervision.load_timeout_s or None
        wait = master.until_ready if adopted else master.start
        await self._unless_a_worker_ends(wait(client.health, limit_s, lambda: self._load.moved(master)))
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

    # -- bringing down -------------------------------------------------------------------------------------

    async def _bring_down(self, patience_s: float) -> None:
        if patience_s > 0 and self.client and self._snapshot.state is ClusterState.READY:
            await answers_end(self.client, self._answering, patience_s, self._world.clock, self._tell_waiting)
        await self._end_everything(None, None)
        if self._snapshot.problem is None:
            self._last_good = None

    async def _fail(self, reason: str, found: PostMortem | None = None) -> None:
        await self._end_everything(reason, found)
        self._emit(Notice(reason, "error"))

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

    # -- unplanned ends ------------------------------------------------------------------------------------

    def _process_ended(self, process: Supervised) -> None:
        """A process ended that nobody asked to end. While starting, whoever waits for it raises instead."""
        self._ends.append(process)
        if process.spec.role == "worker":
            self._worker_lost.set()
        if not self._wanted or (self._operation and not self._operation.done()):
            return
        # The whole story follows; until then at least this is on the screen.
        self._set(problem=process.detail or None)
        moment = "while it answered" if self._answering() else ""
        self._operation = asyncio.create_task(self._after_an_end(moment), name="after an end")

    async def _after_an_end(self, moment: str) -> None:
        # One end brings others within milliseconds: they are one story.
        await asyncio.sleep(aftermath.SETTLE_S)
        found = self._examined(moment)
        request = self._last_good
        if found is None or request is None or not self._may_restart():
            await self._fail(found.sentence if found else "a process ended", found)
            return
        await self._recover(request, found)

    def _may_restart(self) -> bool:
        states = {p.state for p in self._ends}
        return bool(states) and states <= {ProcessState.BACKOFF, ProcessState.STOPPED}

    async def _recover(self, request: Request, found: PostMortem) -> None:
        """Down in order, a pause, up in order; again until it runs or a limit says enough."""
        while True:
            self._set(post_mortem=found)
            resume_at_s = max((p.life.resume_at_s or 0.0 for p in self._ends), default=0.0)
            await self._stop_master()
            while (left_s := resume_at_s - self._world.clock.monotonic()) > 0:
                self._tell_waiting(Waiting(f"{found.sentence}. Starting again", left_s, can_cut=True))
                await asyncio.sleep(min(left_s, 0.25))
            try:
                await self._start_all(request, found)
            except HettuiError as error:
                await asyncio.sleep(aftermath.SETTLE_S)
                found = self._examined() or found
                if not self._may_restart():
                    await self._fail(str(error) if not self._ends else found.sentence, found)
                    return
            else:
                self._emit(Notice("The cluster was started again and is ready.", "warning"))
                return

    def _examined(self, moment: str = "") -> PostMortem | None:
        loading = bool(self._snapshot.state is ClusterState.LOADING or self._snapshot.load)
        moment = moment or ("while the model was loading" if loading else "")
        return aftermath.examined(self._ends, self._master, self._load.owners, moment)

    def _workers_alive(self, request: Request) -> bool:
        names = {d.name for d in request.cluster.devices if d.via == "worker"}
        return all(name in self._workers and self._workers[name].alive for name in names)

    # -- taking over ---------------------------------------------------------------------------------------

    async def take_over(
        self, record: RunState | None, api_key: str | None = None, supervision: Supervision | None = None
    ) -> None:
        """Adopts what an earlier hettui left. What is half dead is told, and waits for `stop` or `start`."""
        found = takeover.look(record, self._world)
        self._strays = [self._adopt(spec, child, ready=True) for spec, child in found.strays]
        if record is None:
            self._set(problem=aftermath.unrecorded(self._strays) if self._strays else None)
            return
        self._request = Request(
            record.cluster, record.split, record.weights_bytes, api_key, supervision or Supervision(),
            record.config_path, record.demo,
        )  # fmt: skip
        self._load.owners = record.owners
        for entry, child in found.living:
            process = self._adopt(entry.spec, child, ready=entry.ready, offset=self._log_start(entry))
            if entry.spec.role == "master":
                self._master = process
            else:
                self._workers[entry.spec.device or entry.spec.name] = process
        if found.whole:
            self._wanted = True
            self._publish()
            # Not waited for while it still loads: whoever wants to stop it need not wait.
            self._operation = asyncio.create_task(self._go_on(record), name="going on")
            if self._master is not None and self._master.state is ProcessState.READY:
                await asyncio.shield(self._operation)
            return
        post_mortem = takeover.what_happened(found, record, self._world)
        problem = aftermath.half_dead(found, post_mortem)
        applied = Applied(record.cluster.devices, record.split, ctx_size=record.cluster.params.ctx_size)
        self._set(problem=problem, post_mortem=post_mortem, applied=applied if found.living else None)

    def _adopt(self, spec: ProcessSpec, child: ChildProcess, *, ready: bool, offset: int | None = None) -> Supervised:
        process = self._supervise(spec, offset)
        process.adopt(child, ready=ready)
        return process

    def _log_start(self, entry: ProcessRecord) -> int:
        # Rotated meanwhile: what is left begins at the front.
        return entry.log_offset if entry.log_offset <= self._world.logs.size(entry.spec.name) else 0

    async def _go_on(self, record: RunState) -> None:
        """Everything lives: as if we had started it."""
        request, master = self._request, self._master
        assert request is not None and master is not None  # noqa: S101, PT018 - take_over() has set both
        self._load.begin(record.owners)
        strays, self._strays = self._strays, []
        await self._ended_for_certain(strays)
        api = self._connect(master.spec, request)
        self._set(
            applied=Applied(record.cluster.devices, record.split, ctx_size=record.cluster.params.ctx_size),
            commands=tuple(shell_line(entry.spec) for entry in record.processes),
            problem=None,
            load=None if master.state is ProcessState.READY else LoadProgress(total_bytes=record.weights_bytes),
            api=None,
        )
        try:
            if master.state is ProcessState.STARTING:
                await self._until_loaded(master, api, request, adopted=True)
        except HettuiError as error:
            await asyncio.sleep(0)
            post_mortem = self._examined()
            await self._fail(post_mortem.sentence if post_mortem else str(error), post_mortem)
            return
        self._load.end()
        self._last_good = request
        self._set(api=api, load=None)

    # -- observing -----------------------------------------------------------------------------------------

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
        self._recorder.write(self._request, self._snapshot, self.processes, dict(self._load.owners))
        self._emit(ClusterChanged(self._snapshot))


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
