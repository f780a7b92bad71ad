"""What a measurement's reader wants to know of the machine, and of a server that somebody else started on it."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import json
import os
import platform
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from hettui.adapters.files.atomic import replace_file
from hettui.adapters.files.bounded import kernel_text
from hettui.adapters.files.json_file import read_json_file
from hettui.domain.records import dataclass

_BLOCK_BYTES = 1 << 22
_SUMS = "model-sums.json"
_SUMS_BYTES = 4 << 20
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Listener:
    """A process that listens on a port of this machine."""

    pid: int
    argv: tuple[str, ...]


def listener(host: str, port: int) -> Listener | None:
    """Who answers at that address of this machine; None when nobody does, or when it is another user's.

    Two may listen on one port at different addresses: the one with the very address answers, else the one with all.
    """
    with contextlib.suppress(psutil.Error, OSError, UnicodeError):
        wanted = [_address(str(found[4][0])) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        found = [
            (rank, connection.pid)
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if (rank := _rank(connection.laddr.ip, wanted)) is not None
        ]
        _, pid = min(found, key=lambda one: one[0], default=(0, None))
        if pid:
            return Listener(pid, tuple(psutil.Process(pid).cmdline()))
    return None


def _rank(bound: str, wanted: Sequence[_Address]) -> int | None:
    """How near the address that somebody listens on comes to those that are asked; None when it does not answer."""
    at = _address(bound)
    if at in wanted:
        return wanted.index(at)
    if not at.is_unspecified:
        return None
    # `::` takes IPv4 along, unless somebody has that for himself.
    same = any(one.version == at.version for one in wanted)
    return len(wanted) if same else len(wanted) + 1 if at.version == 6 else None


def _address(text: str) -> _Address:
    found = ipaddress.ip_address(text.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found


def machine_facts() -> dict[str, object]:
    """CPU, cores, memory, system."""
    lines = kernel_text("/proc/cpuinfo").splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)
    return {
        "cpu": cpu or platform.processor() or None,
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def model_sum(folder: Path, paths: Sequence[str], tell: Callable[[int, int], None]) -> str | None:
    """SHA-256 of the model's files, one after the other, as `sha256sum` says it for a single one. Blocks: it reads all.

    Kept in `folder` with sizes and times of the files, so that it is taken once. None when a file cannot be read.
    """
    try:
        stats = [Path(path).stat() for path in paths]
    except OSError:
        return None
    mark = "|".join(f"{p}:{s.st_size}:{s.st_mtime_ns}" for p, s in zip(paths, stats, strict=True))
    found = read_json_file(folder / _SUMS, _SUMS_BYTES)
    known = {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}
    if mark in known:
        return known[mark]
    total, done, digest = sum(s.st_size for s in stats), 0, hashlib.sha256()
    try:
        for path in paths:
            with Path(path).open("rb") as file:
                while block := file.read(_BLOCK_BYTES):
                    digest.update(block)
                    done += len(block)
                    tell(done, total)
    except OSError:
        return None
    with contextlib.suppress(OSError):
        replace_file(folder / _SUMS, json.dumps({**known, mark: digest.hexdigest()}, indent=1).encode(), 0o600)
    return digest.hexdigest()
