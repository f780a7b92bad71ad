"""Memory and cores are what this process may take, in control groups of both versions and under ulimit."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from hettui.adapters.machine import psutil_host
from hettui.adapters.machine.limits import MemoryLimit, memory_limit, usable_cpus
from tests.sysfs_trees import GIB, MIB, Tree, write

UNLIMITED = "9223372036854771712"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    infinity = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: infinity)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    return Tree(tmp_path)


def limit(tree: Tree) -> MemoryLimit:
    return memory_limit(tree.proc, tree.sys)


def test_version_2_counts_the_narrowest_of_all_groups_around(tree: Tree) -> None:
    write(tree.proc, {"self/cgroup": "0::/user.slice/app.scope"})
    top = tree.sys / "fs/cgroup"
    write(top, {"cgroup.controllers": "memory cpu", "user.slice/memory.max": str(4 * GIB)})
    write(top, {"user.slice/memory.current": str(3 * GIB), "user.slice/memory.stat": f"anon 5\ninactive_file {GIB}"})
    write(top, {"user.slice/app.scope/memory.max": "max", "user.slice/app.scope/memory.current": "7"})
    assert limit(tree) == MemoryLimit(4 * GIB, 2 * GIB)
    write(top, {"user.slice/app.scope/memory.high": str(GIB)})
    assert limit(tree) == MemoryLimit(GIB, GIB - 7)


def test_version_1(tree: Tree) -> None:
    write(tree.proc, {"self/cgroup": "9:name=systemd:/\n4:memory:/box\n1:cpu,cpuacct:/box\n0::/"})
    write(tree.sys / "fs/cgroup/memory", {"memory.limit_in_bytes": UNLIMITED})
    assert limit(tree) == MemoryLimit()
    box = {"memory.limit_in_bytes": str(2 * GIB), "memory.usage_in_bytes": str(GIB)}
    write(
        tree.sys / "fs/cgroup/memory/box", {**box, "memory.stat": f"inactive_file 1\ntotal_inactive_file {256 * MIB}"}
    )
    assert limit(tree) == MemoryLimit(2 * GIB, GIB + 256 * MIB)


def test_in_a_container_the_path_is_the_hosts_and_the_root_is_the_group(tree: Tree) -> None:
    write(tree.proc, {"self/cgroup": "0::/system.slice/docker-1.scope"})
    write(
        tree.sys / "fs/cgroup", {"cgroup.controllers": "memory", "memory.max": str(GIB), "memory.current": str(2 * GIB)}
    )
    assert limit(tree) == MemoryLimit(GIB, 0)


@pytest.mark.parametrize("said", ["", "nonsense", "0::/../../../etc", "4:memory", ":::::", "0::/" + "a/" * 3000])
def test_what_cannot_be_read_limits_nothing(said: str, tree: Tree) -> None:
    write(tree.proc, {"self/cgroup": said})
    assert limit(tree) == MemoryLimit()
    assert usable_cpus(tree.proc, tree.sys) == 8


def test_ulimit_counts(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    infinity = resource.RLIM_INFINITY
    monkeypatch.setattr(
        resource, "getrlimit", lambda kind: (3 * GIB if kind == resource.RLIMIT_AS else infinity, infinity)
    )
    assert limit(tree) == MemoryLimit(3 * GIB, 3 * GIB)


def test_the_machine_within_the_limit() -> None:
    assert MemoryLimit().of(64 * GIB, 60 * GIB) == (64 * GIB, 60 * GIB)
    assert MemoryLimit(2 * GIB, GIB).of(64 * GIB, 60 * GIB) == (2 * GIB, GIB)
    assert MemoryLimit(2 * GIB, 2 * GIB).of(64 * GIB, GIB) == (2 * GIB, GIB)
    assert MemoryLimit(99 * GIB, 98 * GIB).of(64 * GIB, 60 * GIB) == (64 * GIB, 60 * GIB)


def test_cores_by_affinity_and_quota(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable_cpus(tree.proc, tree.sys) == 8
    write(tree.proc, {"self/cgroup": "0::/box"})
    write(tree.sys / "fs/cgroup", {"cgroup.controllers": "cpu", "box/cpu.max": "250000 100000"})
    assert usable_cpus(tree.proc, tree.sys) == 2
    write(tree.sys / "fs/cgroup", {"box/cpu.max": "max 100000"})
    assert usable_cpus(tree.proc, tree.sys) == 8
    write(tree.proc, {"self/cgroup": "1:cpu,cpuacct:/"})
    write(tree.sys / "fs/cgroup/cpu,cpuacct", {"cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "100000"})
    assert usable_cpus(tree.proc, tree.sys) == 1
    write(tree.sys / "fs/cgroup/cpu,cpuacct", {"cpu.cfs_quota_us": "-1"})
    assert usable_cpus(tree.proc, tree.sys) == 8
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    assert usable_cpus(tree.proc, tree.sys) == 1


def test_the_cpus_hardware_is_within_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil_host, "memory_limit", lambda: MemoryLimit(64 * MIB, 32 * MIB))
    monkeypatch.setattr(psutil_host, "usable_cpus", lambda: 3)
    cpu = psutil_host.cpu_hardware()
    assert (cpu.total_bytes, cpu.free_bytes) == (64 * MIB, 32 * MIB)
    assert "(3 threads)" in cpu.name
