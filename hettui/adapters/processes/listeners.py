"""Who listens on TCP ports of this machine, by /proc/net/tcp: all addresses, and the programs of this user's."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Collection, Iterator
from pathlib import Path

from hettui.adapters.files.bounded import kernel_text
from hettui.domain.doctor.facts import ListenerFacts
from hettui.domain.text import clean_line

_LISTENS = "0A"
_MOST_PROCESSES = 20_000
_MOST_DESCRIPTORS = 4096
_LOCAL, _STATE, _INODE = 1, 3, 9
"""Columns (proc(5))."""


def listeners(programs: Collection[str], proc_root: Path = Path("/proc")) -> tuple[ListenerFacts, ...] | None:
    """Every listening socket; those that belong to one of these programs of this user's have its name. None where the
    kernel does not tell."""
    texts = [kernel_text(proc_root / "net" / name) for name in ("tcp", "tcp6")]
    if not any(texts):
        return None
    owners = dict(_sockets_of(programs, proc_root))
    found = []
    for text in texts:
        for line in text.splitlines()[1:]:
            fields = line.split()
            if len(fields) > _INODE and fields[_STATE] == _LISTENS and (where := _address(fields[_LOCAL])):
                pid, program = owners.get(fields[_INODE], (None, None))
                found.append(ListenerFacts(*where, program, pid))
    return tuple(found)


def _address(text: str) -> tuple[str, int] | None:
    """`0100007F:C384`: words of the host's byte order, in hexadecimal."""
    words, _, port = text.partition(":")
    try:
        packed = b"".join(struct.pack("=I", int(words[i : i + 8], 16)) for i in range(0, len(words), 8))
        family = {4: socket.AF_INET, 16: socket.AF_INET6}[len(packed)]
        return socket.inet_ntop(family, packed), int(port, 16)
    except (ValueError, KeyError, struct.error):
        return None


def _sockets_of(programs: Collection[str], proc_root: Path) -> Iterator[tuple[str, tuple[int, str]]]:
    """Inodes of sockets with pid and program. A name in `comm` has 15 letters at most."""
    short = {program[:15]: program for program in programs}
    try:
        pids = [name for name in os.listdir(proc_root) if name.isdecimal()]  # noqa: PTH208 - names alone
    except OSError:
        return
    for pid in pids[:_MOST_PROCESSES]:
        program = short.get(clean_line(kernel_text(proc_root / pid / "comm").strip(), 40))
        if program is None:
            continue
        folder = proc_root / pid / "fd"
        try:
            names = os.listdir(folder)[:_MOST_DESCRIPTORS]  # noqa: PTH208
        except OSError:
            continue
        for name in names:
            try:
                target = os.readlink(folder / name)  # noqa: PTH115
            except OSError:
                continue
            if target.startswith("socket:["):
                yield target[8:-1], (int(pid), program)
