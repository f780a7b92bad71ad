"""Child processes of this machine: own session, stdin closed, output straight into a log file.

The child writes its log file itself. A pipe would have to be drained for as long as the child lives: a stalled
screen would block the model server on its own logging, and our end would be its death by SIGPIPE. Whoever wants
the lines follows the file.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from pathlib import Path

from hettui.domain.errors import LaunchError
from hettui.domain.process import ProcessSpec

_POLL_S = 0.1
"""Where the kernel has no pidfd (before Linux 5.3, other systems)."""


def scrubbed_environment() -> dict[str, str]:
    """Ours without `LLAMA_ARG_*`, which would change a plan behind the user's back, and without gdb on abort."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("LLAMA_ARG_")}
    return kept | {"GGML_NO_BACKTRACE": "1"}


class LocalProcess:
    """A child in a process group of its own."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen

    @property
    def pid(self) -> int:
        return self._popen.pid

    async def wait(self) -> int:
        with contextlib.suppress(OSError, AttributeError):
            await _pidfd_readable(self._popen.pid)
        while (returncode := self._popen.poll()) is None:  # noqa: ASYNC110 - the fallback: nothing wakes us
            await asyncio.sleep(_POLL_S)
        return returncode

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # Not yet waited for, so the pid cannot have been given to somebody else.
        if self._popen.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, number)


async def _pidfd_readable(pid: int) -> None:
    """Returns when the process has ended. OSError where the kernel cannot tell this way."""
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


class LocalRunner:
    """Implements ProcessRunner."""

    def start(self, spec: ProcessSpec, log_path: Path) -> LocalProcess:
        try:
            log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LaunchError(f"{spec.name}: its log {log_path} cannot be written: {error.strerror}") from error
        environment = scrubbed_environment() | dict(spec.env)
        if spec.role == "worker":
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
            )
        except OSError as error:
            raise LaunchError(f"{spec.name}: {spec.argv[0]} cannot be started: {error.strerror or error}") from error
        finally:
            os.close(log)
        return LocalProcess(popen)
