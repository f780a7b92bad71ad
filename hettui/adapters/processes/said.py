"""What another program prints, up to a size and within a time. Its whole process group is ended when it exceeds either.

The one place where a program's output is read through pipes; servers write log files.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING

from hettui.domain.records import dataclass

if TYPE_CHECKING:
    import asyncio

_BLOCK_BYTES = 64 * 1024
_DRAIN_S = 5.0
"""For what a killed program left in its pipes."""


@dataclass(frozen=True, slots=True)
class Said:
    """How it ended, and what it printed."""

    returncode: int
    out: bytes
    err: bytes


class TooMuch(Exception):
    """It prints more than was granted."""


class TooLong(Exception):
    """It does not end."""


def run_for_words(
    argv: Sequence[str], env: Mapping[str, str], seconds: float, most_bytes: int, *, stdin: bytes = b""
) -> Said:
    """Blocks until it ends. Raises OSError when it cannot be started, TooMuch, TooLong."""
    with _readable(stdin) as given:
        process = subprocess.Popen(
            list(argv), stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(env),
            start_new_session=True,
        )  # fmt: skip
    assert process.stdout is not None  # noqa: S101 - pipes were asked for
    assert process.stderr is not None  # noqa: S101
    deadline = time.monotonic() + seconds
    try:
        out, err = _both(process.stdout, process.stderr, deadline, most_bytes)
        return Said(process.wait(max(0.0, deadline - time.monotonic())), out, err)
    except subprocess.TimeoutExpired:
        raise TooLong from None
    finally:
        _end(process.pid, process.poll())
        process.wait()
        process.stdout.close()
        process.stderr.close()


@contextlib.contextmanager
def _readable(text: bytes) -> Iterator[int]:
    """A descriptor that gives it: a file, whatever its size, since nobody is there to fill a pipe."""
    with tempfile.TemporaryFile() as file:
        file.write(text)
        file.seek(0)
        yield file.fileno()


def _both(out: IO[bytes], err: IO[bytes], deadline: float, most_bytes: int) -> tuple[bytes, bytes]:
    read: dict[int, bytearray] = {out.fileno(): bytearray(), err.fileno(): bytearray()}
    with selectors.DefaultSelector() as selector:
        for descriptor in read:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready and time.monotonic() >= deadline:
                raise TooLong
            for key, _ in ready:
                block = os.read(key.fd, _BLOCK_BYTES)
                read[key.fd] += block
                if not block:
                    selector.unregister(key.fd)
                if sum(map(len, read.values())) > most_bytes:
                    raise TooMuch
    return bytes(read[out.fileno()]), bytes(read[err.fileno()])


async def await_words(argv: Sequence[str], env: Mapping[str, str], seconds: float, most_bytes: int) -> Said:
    """As `run_for_words`, without blocking. Cancelling ends the program."""
    # Whoever only blocks, as a start does, is without it for a while.
    import asyncio

    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=dict(env), start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None  # noqa: S101 - pipes were asked for
    assert process.stderr is not None  # noqa: S101
    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            out = group.create_task(_all_of(process.stdout, most_bytes))
            err = group.create_task(_all_of(process.stderr, most_bytes))
            group.create_task(process.wait())
        return Said(process.returncode or 0, out.result(), err.result())
    except TimeoutError:
        raise TooLong from None
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    finally:
        _end(process.pid, process.returncode)
        # asyncio's wait() returns only once the pipes are empty.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                await asyncio.gather(_drained(process.stdout), _drained(process.stderr))
                await process.wait()


async def _drained(stream: asyncio.StreamReader) -> None:
    while await stream.read(_BLOCK_BYTES):
        pass


async def _all_of(stream: asyncio.StreamReader, most_bytes: int) -> bytes:
    read = bytearray()
    while block := await stream.read(_BLOCK_BYTES):
        read += block
        if len(read) > most_bytes:
            raise TooMuch
    return bytes(read)


def _end(group: int, returncode: int | None) -> None:
    if returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
