"""Child processes of this machine: own session, stdin closed, output straight into a log file.

The child writes its log file itself. A pipe would have to be drained for as long as the child lives: a stalled
screen would block the model server on its own logging, and our end would be its death by SIGPIPE. Whoever wants
the lines follows the file.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hettui.adapters.files.atomic import open_private
from hettui.adapters.processes import proc
from hettui.domain.cluster.process import ProcessSpec
from hettui.domain.errors import LaunchError
from hettui.domain.text import clean_line
from hettui.ports import FoundProcess

if TYPE_CHECKING:
    import asyncio

_POLL_S = 0.1
"""Where the kernel has no pidfd (before Linux 5.3, other systems)."""


def scrubbed_environment() -> dict[str, str]:
    """Ours without `LLAMA_ARG_*`, which would change a plan behind the user's back, and without gdb on abort."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("LLAMA_ARG_")}
    return kept | {"GGML_NO_BACKTRACE": "1"}


class _GroupLeader(ABC):
    """A process that leads a group of its own: who it is, what it does, and signals to all of them."""

    def __init__(self, pid: int, started: int | None) -> None:
        self._pid = pid
        self._started = started

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def started(self) -> int | None:
        return self._started

    @property
    def frozen(self) -> bool:
        return proc.is_frozen(self._pid)

    @property
    def activity(self) -> int | None:
        return proc.activity(self._pid)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._is_still_it():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._pid, number)

    @abstractmethod
    def _is_still_it(self) -> bool:
        """The pid, and so its group's number, cannot have been given to somebody else."""


class LocalProcess(_GroupLeader):
    """A child of ours."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        super().__init__(popen.pid, proc.start_time(popen.pid))
        self._popen = popen

    def release(self) -> None:
        # Else Popen complains about a process that nobody waited for.
        self._popen.returncode = self._popen.returncode or 0

    async def wait(self) -> int:
        with contextlib.suppress(OSError, AttributeError):
            await _pidfd_readable(self._pid)
        while (returncode := self._popen.poll()) is None:
            # The fallback: nothing wakes us.
            await _pause()
        return returncode

    def _is_still_it(self) -> bool:
        # Not yet waited for.
        return self._popen.returncode is None


class AdoptedProcess(_GroupLeader):
    """A process that an earlier hettui started, held by a pidfd: no other process can be mistaken for it."""

    def __init__(self, pid: int, started: int, descriptor: int) -> None:
        super().__init__(pid, started)
        self._descriptor: int | None = descriptor

    def __del__(self) -> None:
        self.release()

    def release(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    async def wait(self) -> int | None:
        while self._is_still_it():
            try:
                await _pidfd_readable(self._pid)
            except OSError:
                await _pause()
        self.release()
        with contextlib.suppress(ChildProcessError):
            # Where it is our own child after all.
            pid, status = os.waitpid(self._pid, os.WNOHANG)  # noqa: ASYNC222 - WNOHANG does not wait
            if pid:
                return os.waitstatus_to_exitcode(status)
        return None

    def _is_still_it(self) -> bool:
        # While the leader lives its group's number cannot be given to another one.
        return proc.start_time(self._pid) == self._started


async def _pause() -> None:
    import asyncio

    await asyncio.sleep(_POLL_S)


async def _pidfd_readable(pid: int) -> None:
    """Returns when the process has ended. OSError where the kernel cannot tell this way."""
    # Who only looks whether a process lives (`hettui status`) has no loop, and does not wait for its import.
    import asyncio

    loop = asyncio.get_running_loop()
    descriptor = os.pidfd_open(pid)
    try:
        ended: asyncio.Future[None] = loop.create_future()
        loop.add_reader(descriptor, _settle, ended)
        try:
            await ended
        finally:
            loop.remove_reader(descriptor)
    finally:
        os.close(descriptor)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


MARK = "HETTUI_RUN"
"""In every child's environment: whose cluster it belongs to. So even what was never recorded is found again."""
RECORDS = "HETTUI_RECORDS"
"""In every child's environment: the folders in which its cluster is recorded, one a line."""


class LocalRunner:
    """Implements ProcessRunner. `mark` tells the children of one cluster from those of others."""

    def __init__(self, mark: str = "", records: Sequence[Path] = ()) -> None:
        """`records`: where the cluster is recorded, for whoever looks for it from elsewhere."""
        self._mark = mark
        self._records = records

    def adopt(self, pid: int, started: int | None) -> AdoptedProcess | None:
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            return None
        # After opening: from here on the number cannot change hands.
        if started is None or proc.start_time(pid) != started:
            os.close(descriptor)
            return None
        return AdoptedProcess(pid, started, descriptor)

    def marked(self) -> list[FoundProcess]:
        return proc.marked_processes(MARK, self._mark) if self._mark else []

    def recorded_in(self) -> list[Path]:
        """Where living processes with the mark say that they are recorded."""
        said = proc.said_by_marked(MARK, self._mark, RECORDS) if self._mark else set()
        return sorted(Path(line) for text in said for line in text.split("\n") if line)

    def last_words_of_kernel(self, pid: int) -> list[str]:
        return [clean_line(line) for line in proc.kernel_lines(pid)]

    def start(self, spec: ProcessSpec, log_path: Path) -> LocalProcess:
        try:
            log = open_private(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        except OSError as error:
            raise LaunchError(f"{spec.name}: its log {log_path} cannot be written: {error.strerror}") from error
        environment = scrubbed_environment() | dict(spec.env)
        if self._mark:
            environment[MARK] = self._mark
            environment[RECORDS] = "\n".join(map(str, self._records))
        if spec.role != "master":
            # Only the master has any use for the key.
            environment.pop("LLAMA_API_KEY", None)
        try:
            popen = subprocess.Popen(
                spec.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
                # Python ignores SIGPIPE and a child that inherits this survives a client that vanishes;
                # an rpc server would otherwise die of it, silently.
                restore_signals=False,
                # What llama-server saves of its slots is somebody's conversation.
                umask=0o077,
            )
        except OSError as error:
            raise LaunchError(f"{spec.name}: {spec.argv[0]} cannot be started: {error.strerror or error}") from error
        finally:
            os.close(log)
        return LocalProcess(popen)
