"""Starts, stops and rebalances the whole cluster. The newest command wins.

Workers start first and stop last. A new split restarts the master only: it alone carries the split. When a new
split does not come up, the last one that was ready is started again. A worker that dies takes the master down
in llama.cpp: the rest is stopped in order, and brought back in order where the restart policy allows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from hettui.domain.cluster.launch import shell_line
from hettui.domain.cluster.postmortem import PostMortem
from hettui.domain.cluster.process import ProcessSpec, ProcessState
from hettui.domain.cluster.run_state import ProcessRecord, RunState
from hettui.domain.cluster.snapshot import Applied, ClusterState, LoadProgress, Waiting
from hettui.domain.errors import HettuiError, LaunchError
from hettui.ports import ChildProcess
from hettui.services.cluster import aftermath, takeover
from hettui.services.cluster.bringing_up import BringingUp
from hettui.services.cluster.port_choice import may_move
from hettui.services.cluster.stopping import answers_end
from hettui.services.cluster.supervisor import Supervised
from hettui.services.cluster.world import Request as Request
from hettui.services.cluster.world import Supervision
from hettui.services.cluster.world import World as World
from hettui.services.events import Notice

PORT_TRIES = 3


class ClusterController(BringingUp):
    """The commands, and what is done when a process ends by itself or was left by an earlier hettui."""

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
        self._keeper.closed = True
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
            await self._start_on_free_ports(request)
        except HettuiError as error:
            await asyncio.sleep(0)
            found = self._examined()
            cause = LaunchError(found.sentence) if found else error
            if fallback is None or fallback.like(request) or not self._workers_alive(fallback):
                await self._fail(str(cause), found)
            else:
                await self._roll_back(fallback, cause)
            raise cause from None

    async def _start_on_free_ports(self, request: Request) -> None:
        """Ports are looked at and then used by somebody else: where hettui chooses them, it chooses again."""
        for left in range(PORT_TRIES - 1, -1, -1):
            try:
                await self._start_all(request)
            except HettuiError:
                await asyncio.sleep(0)
                found = self._examined()
                if not left or found is None or not found.port_taken or not may_move(request.cluster, found.device):
                    raise
                self._emit(Notice(f"{found.process}: {found.what}; another one is taken.", "warning"))
            else:
                return

    async def _roll_back(self, fallback: Request, error: HettuiError) -> None:
        self._emit(Notice(f"{error}. Going back to the split that ran before.", "error"))
        try:
            await self._start_all(fallback)
        except HettuiError as second:
            await self._fail(f"{error}; going back failed too: {second}", self._examined())

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

    # -- unplanned ends ------------------------------------------------------------------------------------

    def _process_ended(self, process: Supervised) -> None:
        """A process ended that nobody asked to end. While starting, whoever waits for it raises instead."""
        self._ends.append(process)
        if process.spec.role == "worker":
            self._worker_lost.set()
        if self._operation and not self._operation.done():
            return
        if not self._wanted:
            # Of what was found half dead one more has ended: nothing depends on it.
            self._workers = {name: w for name, w in self._workers.items() if w is not process}
            self._strays = [s for s in self._strays if s is not process]
            self._master = None if self._master is process else self._master
            self._publish()
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
        if found is None or found.hopeless or request is None or not self._may_restart():
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
                if found.hopeless or not self._may_restart():
                    await self._fail(str(error) if not self._ends else found.sentence, found)
                    return
            else:
                self._emit(Notice("The cluster was started again and is ready.", "warning"))
                return

    def _examined(self, moment: str = "") -> PostMortem | None:
        loading = bool(self._snapshot.state is ClusterState.LOADING or self._snapshot.load)
        moment = moment or ("while the model was loading" if loading else "")
        return aftermath.examined(self._ends, self._master, self._load.owners, moment, self._workers.values())

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
