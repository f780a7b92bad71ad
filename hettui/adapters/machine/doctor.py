"""The machine for the doctor: kernel and what it runs in, memory and its limits, folders. Kernel files only."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path

from hettui.adapters.files.bounded import kernel_text
from hettui.adapters.machine.limits import memory_limit
from hettui.adapters.machine.sysfs import children, read_number, read_text
from hettui.domain.doctor.facts import KernelFacts, MemoryFacts, Place
from hettui.domain.patterns import late_pattern
from hettui.domain.text import clean_line

_KIB = 1024
_MOST_BYTES = 1 << 50
_FIELD = late_pattern(r"^(\w+(?:\(\w+\))?):\s+(\d{1,15})(?: kB)?$", re.MULTILINE)
_CONTAINER = late_pattern(r"docker|lxc|kubepods|libpod|containerd|machine\.slice")
_VIRTUAL = {
    "kvm": "KVM", "qemu": "QEMU", "vmware": "VMware", "virtualbox": "VirtualBox", "microsoft corporation": "Hyper-V",
    "xen": "Xen",
}  # fmt: skip
_MOST_CPU_W = 2000
_MOUNT = late_pattern(r"\\([0-7]{3})")


def kernel_facts(
    log: Sequence[str] | None,
    environ: Mapping[str, str],
    proc_root: Path = Path("/proc"),
    sys_root: Path = Path("/sys"),
) -> KernelFacts:
    """`log` are the kernel's lines about cards; None: they may not be read."""
    release = read_text(f"{proc_root}/sys/kernel/osrelease", 256)
    modules = kernel_text(proc_root / "modules")
    groups = sys_root / "kernel" / "iommu_groups"
    container = _container(environ, proc_root)
    return KernelFacts(
        clean_line(release, 80) if release else None,
        frozenset(line.split(" ", 1)[0] for line in modules.splitlines()) if modules else None,
        None if log is None else tuple(clean_line(line, 300) for line in log),
        "the kernel's log is not shown in a container"
        if container
        else "the kernel's log may not be read by this user",
        container,
        "microsoft" in (release or "").lower() or (proc_root / "sys/fs/binfmt_misc/WSLInterop").exists(),
        _jetson(proc_root),
        _hypervisor(sys_root),
        len(children(groups)) if groups.is_dir() else None,
    )


def _container(environ: Mapping[str, str], proc_root: Path) -> str | None:
    if (proc_root.parent / ".dockerenv").exists():
        return "docker"
    if (proc_root.parent / "run/.containerenv").exists():
        return "podman"
    if named := environ.get("container"):
        return clean_line(named, 40)
    match = _CONTAINER.search(read_text(f"{proc_root}/1/cgroup") or "")
    return match[0] if match else None


def _jetson(proc_root: Path) -> str | None:
    """The device tree names the board."""
    text = (read_text(f"{proc_root}/device-tree/model", 128) or "").strip("\0")
    return clean_line(text, 60) if "jetson" in text.lower() else None


def _hypervisor(sys_root: Path) -> str | None:
    said = " ".join(read_text(f"{sys_root}/class/dmi/id/{name}", 128) or "" for name in ("sys_vendor", "product_name"))
    return next((name for word, name in _VIRTUAL.items() if word in said.lower()), None)


def memory_facts(proc_root: Path = Path("/proc"), sys_root: Path = Path("/sys")) -> MemoryFacts:
    """Of this machine, and what this process may take of it."""
    said = {name: int(number) for name, number in _FIELD.findall(kernel_text(proc_root / "meminfo"))}

    def size(name: str) -> int | None:
        return said[name] * _KIB if name in said and said[name] * _KIB <= _MOST_BYTES else None

    limit, commit, committed = memory_limit(proc_root, sys_root).total_bytes, size("CommitLimit"), size("Committed_AS")
    swap, swap_free = size("SwapTotal"), size("SwapFree")
    pages, page = said.get("HugePages_Total"), size("Hugepagesize")
    return MemoryFacts(
        size("MemTotal"), size("MemAvailable"), limit, swap,
        None if swap is None or swap_free is None else max(0, swap - swap_free),
        read_number(f"{proc_root}/sys/vm/overcommit_memory", 0, 2),
        None if commit is None or committed is None else max(0, commit - committed),
        None if pages is None or page is None else pages * page,
        _soft(resource.RLIMIT_MEMLOCK), _soft(resource.RLIMIT_NOFILE), _soft(resource.RLIMIT_AS),
    )  # fmt: skip


def _soft(kind: int) -> int:
    """-1 is no limit."""
    soft = resource.getrlimit(kind)[0]
    return -1 if soft == resource.RLIM_INFINITY or soft > _MOST_BYTES else soft


def cpu_limit_w(sys_root: Path = Path("/sys")) -> float | None:
    """What the CPUs may draw for long, of all packages together, where the kernel tells (RAPL; often root alone)."""
    found = []
    for zone in children(sys_root / "class" / "powercap"):
        if not (read_text(f"{zone}/name", 64) or "").startswith("package"):
            continue
        watts = read_number(f"{zone}/constraint_0_power_limit_uw", 1, _MOST_CPU_W * 1_000_000)
        if watts is not None:
            found.append(watts / 1e6)
    return sum(found) or None


def place(what: str, path: str | Path, proc_root: Path = Path("/proc")) -> Place:
    """The folder, or the nearest one above it that is there; nothing is made."""
    folder = Path(path)
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    try:
        status = os.statvfs(folder)
    except OSError:
        return Place(what, str(path))
    return Place(
        what, str(path), file_system(folder, proc_root), status.f_bavail * status.f_frsize, os.access(folder, os.W_OK)
    )


def file_system(folder: Path, proc_root: Path = Path("/proc")) -> str | None:
    """`ext4`: of the innermost mount around it."""
    best, kind = -1, None
    real = os.path.realpath(folder)
    for line in kernel_text(proc_root / "self" / "mounts").splitlines():
        words = line.split(" ")
        if len(words) < 3:
            continue
        at = _MOUNT.sub(lambda match: chr(int(match[1], 8)), words[1])
        inside = real == at or real.startswith(at.rstrip("/") + "/")
        if inside and len(at) >= best:
            best, kind = len(at), clean_line(words[2], 40)
    return kind
