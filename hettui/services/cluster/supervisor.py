"""One child process from start to end: started, probed until ready, watched, stopped for certain.

What may follow what is `domain.cluster.process.transition`; this runs it against a real process.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from hettui.domain.cluster.address import endpoint
from hettui.domain.cluster.postmortem import End, examine
from hettui.domain.cluster.process import (
    Action,
    Answered,
    Ended,
    Life,
    ProcessEvent,
    ProcessSpec,
    ProcessState,
    RestartPolicy,
    Start,
    StopAsked,
    Tick,
    transition,
)
from hettui.domain.cluster.run_state import ProcessRecord
from hettui.domain.cluster.snapshot import ProcessSnapshot
from hettui.domain.devices.device import LOCAL
from hettui.domain.errors import LaunchError
from hettui.domain.hosts.worker import is_lost, state_of_line
from hettui.ports import ChildProcess
from hettui.services.cluster.world import World

TERM_GRACE_S = 5.0
"""From SIGTERM to SIGKILL. llama-server with an open stream of somebody else's would wait up to 30 s."""
REMOTE_GRACE_S = 25.0
"""As much more for what is asked of another machine."""
KILL_GRACE_S = 10.0
"""After SIGKILL. A process that waits for a driver or a dead disk does not even heed that."""
KEPT_LINES = 400
"""Log lines per process that an explanation may look at."""
_CANCEL_AGAIN_S = 0.1
_LOOK_S = 0.5
"""How often a slow start is looked at for progress."""


