"""Starts, stops and rebalances the whole cluster. The newest command wins.

Workers start first and stop last. A new split restarts the master only: it alone carries the split. When a new
split does not come up, the last one that was ready is started again. A worker that dies takes the master down
in llama.cpp: the rest is stopped in order, and brought back in order where the restart policy allows it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from hettui.domain.cluster.leftovers import unrecognised
from hettui.domain.cluster.postmortem import PostMortem
from hettui.domain.cluster.process import ProcessState
from hettui.domain.cluster.run_state import RunState
from hettui.domain.cluster.snapshot import Applied, ClusterSnapshot, ClusterState, Waiting
from hettui.domain.errors import HettuiError, LaunchError, UnrecognisedError
from hettui.ports import ContextFolder, LlamaClient
from hettui.services.cluster import adopting, aftermath, takeover
from hettui.services.cluster.bringing_up import BringingUp
from hettui.services.cluster.ends import Ends
from hettui.services.cluster.front_door import FrontDoor
from hettui.services.cluster.lost_line import LostLine
from hettui.services.cluster.newest_command import NewestCommand
from hettui.services.cluster.port_choice import may_move
from hettui.services.cluster.running import Running
from hettui.services.cluster.stopping import answers_end
from hettui.services.cluster.supervisor import Supervised
from hettui.services.cluster.world import Request, Supervision, World
from hettui.services.events import Event, Notice

PORT_TRIES = 3


class ClusterController:
    """Implements ClusterFacade: the commands, and what is done when a process ends by itself or was left by an
    earlier hettui. All methods run on the engine's loop."""

    follows_others = False

    def __init__(self, world: World, emit: Callable[[Event], None], answering: Callable[[], bool] = bool) -> None:
        """`answering` says whether an answer of ours is being written."""
        self._world = world
        self._emit = emit
        self._answering = answering
        self._running = Running(world, emit, self._process_ended)
        self._ends = Ends(self._running)
        self._front_door = FrontDoor(self._running, emit)
        self._bringing_up = BringingUp(self._running, self._ends, self._front_door, emit)
        self._lost_line = LostLine(self._running)
        self._command = NewestCommand()
        self._last_good: Request | None = None
        """What was ready last: where a failed command leads back to."""

    @property
    def snapshot(self) -> ClusterSnapshot:
        return self._running.snapshot

    @property
    def client(self) -> LlamaClient | None:
        return self._running.client

    @property
    def contexts(self) -> ContextFolder | None:
        return self._running.slots.contexts.folder if self._running.client else None

    @property
    def model_path(self) -> str | None:
        request = self._running.request
        return request.cluster.model_path if request and self._running.processes else None

    def read_logs(self) -> None:
        running = self._running
        running.read_logs()
        if self._command.at_work or self._last_good is None or running.snapshot.state is not ClusterState.READY:
            return
        if (hosts := self._lost_line.is_back()) is not None:
            what = (
                f"the line to {hosts} was lost and is there again: the master is started anew, its connection is gone"
            )
            self._emit(Notice(what, "warning"))
            self._command.begin(self._start_anew(self._last_good, None), "after a lost line")

    async def watch_slots(self) -> None:
        await self._running.slots.watch(self._resting_client)

    def _resting_client(self) -> LlamaClient | None:
        ready = self._running.snapshot.state is ClusterState.READY and not self._command.at_work
        return self._running.client if ready else None

    # -- commands ------------------------------------------------------------------------------------------

    async def start(self, request: Request) -> None:
        """Starts what does not run yet and the master with this split. Raises the reason when it fails, or when
        something runs that nobody knows."""
        if self._running.unrecognised:
            raise UnrecognisedError(self._running.unrecognised)
        self._running.forget_restarts()
        await self._command.replace(self._bring_up(request))

    async def stop(self, patience_s: float = 0.0) -> None:
        """Ends everything, also a start in progress. Returns when all processes are gone, or told why one is not.

        Running requests may end within `patience_s`; another stop cuts that short.
        """
        await self._command.replace(self._bring_down(patience_s))

    async def settled(self) -> None:
        await self._command.settled()

    async def leave(self) -> None:
        """Lets everything run on without us. A stop in progress is finished first."""
        await self._command.end(cancel=not self._running.stopping)
        if not self._running.wanted:
            # It waits for a relaunch of ours, which will not come.
            with contextlib.suppress(HettuiError):
                await self._front_door.close()
        await self._front_door.let_go()
        await self._running.leave()

    # -- bringing up ---------------------------------------------------------------------------------------

    async def _bring_up(self, request: Request) -> None:
        fallback = self._last_good if self._running.master else None
        if self._running.snapshot.state is ClusterState.READY:
            self._refuse(request)
        try:
            await self._start_on_free_ports(request)
        except HettuiError as error:
            await asyncio.sleep(0)
            found = self._ends.examined()
            cause = LaunchError(found.sentence) if found else error
            if fallback is None or fallback.like(request) or not self._workers_alive(fallback):
                await self._fail(str(cause), found)
            else:
                await self._roll_back(fallback, cause)
            raise cause from None

    def _refuse(self, request: Request) -> None:
        """What cannot be started is no reason to stop what runs."""
        try:
            self._bringing_up.check(request)
        except HettuiError as error:
            self._emit(Notice(f"{error}. What runs was not touched.", "error"))
            raise

    async def _start_on_free_ports(self, request: Request) -> None:
        """Ports are looked at and then used by somebody else: where hettui chooses them, it chooses again."""
        for left in range(PORT_TRIES - 1, -1, -1):
            try:
                self._last_good = await self._bringing_up.start(request)
                self._lost_line.forget()
            except HettuiError:
                await asyncio.sleep(0)
                found = self._ends.examined()
                if not left or found is None or not found.port_taken or not may_move(request.cluster, found.device):
                    raise
                self._emit(Notice(f"{found.process}: {found.what}; another one is taken.", "warning"))
            else:
                return

    async def _roll_back(self, fallback: Request, error: HettuiError) -> None:
        self._emit(Notice(f"{error}. Going back to the split that ran before.", "error"))
        try:
            self._last_good = await self._bringing_up.start(fallback)
        except HettuiError as second:
            await self._fail(f"{error}; going back failed too: {second}", self._ends.examined())

    def _workers_alive(self, request: Request) -> bool:
        names, workers = {d.name for d in request.cluster.devices if d.via == "worker"}, self._running.workers
        return all(name in workers and workers[name].alive for name in names)

    # -- bringing down -------------------------------------------------------------------------------------

    async def _bring_down(self, patience_s: float) -> None:
        running = self._running
        if patience_s > 0 and running.client and running.snapshot.state is ClusterState.READY:
            await answers_end(running.client, self._answering, patience_s, self._world.clock, running.tell_waiting)
        ran = running.snapshot.state is ClusterState.READY
        keeping = running.request.keeping if running.request else None
        if ran and running.client and running.request and keeping and keeping.at_stop == "keep":
            terms = running.request.terms
            await running.slots.contexts.save(running.client, running.request, terms, running.tell_waiting)
        await running.end_everything(None, None)
        await self._front_door.let_go()
        if ran and keeping and keeping.at_stop == "delete":
            await running.slots.contexts.forget()
        if running.snapshot.problem is None:
            self._last_good = None

    async def _fail(self, reason: str, found: PostMortem | None = None) -> None:
        # Clients may wait for the relaunch.
        await self._running.end_everything(reason, found, door=False)
        self._emit(Notice(reason, "error"))
        if self._running.door is not None and self._running.request is not None:
            wait_s = self._running.request.cluster.serving.hold_seconds
            self._emit(Notice(f"Clients' requests wait at the front door, each for {wait_s} s at most: Stop ends that"))

    # -- unplanned ends ------------------------------------------------------------------------------------

    def _process_ended(self, process: Supervised) -> None:
        """A process ended that nobody asked to end. While starting, whoever waits for it raises instead."""
        if process.spec.role == "door":
            self._door_ended(process)
            return
        self._ends.add(process)
        if self._command.at_work:
            return
        if not self._running.wanted:
            # Of what was found half dead one more has ended: nothing depends on it.
            self._running.forget(process)
            return
        # The whole story follows; until then at least this is on the screen.
        self._running.tell(problem=process.detail or None)
        moment = "while it answered" if self._answering() else ""
        self._command.begin(self._after_an_end(moment), "after an end")

    def _door_ended(self, door: Supervised) -> None:
        """Nothing depends on it but clients. A command that is at work opens it again itself."""
        if self._command.at_work:
            return
        master = self._running.master
        if not self._running.wanted or master is None:
            self._running.forget(door)
            return
        again = self._front_door.again(door.spec, door.detail, master.spec.address[1])
        self._command.begin(again, "the front door again")

    async def _after_an_end(self, moment: str) -> None:
        # One end brings others within milliseconds: they are one story.
        await self._ends.settle()
        found = self._ends.examined(moment)
        request = self._last_good
        if found is not None and found.line_lost and request is not None:
            await self._after_a_lost_line(request, found)
            return
        if found is None or found.hopeless or request is None or not self._ends.may_restart:
            await self._fail(found.sentence if found else "a process ended", found)
            return
        await self._recover(request, found)

    async def _after_a_lost_line(self, request: Request, found: PostMortem) -> None:
        """Whatever the restart policy is: nothing is broken, and the worker waits there while its lease runs."""
        self._running.tell(problem=found.sentence, post_mortem=found)
        await self._running.end_master()
        if await self._lost_line.until_back(found.what):
            await self._start_anew(request, found)
        else:
            await asyncio.sleep(aftermath.SETTLE_S)
            found = self._ends.examined() or found
            await self._fail(found.sentence, found)

    async def _start_anew(self, request: Request, found: PostMortem | None) -> None:
        try:
            self._last_good = await self._bringing_up.start(request, found)
        except HettuiError as error:
            await asyncio.sleep(aftermath.SETTLE_S)
            found = self._ends.examined() or found
            await self._fail(found.sentence if self._ends and found else str(error), found)
        else:
            self._lost_line.forget()
            self._emit(Notice("The cluster was started again and is ready.", "warning"))

    async def _recover(self, request: Request, found: PostMortem) -> None:
        """Down in order, a pause, up in order; again until it runs or a limit says enough."""
        running = self._running
        while True:
            running.tell(post_mortem=found)
            resume_at_s = self._ends.resume_at_s
            await running.end_master()
            while (left_s := resume_at_s - self._world.clock.monotonic()) > 0:
                running.tell_waiting(Waiting(f"{found.sentence}. Starting again", left_s, can_cut=True))
                await asyncio.sleep(min(left_s, 0.25))
            try:
                self._last_good = await self._bringing_up.start(request, found)
            except HettuiError as error:
                await asyncio.sleep(aftermath.SETTLE_S)
                found = self._ends.examined() or found
                if found.hopeless or not self._ends.may_restart:
                    await self._fail(found.sentence if self._ends else str(error), found)
                    return
            else:
                self._emit(Notice("The cluster was started again and is ready.", "warning"))
                return

    # -- taking over ---------------------------------------------------------------------------------------

    def expect_takeover(self) -> None:
        self._running.expect_takeover()

    async def take_over(
        self, record: RunState | None, api_key: str | None = None, supervision: Supervision | None = None
    ) -> None:
        """Adopts what an earlier hettui left. What is half dead is told, and waits for `stop` or `start`."""
        running, found = self._running, takeover.look(record, self._world)
        # One by one they would look like a cluster that stopped, on the screen and in the record.
        with running.held():
            adopting.adopt_strays(found, running)
            adopting.note_abandoned(found, running)
            if record is not None:
                running.request = takeover.request_of(record, api_key, supervision)
                running.load.owners = record.owners
                adopting.adopt_recorded(found, running)
        if unknown := found.unknown:
            running.unrecognised = unrecognised([(process.pid, process.argv) for process in unknown])
        if record is None:
            running.tell(problem=running.unrecognised)
            return
        if found.whole and running.master is not None and running.request is not None:
            await self._take_over_whole(record, running.request, running.master)
            return
        post_mortem = takeover.what_happened(found, record, self._world)
        problem = running.unrecognised or takeover.half_dead(found, post_mortem)
        applied = Applied.of(record.cluster, record.split) if found.living else None
        running.tell(problem=problem, post_mortem=post_mortem, applied=applied)

    async def _take_over_whole(self, record: RunState, request: Request, master: Supervised) -> None:
        self._running.wanted = True
        if master.state is not ProcessState.READY:
            self._running.publish()
        # One that is ready is told of once it can be asked: what is said to be ready must answer.
        going_on = self._command.begin(self._go_on(record, request, master), "going on")
        # Not waited for while it still loads: whoever wants to stop it need not wait.
        if master.state is ProcessState.READY:
            await asyncio.shield(going_on)

    async def _go_on(self, record: RunState, request: Request, master: Supervised) -> None:
        running = self._running
        running.load.begin(record.owners)
        if running.unrecognised:
            self._emit(Notice(running.unrecognised, "warning"))
        else:
            strays, running.strays = running.strays, []
            await running.end_for_certain(strays)
        try:
            await self._bringing_up.go_on(record, request, master)
        except HettuiError as error:
            await asyncio.sleep(0)
            found = self._ends.examined()
            await self._fail(found.sentence if found else str(error), found)
            return
        self._last_good = request
        running.read_logs()
        hosts = await self._lost_line.unattached() if master.state is ProcessState.READY else []
        self._lost_line.forget()
        if hosts:
            self._emit(Notice(f"the master has lost its worker on {', '.join(hosts)}: it is started anew", "warning"))
            await self._start_anew(request, None)
