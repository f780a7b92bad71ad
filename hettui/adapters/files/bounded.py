"""Every file that is read as a whole is read here: up to a size, and never one that waits for a writer.

What is over the size, and what is no ordinary file, is an OSError like any other, with its sentence in `strerror`.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from hettui.domain.units import MIB

_BLOCK_BYTES = 256 * 1024
KERNEL_BYTES = 4 * MIB
"""Of a file in /proc: the longest, the processors of a large machine, has 1 MiB."""


def read_file(path: str | Path, most_bytes: int, *, pipe: bool = False) -> bytes:
    """All of it. Raises OSError, also for what is larger. `pipe`: it may be one, such as the shell's `<(…)`."""
    flags = os.O_RDONLY | os.O_CLOEXEC | (0 if pipe else os.O_NONBLOCK)
    descriptor = os.open(path, flags)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not (stat.S_ISREG(found.st_mode) or pipe):
            raise OSError(errno.EINVAL, "it is no ordinary file", str(path))
        return _up_to(descriptor, most_bytes, path)
    finally:
        os.close(descriptor)


def _up_to(descriptor: int, most_bytes: int, path: str | Path) -> bytes:
    blocks, left = [], most_bytes + 1
    while left > 0 and (block := os.read(descriptor, min(left, _BLOCK_BYTES))):
        blocks.append(block)
        left -= len(block)
    if left <= 0:
        size = f"{most_bytes >> 20} MiB" if most_bytes >= MIB else f"{most_bytes >> 10} KiB"
        raise OSError(errno.EFBIG, f"it is larger than {size}", str(path))
    return b"".join(blocks)


def read_text_file(path: str | Path, most_bytes: int, errors: str = "strict") -> str:
    """As `read_file`, of UTF-8. Raises ValueError for what is none."""
    return read_file(path, most_bytes).decode("utf-8", errors=errors)


def kernel_text(path: str | Path) -> str:
    """A file of /proc; empty when it cannot be read."""
    try:
        return read_text_file(path, KERNEL_BYTES, "replace")
    except OSError:
        return ""


def kernel_bytes(path: str | Path) -> bytes:
    """As `kernel_text`, as it stands. Raises OSError: it matters whether there is anything."""
    return read_file(path, KERNEL_BYTES)
