"""What this process, and what it starts, may take of the machine: control groups, ulimit, CPU affinity.

/proc/meminfo and the number of cores are the machine's, also inside a container.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

from hettui.adapters.machine.sysfs import read_number, read_text
from hettui.domain.records import dataclass

_MOST_BYTES = 1 << 50
"""Version 1 of the control groups says "no limit" as a number near 2^63."""
_DEEPEST = 64


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """The narrowest of the limits; None: nothing but the machine."""

    total_bytes: int | None = None
    free_bytes: int | None = None

    def of(self, total_bytes: int, free_bytes: int) -> tuple[int, int]:
        """The machine's memory within the limit."""
        total = min(total_bytes, _or(self.total_bytes, total_bytes))
        return total, max(0, min(free_bytes, total, _or(self.free_bytes, total)))


def memory_limit(proc_root: Path = Path("/proc"), sys_root: Path = Path("/sys")) -> MemoryLimit:
    """Of control groups of both versions, this one's and those around it, and of `ulimit -v` and `-d`."""
    total: int | None = None
    free: int | None = None
    for folder, version in _groups(proc_root, sys_root, "memory"):
        most = _limit(folder, version)
        if most is not None:
            total, free = min(most, _or(total, most)), min(_left(folder, version, most), _or(free, most))
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        soft = resource.getrlimit(kind)[0]
        if soft != resource.RLIM_INFINITY and 0 <= soft < _MOST_BYTES:
            # A child begins with none of it used.
            total, free = min(soft, _or(total, soft)), min(soft, _or(free, soft))
    return MemoryLimit(total, free)


def default_threads() -> int:
    """Of an rpc server that is told nothing: half the machine's, at least one (ggml-rpc-server of b10068, b11434)."""
    return max(1, (os.cpu_count() or 1) // 2)


def usable_cpus(proc_root: Path = Path("/proc"), sys_root: Path = Path("/sys")) -> int:
    """Cores on which this process may run at once: its affinity, and the quota of its control groups."""
    try:
        count = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        count = os.cpu_count() or 1
    for folder, version in _groups(proc_root, sys_root, "cpu"):
        quota = _quota(folder, version)
        if quota is not None:
            count = min(count, max(1, round(quota)))
    return count


def _or(value: int | None, other: int) -> int:
    return other if value is None else value


def _groups(proc_root: Path, sys_root: Path, controller: str) -> list[tuple[Path, int]]:
    """The folders of this process's groups with the version, the innermost first."""
    found: list[tuple[Path, int]] = []
    for line in (read_text(str(proc_root / "self" / "cgroup")) or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        root = sys_root / "fs" / "cgroup"
        if number == "0" and not controllers:
            found += _upwards(root if (root / "cgroup.controllers").exists() else root / "unified", path, 2)
        elif controller in controllers.split(","):
            mounts = (root / controllers, root / controller)
            found += _upwards(next((m for m in mounts if m.is_dir()), mounts[1]), path, 1)
    return found


def _upwards(root: Path, path: str, version: int) -> list[tuple[Path, int]]:
    """From the group to the root. In a container the path is the host's and only the root is there."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")][:_DEEPEST]
    folders = [root.joinpath(*parts[:count]) for count in range(len(parts), -1, -1)]
    return [(folder, version) for folder in folders if folder.is_dir()]


def _limit(folder: Path, version: int) -> int | None:
    names = ("memory.max", "memory.high") if version == 2 else ("memory.limit_in_bytes",)
    limits = [n for name in names if (n := read_number(f"{folder}/{name}", 0, _MOST_BYTES)) is not None]
    return min(limits, default=None)


def _left(folder: Path, version: int, most: int) -> int:
    """The limit less what is in use; pages of files that can be dropped are not."""
    used = read_number(f"{folder}/memory.{'current' if version == 2 else 'usage_in_bytes'}", 0, 1 << 62) or 0
    prefix = "inactive_file" if version == 2 else "total_inactive_file"
    lines = (read_text(f"{folder}/memory.stat", 1 << 14) or "").splitlines()
    droppable = next((words[1] for line in lines if (words := line.split())[:1] == [prefix] and len(words) == 2), "0")
    return max(0, most - max(0, used - (int(droppable) if droppable.isdecimal() else 0)))


def _quota(folder: Path, version: int) -> float | None:
    """In cores."""
    if version == 2:
        quota, _, period = (read_text(f"{folder}/cpu.max", 64) or "").partition(" ")
    else:
        quota, period = (read_text(f"{folder}/cpu.cfs_{what}_us", 32) or "" for what in ("quota", "period"))
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None
    return int(quota) / int(period) or None
