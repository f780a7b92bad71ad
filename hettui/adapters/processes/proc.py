"""What Linux's /proc says about a process: whether it is still the same, what it does, and whose child it was."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from hettui.adapters.files.bounded import kernel_bytes, kernel_text
from hettui.ports import FoundProcess

_PROC = Path("/proc")
_DEAD = "ZX"
_STATE, _GROUP, _MAJOR_FAULTS, _USER_TICKS, _SYSTEM_TICKS, _STARTED = 0, 2, 9, 11, 12, 19
"""Places in /proc/PID/stat after the name in brackets (proc(5))."""
_KERNEL_BYTES = 256 * 1024
_EXEC_S = 0.2
"""No exec takes longer, unless the machine stands still."""


def boot_id() -> str:
    """Changes with every boot of the machine; empty where the kernel does not tell."""
    return kernel_text("/proc/sys/kernel/random/boot_id").strip()


def _stat(pid: int) -> list[str] | None:
    text = kernel_text(_PROC / str(pid) / "stat")
    # The name may hold anything, brackets included.
    return text.rpartition(")")[2].split() if text else None


def start_time(pid: int) -> int | None:
    """In clock ticks since boot; None when the process is gone or only waits to be reaped."""
    fields = _stat(pid)
    if fields is None or len(fields) <= _STARTED or fields[_STATE] in _DEAD:
        return None
    return int(fields[_STARTED])


def is_frozen(pid: int) -> bool:
    """Stopped by a signal or a debugger."""
    fields = _stat(pid)
    return bool(fields) and fields is not None and fields[_STATE] in "Tt"


def activity(pid: int) -> int | None:
    """CPU ticks, pages read from disk and pieces of files read so far: what stands still in a process that hangs."""
    fields = _stat(pid)
    if fields is None or len(fields) <= _SYSTEM_TICKS:
        return None
    return sum(int(fields[i]) for i in (_MAJOR_FAULTS, _USER_TICKS, _SYSTEM_TICKS)) + _file_pieces(pid)


def _file_pieces(pid: int) -> int:
    """How many 64 KiB it has read out of files, cached or not; 0 where the kernel does not tell."""
    text = kernel_text(_PROC / str(pid) / "io")
    name, _, value = text.partition("\n")[0].partition(": ")
    return int(value) >> 16 if name == "rchar" and value.isdigit() else 0


def _marked(variable: str, value: str) -> Iterator[tuple[int, list[bytes]]]:
    """Pids and environments of this user's processes whose environment says `variable=value`.

    Another user's could say it, too, to be ended or believed by an administrator's hettui.
    """
    wanted, user = f"{variable}={value}".encode(errors="surrogateescape"), os.getuid()
    # Every start of hettui looks: a thousand processes, of which no Path is made.
    with os.scandir(_PROC) as entries:
        for entry in entries:
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                if entry.stat().st_uid == user and wanted in (said := _environment(int(entry.name)).split(b"\0")):
                    yield int(entry.name), said


def _environment(pid: int) -> bytes:
    """As it was given at the start; empty where the kernel does not tell.

    Between exec's closing of descriptors, which wakes whoever started it, and the new program's stack there is neither
    environment nor command line to be seen: such a process is looked at again.
    """
    environment, last_look = f"{_PROC}/{pid}/environ", time.monotonic() + _EXEC_S
    while not (text := kernel_bytes(environment)):
        # Neither a kernel thread nor a dead one has a program.
        if not Path(_PROC, str(pid), "exe").exists() or time.monotonic() > last_look:
            break
        if kernel_bytes(f"{_PROC}/{pid}/cmdline"):
            # It is there in whole, and without an environment; or became so since the line before last.
            return kernel_bytes(environment)
        time.sleep(0.001)
    return text


def marked_processes(variable: str, value: str) -> list[FoundProcess]:
    """Living leaders of their process group whose environment says `variable=value`, as far as we may look."""
    found = []
    for pid, _ in _marked(variable, value):
        with contextlib.suppress(OSError, ValueError):
            fields, started = _stat(pid), start_time(pid)
            if fields is None or started is None or int(fields[_GROUP]) != pid:
                continue
            words = kernel_bytes(_PROC / str(pid) / "cmdline").split(b"\0")[:-1]
            found.append(FoundProcess(pid, started, tuple(w.decode("utf-8", "replace") for w in words)))
    return found


def said_by_marked(variable: str, value: str, other: str) -> set[str]:
    """What the environments of the marked processes say under another name."""
    begin = f"{other}=".encode()
    return {
        word.removeprefix(begin).decode("utf-8", "surrogateescape")
        for _, said in _marked(variable, value)
        for word in said
        if word.startswith(begin)
    }


def kernel_lines(pid: int) -> list[str]:
    """The kernel's own lines about the end of a process; empty where its log may not be read."""
    return kernel_log(lambda line: f"Killed process {pid} " in line, _KERNEL_BYTES) or []


def kernel_log(
    wanted: Callable[[str], bool], most_bytes: int, most_lines: int = 200, device: str = "/dev/kmsg"
) -> list[str] | None:
    """The last of the kernel's lines that are wanted, of its log since the boot; None where that may not be read."""
    try:
        descriptor = os.open(device, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    lines: deque[str] = deque(maxlen=most_lines)
    read_bytes = 0
    try:
        while read_bytes < most_bytes and (record := os.read(descriptor, 8192)):
            read_bytes += len(record)
            text = record.decode("utf-8", "replace").partition(";")[2].partition("\n")[0]
            if wanted(text):
                lines.append(text)
    except OSError as error:
        # EAGAIN: no more; EPIPE: a record was overwritten meanwhile. Others: it may not be read after all.
        if not read_bytes and error.errno not in (errno.EAGAIN, errno.EPIPE):
            return None
    finally:
        os.close(descriptor)
    return list(lines)
