"""The front door beside the cluster: it is there before the master, stays over every restart and every failure of it,
and is told when requests wait and where they are passed on.

Nothing of it is worth a cluster: a door that does not answer is started anew, and the master works on meanwhile.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from hettui.domain.cluster.launch import Cluster, LaunchPlan, door_words
from hettui.domain.cluster.process import ProcessSpec, ProcessState
from hettui.domain.cluster.run_state import RunState
from hettui.domain.cluster.snapshot import Waiting
from hettui.domain.door.words import DoorState, DoorWords
from hettui.domain.errors import DoorError, HettuiError
from hettui.ports import DoorLine
from hettui.services.cluster.running import Running
from hettui.services.events import Event, Notice

READY_S = 10.0
DRAIN_S = 30.0
"""How long a restart waits for answers that are being written, at most. Nobody new comes in meanwhile."""
_LOOK_S = 0.1
_TRIES, _WITHIN_S = 5, 60.0
"""So many ends within so many seconds, and it is not started again."""


class FrontDoor:
    """Works on `Running.door`. All methods run on the engine's loop."""

    def __init__(self, running: Running, emit: Callable[[Event], None]) -> None:
        self._running = running
        self._emit = emit
        self._line: DoorLine | None = None
        self._ends_s: list[float] = []

    # -- the process ---------------------------------------------------------------------------------------

    def control(self, cluster: Cluster) -> str:
        """The name of the line to it: the running one's, where that serves this cluster as it stands; else a new one,
        that nobody can have taken before."""
        door = self._running.door
        if door is not None and door.alive:
            words = DoorWords.of(door.spec.argv)
            if words == door_words(cluster, words.control):
                return words.control
        return secrets.token_hex(8)

    async def open(self, plan: LaunchPlan) -> None:
        """It runs as the plan says, and no other. Raises LaunchError."""
        running, door = self._running, self._running.door
        if door is not None and (plan.door is None or door.spec.argv != plan.door.argv or not door.alive):
            await self.close()
        if plan.door is not None and running.door is None:
            await self._start(plan.door)
        elif running.door is not None and running.door.state is ProcessState.STARTING:
            # Of a start that was given up: nobody has heard it answer yet.
            await running.door.until_ready(self._answers, READY_S)

    async def _start(self, spec: ProcessSpec) -> None:
        door = self._running.door = self._running.supervise(spec)
        self._running.publish()
        self._line = self._running.world.doors(DoorWords.of(spec.argv).control)
        await door.start(self._answers, READY_S)

    async def _answers(self) -> bool:
        return self._line is not None and await self._heard(self._line.look()) is not None

    async def close(self) -> None:
        """It ends, before the master: who waits there is told. Raises LaunchError when it does not end."""
        await self.let_go()
        if (door := self._running.door) is not None:
            await self._running.end_for_certain([door])
            self._running.door = None
            self._running.publish()

    async def let_go(self) -> None:
        """Our line ends, and with it what was asked for over it."""
        line, self._line = self._line, None
        if line is not None:
            await line.close()

    async def again(self, spec: ProcessSpec, why: str, port: int | None) -> None:
        """It has ended by itself: another one at the same place. Clients lost their connections, the master works on;
        `port`: where, when it is ready."""
        now_s = self._running.world.clock.monotonic()
        self._ends_s = [*(end_s for end_s in self._ends_s if now_s - end_s < _WITHIN_S), now_s]
        if len(self._ends_s) > _TRIES:
            self._emit(Notice(f"the front door ends again and again and stays closed: {why}", "error"))
            return
        self._emit(Notice(f"the front door has ended and is opened again: {why}", "warning"))
        await self.let_go()
        try:
            await self._start(spec)
        except HettuiError as error:
            self._emit(Notice(f"the front door could not be opened again: {error}", "error"))
            return
        if port is not None:
            await self.go(port)

    async def ensure(self, plan: LaunchPlan) -> None:
        """As `open`, of one that may have ended while the master was loading: the master works in any case."""
        door = self._running.door
        if plan.door is not None and (door is None or not door.alive):
            why = door.detail if door else ""
            self._running.door = None
            await self.again(plan.door, why, plan.master.address[1])

    async def adopted(self, record: RunState, port: int, *, ready: bool) -> None:
        """One of an earlier hettui's learns where the master is; one that has ended meanwhile is opened again."""
        door, spec = self._running.door, next((e.spec for e in record.processes if e.spec.role == "door"), None)
        if door is not None and door.alive:
            self._line = self._running.world.doors(DoorWords.of(door.spec.argv).control)
            await (self.go(port) if ready else self.aim(port))
        elif spec is not None:
            await self.again(spec, "while no hettui was watching", port if ready else None)

    # -- what it is told -----------------------------------------------------------------------------------

    async def hold(self) -> None:
        """Requests wait from here on, and those at the master come to their end, within reason."""
        line, clock = self._line, self._running.world.clock
        if line is None:
            return
        state, until_s = await self._heard(line.hold()), clock.monotonic() + DRAIN_S
        try:
            while state is not None and state.running and (left_s := until_s - clock.monotonic()) > 0:
                answers = "an answer" if state.running == 1 else f"{state.running} answers"
                behind = f", {state.waiting} wait behind" if state.waiting else ""
                self._running.tell_waiting(Waiting(f"{answers} may end before the restart{behind}", left_s))
                await asyncio.sleep(_LOOK_S)
                state = await self._heard(line.look())
        finally:
            self._running.tell_waiting(None)

    async def aim(self, port: int) -> None:
        """The master is being started there."""
        if self._line is not None:
            await self._heard(self._line.aim(port))

    async def go(self, port: int) -> None:
        """The master is ready there."""
        if self._line is None:
            return
        state = await self._heard(self._line.go(port))
        if state is None:
            self._emit(Notice("the front door does not answer: requests wait there until it does", "warning"))
        elif state.waiting:
            said = "a request that waited" if state.waiting == 1 else f"{state.waiting} requests that waited"
            self._emit(Notice(f"the front door passes on {said} for the master"))

    @staticmethod
    async def _heard(order: Awaitable[DoorState]) -> DoorState | None:
        """None: it does not answer. What it was not told it finds out by itself: it looks at the master's /health."""
        try:
            return await order
        except DoorError:
            return None
