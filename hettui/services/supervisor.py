"""One child process from start to end: started, probed until ready, watched, stopped for certain."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from hettui.domain.cluster import ProcessSnapshot
from hettui.domain.errors import LaunchError
from hettui.domain.llama_log import explain_end
from hettui.domain.process import ProcessSpec, ProcessState, advance
from hettui.ports import ChildProcess, LogStore, ProcessRunner

TERM_GRACE_S = 5.0
"""From SIGTERM to SIGKILL. llama-server with an open stream of somebody else's would wait up to 30 s."""
KEPT_LINES = 400
"""Log lines per process that an explanation may look at."""
_CANCEL_AGAIN_S = 0.1


class Supervised:
    """A process and its state. All methods run on the engine's loop."""

    def __init__(
        self,
        spec: ProcessSpec,
        runner: ProcessRunner,
        logs: LogStore,
        changed: Callable[[], None],
        ended: Callable[[Supervised], None],
    ) -> None:
        self.spec = spec
        self.state = ProcessState.STOPPED
        self.detail = ""
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._runner = runner
        self._logs = logs
        self._changed = changed
        self._ended = ended
        self._child: ChildProcess | None = None
        self._watch: asyncio.Task[int] | None = None
        self._tail = logs.tail(spec.name)

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    @property
    def alive(self) -> bool:
        return self.state in (ProcessState.STARTING, ProcessState.READY)

    def snapshot(self) -> ProcessSnapshot:
        host, port = self.spec.address
        return ProcessSnapshot(
            name=self.spec.name,
            role=self.spec.role,
            state=self.state,
            pid=self.pid,
            device=self.spec.device,
            address=f"{host}:{port}",
            log_path=str(self._logs.path(self.spec.name)),
            detail=self.detail,
        )

    def _to(self, state: ProcessState) -> None:
        self.state = advance(self.state, state)
        self._changed()

    async def start(self, probe: Callable[[], Awaitable[bool]], timeout_s: float | None) -> None:
        """Starts it and returns when `probe` says ready. Raises LaunchError when it ends before, or in time.

        A start that is cancelled or fails leaves the process for `stop` to end.
        """
        self.detail = ""
        self._to(ProcessState.STARTING)
        try:
            self._child = self._runner.start(self.spec, self._logs.path(self.spec.name))
        except LaunchError as error:
            self.detail = str(error)
            self._to(ProcessState.EXITED)
            raise
        self._watch = asyncio.create_task(self._watch_child(self._child), name=f"watch {self.spec.name}")
        ready = asyncio.create_task(self._until_ready(probe), name=f"probe {self.spec.name}")
        try:
            done, _ = await asyncio.wait({ready, self._watch}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Once is not enough for every probe: one that ends in the same moment may lose the cancellation.
            while not ready.done():
                ready.cancel()
                await asyncio.wait({ready}, timeout=_CANCEL_AGAIN_S)
        if self._watch in done:
            raise LaunchError(self.detail)
        if ready not in done:
            raise LaunchError(f"{self.spec.name} did not answer within {timeout_s:.0f} s: see its log")
        await ready
        self._to(ProcessState.READY)

    @staticmethod
    async def _until_ready(probe: Callable[[], Awaitable[bool]]) -> None:
        pause_s = 0.02
        while not await probe():
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, 0.25)

    async def _watch_child(self, child: ChildProcess) -> int:
        returncode = await child.wait()
        self._child = None
        if self.state is ProcessState.STOPPING:
            self._to(ProcessState.STOPPED)
        elif self.alive:
            self.read_log()
            self.detail = explain_end(self.spec.role, self.spec.name, returncode, self.lines)
            self._to(ProcessState.EXITED)
            self._ended(self)
        return returncode

    async def stop(self) -> None:
        """Ends the whole process group: SIGTERM, a grace time, SIGKILL. Returns when it is gone.

        A stop that was cancelled half-way may be called again.
        """
        if self._child is None or self._watch is None:
            if self.state is ProcessState.EXITED:
                self._to(ProcessState.STOPPED)
            return
        if self.state is not ProcessState.STOPPING:
            self._to(ProcessState.STOPPING)
        self._child.terminate()
        done, _ = await asyncio.wait({self._watch}, timeout=TERM_GRACE_S)
        if not done and self._child is not None:
            self._child.kill()
            await asyncio.wait({self._watch})

    def read_log(self) -> tuple[list[str], str]:
        """New complete lines of its log and the growing one; remembers them for an explanation."""
        lines, partial = self._tail.read()
        self.lines.extend(lines)
        return lines, partial
