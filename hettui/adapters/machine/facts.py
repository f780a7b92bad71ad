"""What a measurement's reader wants to know of the machine, and of a server that somebody else started on it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from hettui.adapters.files.atomic import replace_file
from hettui.domain.json_text import parse_json

_BLOCK_BYTES = 1 << 22
_SUMS = "model-sums.json"


@dataclass(frozen=True, slots=True)
class Listener:
    """A process that listens on a port of this machine."""

    pid: int
    argv: tuple[str, ...]


def listener(port: int) -> Listener | None:
    """Who listens there; None when nobody does, or when it is another user's."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            local = connection.laddr
            if connection.status == psutil.CONN_LISTEN and local and local.port == port and connection.pid:
                return Listener(connection.pid, tuple(psutil.Process(connection.pid).cmdline()))
    return None


def machine_facts() -> dict[str, object]:
    """CPU, cores, memory, system."""
    cpu = None
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
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
    known: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):
        found = parse_json((folder / _SUMS).read_text(encoding="utf-8"))
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
