"""Runs one program of a build: niced, its output in a log file that is followed, ended with all that it started.

It holds the lock of the build's folder for as long as it lives: what outlives its hettui is not met by a second.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path

from hettui.adapters.files.atomic import make_private, open_private
from hettui.domain.errors import HettuiError
from hettui.domain.records import dataclass
from hettui.domain.text import clean_line

LOG = "build.log"
_LOCK = "lock"
_NICENESS = 10
_LOOK_S = 0.2
_GRACE_S = 10.0
"""For compilers that are asked to end: ninja takes half-written files away meanwhile."""
_BLOCK_BYTES = 256 * 1024
_TAIL_BYTES = 512 * 1024
_MOST_LOG_BYTES = 64 << 20


@dataclass(slots=True)
class Step:
    """One program."""

    argv: Sequence[str]
    log: Path
    cwd: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    """Beside this process's own."""
    keep: tuple[int, ...] = ()
    """Descriptors that it gets: locks."""
    stop: signal.Signals = signal.SIGTERM
    """What asks it to end."""


@contextlib.contextmanager
def held(folder: Path, what: str) -> Iterator[int]:
    """The folder, made if need be, for us alone. Raises HettuiError where somebody else works there."""
    try:
        make_private(folder)
        lock = open_private(folder / _LOCK, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise HettuiError(f"{clean_line(str(folder), 200)} cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield lock
    except BlockingIOError:
        raise HettuiError(
            f"{what} is being worked on already, by another hettui or what it left: wait for its end"
        ) from None
    finally:
        os.close(lock)


def run_step(step: Step, tell: Callable[[str], None]) -> int:
    """Its exit code, once it has ended; `tell` gets what it prints, in pieces of whole lines, and
    an empty one from time to time. Blocks.

    Raises HettuiError when it cannot be started. Whatever interrupts it ends the program first.
    """
    name = step.argv[0]
    try:
        make_private(step.log.parent)
        log = open_private(step.log, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    except OSError as error:
        raise HettuiError(f"the log {step.log} cannot be written: {error.strerror}") from None
    try:
        if os.fstat(log).st_size > _MOST_LOG_BYTES:
            os.ftruncate(log, 0)
        seen = os.fstat(log).st_size
        try:
            process = subprocess.Popen(
                list(step.argv), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=step.cwd,
                env=os.environ | dict(step.env), start_new_session=True, pass_fds=step.keep,
            )  # fmt: skip
        except OSError as error:
            raise HettuiError(f"{clean_line(name, 200)} cannot be run: {error.strerror}") from None
        try:
            with contextlib.suppress(OSError):
                # Never up: whoever started hettui niced wants it so.
                nice = max(_NICENESS, os.getpriority(os.PRIO_PROCESS, 0))
                os.setpriority(os.PRIO_PROCESS, process.pid, nice)
            follow = _Follower(log, seen, tell)
            while (code := _ended(process)) is None:
                follow.look()
                # Also where it says nothing: whoever is told may have had enough.
                tell("")
            follow.look()
            return code
        finally:
            _end(process, step.stop)
    finally:
        os.close(log)


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(_LOOK_S)
    except subprocess.TimeoutExpired:
        return None


def _end(process: subprocess.Popen[bytes], stop: signal.Signals) -> None:
    if process.poll() is not None:
        return
    for number in (stop, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
            return


class _Follower:
    """What was added to a log since it was looked at last."""

    def __init__(self, descriptor: int, place: int, tell: Callable[[str], None]) -> None:
        self._descriptor, self._place, self._tell = descriptor, place, tell

    def look(self) -> None:
        while block := os.pread(self._descriptor, _BLOCK_BYTES, self._place):
            self._place += len(block)
            self._tell(block.decode("utf-8", "replace"))


def tail_of(log: Path, since: int = 0) -> str:
    """The last 512 KiB of it, as far as they are behind `since`; empty where it cannot be read."""
    try:
        descriptor = os.open(log, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        begin = max(since, os.fstat(descriptor).st_size - _TAIL_BYTES, 0)
        return os.pread(descriptor, _TAIL_BYTES, begin).decode("utf-8", "replace")
    finally:
        os.close(descriptor)


def size_of_log(log: Path) -> int:
    try:
        return log.stat().st_size
    except OSError:
        return 0


def is_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