class Supervised:
    """A process and its life. All methods run on the engine's loop."""

    def __init__(
        self,
        spec: ProcessSpec,
        world: World,
        changed: Callable[[], None],
        ended: Callable[[Supervised], None],
        *,
        policy: RestartPolicy | None = None,
        life: Life | None = None,
        offset: int | None = None,
    ) -> None:
        """`life` is what it went through before; `offset`: where in its log to begin, for one that runs already."""
        self.spec = spec
        self.life = life or Life()
        self.end: End | None = None
        """How it ended when nobody had asked for it."""
        self.kill_at_s: float | None = None
        """When SIGTERM is followed by SIGKILL; None: nobody waits for its end."""
        self.frozen = False
        self._line = ""
        """What is odd about the line to it."""
        self._told_line = ""
        self.was_cut_off = False
        """It was lost, or is, since somebody last looked: whoever was connected to it is not any more."""
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._pending: list[str] = []
        """Log lines that were read and not handed on yet."""
        self._world = world
        self._policy = policy or RestartPolicy()
        self._changed = changed
        self._ended = ended
        self._child: ChildProcess | None = None
        self._watch: asyncio.Task[int | None] | None = None
        self.log_offset = world.logs.size(spec.name) if offset is None else offset
        self._tail = world.logs.tail(spec.name, offset)

    @property
    def state(self) -> ProcessState:
        return self.life.state

    @property
    def detail(self) -> str:
        if self.life.reason:
            return self.life.reason
        return f"stopped by a signal: kill -CONT {self.pid} lets it go on" if self.frozen else self._line

    @property
    def cut_off(self) -> bool:
        """The line to it is lost: its port here leads nowhere."""
        return is_lost(self._line)

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    @property
    def alive(self) -> bool:
        return self.state.alive

    @property
    def gone(self) -> bool:
        """There is no process (any more)."""
        return self._child is None

    @property
    def activity(self) -> int | None:
        return self._child.activity if self._child else None

    def snapshot(self) -> ProcessSnapshot:
        return ProcessSnapshot(
            name=self.spec.name,
            role=self.spec.role,
            state=self.state,
            pid=self.pid,
            device=self.spec.device,
            address=endpoint(*self.spec.address),
            log_path=str(self._world.logs.path(self.spec.name)),
            detail=self.detail,
            frozen=self.frozen,
        )

    def record(self) -> ProcessRecord:
        child = self._child
        return ProcessRecord(
            self.spec,
            child.pid if child else None,
            child.started if child else None,
            str(self._world.logs.path(self.spec.name)),
            self.log_offset,
            self.state is ProcessState.READY,
        )

    def _feed(self, event: ProcessEvent) -> tuple[Action, ...]:
        self.life, actions = transition(self.life, event, self._world.clock.monotonic(), self._policy)
        self._changed()
        return actions

    # -- starting ------------------------------------------------------------------------------------------

    async def start(
        self,
        probe: Callable[[], Awaitable[bool]],
        timeout_s: float | None,
        progress: Callable[[], object] | None = None,
    ) -> None:
        """Starts it and returns when `probe` says ready. Raises LaunchError when it ends before, or in time.

        With `progress` the time begins anew whenever its value changes: a slow load is no hang. A start that is
        cancelled or fails leaves the process for `stop` to end.
        """
        if Action.LAUNCH not in self._feed(Tick() if self.state is ProcessState.BACKOFF else Start()):
            raise LaunchError(f"{self.spec.name} is {self.state.value}: it cannot be started now")
        try:
            self._child = self._world.runner.start(self.spec, self._world.logs.path(self.spec.name))
        except LaunchError as error:
            self.end = End(self.spec, None, (str(error),))
            self._feed(Ended(str(error), hopeless=True))
            raise
        self._watch_over(self._child)
        self._changed()
        await self.until_ready(probe, timeout_s, progress)

    def adopt(self, child: ChildProcess, *, ready: bool) -> None:
        """Takes a process over that runs already."""
        self._child = child
        self._feed(Start())
        if ready:
            self._feed(Answered())
        self._watch_over(child)

    def _watch_over(self, child: ChildProcess) -> None:
        self._watch = asyncio.create_task(self._watch_child(child), name=f"watch {self.spec.name}")

    async def until_ready(
        self,
        probe: Callable[[], Awaitable[bool]],
        timeout_s: float | None,
        progress: Callable[[], object] | None = None,
    ) -> None:
        """As `start`, for a process that was started already."""
        assert self._watch is not None  # noqa: S101 - start() and adopt() have set it
        ready = asyncio.create_task(_until(probe), name=f"probe {self.spec.name}")
        try:
            in_time = await self._wait_for(ready, self._watch, timeout_s, progress)
        finally:
            # Once is not enough for every probe: one that ends in the same moment may lose the cancellation.
            while not ready.done():
                ready.cancel()
                await asyncio.wait({ready}, timeout=_CANCEL_AGAIN_S)
        if self._watch.done():
            raise LaunchError(self.detail or f"{self.spec.name} ended")
        if not in_time:
            without = "make any progress" if progress else "answer"
            raise LaunchError(f"{self.spec.name} did not {without} within {timeout_s:.0f} s: see its log")
        await ready
        self._feed(Answered())

    @staticmethod
    async def _wait_for(
        ready: asyncio.Task[None],
        watch: asyncio.Task[int | None],
        timeout_s: float | None,
        progress: Callable[[], object] | None,
    ) -> bool:
        """Whether one of the two was done in time."""
        seen = progress() if progress else None
        left_s = timeout_s
        while True:
            pause_s = left_s if progress is None or left_s is None else min(left_s, _LOOK_S)
            done, _ = await asyncio.wait({ready, watch}, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
            if done or left_s is None:
                return bool(done)
            now = progress() if progress else None
            left_s = timeout_s if now != seen else left_s - (pause_s or 0)
            seen = now
            if left_s is not None and left_s <= 0:
                return False

    async def _watch_child(self, child: ChildProcess) -> int | None:
        returncode = await child.wait()
        # Before the state changes: what was ready had its port.
        port_held = returncode == 1 and self.state is ProcessState.STARTING and self._port_held()
        self._child, self.frozen, self.kill_at_s = None, False, None
        if not self.alive:
            self._feed(Ended())
            return returncode
        # The last words are wanted here at once, and by whoever reads the log next.
        self._pending, _ = self.read_log()
        self.end = End(self.spec, returncode, tuple(self.lines), port_held)
        kernel = self._world.runner.last_words_of_kernel(child.pid) if returncode == -9 else []
        found = examine(self.end, kernel_lines=kernel)
        self._feed(Ended(found.sentence, hopeless=found.hopeless))
        self._ended(self)
        return returncode

    def _port_held(self) -> bool:
        return self.spec.host == LOCAL and self._world.ports.obstacle(*self.spec.address) == "in use"

    # -- stopping ------------------------------------------------------------------------------------------

    async def stop(self, grace_s: float | None = None) -> bool:
        """Ends the whole process group: SIGTERM, a grace time, SIGKILL. False when it lives on even then.

        Never waits for ever. A stop that was cancelled half-way may be called again.
        """
        child, watch = self._child, self._watch
        actions = self._feed(StopAsked())
        if child is None or watch is None:
            return True
        if Action.TERMINATE in actions:
            child.terminate()
        grace_s = TERM_GRACE_S if grace_s is None else grace_s
        if self.spec.host != LOCAL:
            # On a line that may be lost, and then on another one.
            grace_s += REMOTE_GRACE_S
        self.kill_at_s = self._world.clock.monotonic() + grace_s
        done, _ = await asyncio.wait({watch}, timeout=grace_s)
        if not done and self._child is not None:
            self.kill_at_s = None
            child.kill()
            done, _ = await asyncio.wait({watch}, timeout=KILL_GRACE_S)
        return bool(done)

    async def leave(self) -> None:
        """Lets the process go on alone; this object is of no use afterwards."""
        watch, self._watch = self._watch, None
        if watch is not None and not watch.done():
            watch.cancel()
            await asyncio.wait({watch})
        if self._child is not None:
            self._child.release()

    # -- observing -----------------------------------------------------------------------------------------

    def look(self) -> bool:
        """Whether a signal has stopped it, or let it go on, or its line is another since the last look."""
        frozen = self._child is not None and self._child.frozen
        changed = frozen != self.frozen or self._line != self._told_line
        self.frozen, self._told_line = frozen, self._line
        return changed

    def read_log(self) -> tuple[list[str], str]:
        """New complete lines of its log and the growing one; remembers them for an explanation."""
        lines, partial = self._tail.read()
        self.lines.extend(lines)
        if lines and self.spec.host != LOCAL:
            self.was_cut_off |= any(is_lost(state_of_line([line], "")) for line in lines)
            self._line = state_of_line(lines, self._line)
        pending, self._pending = self._pending, []
        return [*pending, *lines], partial

    def rotate_log(self) -> None:
        self._tail.rotate()

    def witness(self) -> End:
        """What it has said, while it lives on."""
        self._pending, _ = self.read_log()
        return End(self.spec, None, tuple(self.lines))


async def _until(probe: Callable[[], Awaitable[bool]]) -> None:
    pause_s = 0.02
    while not await probe():
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 0.25)
