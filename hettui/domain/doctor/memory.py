"""The machine's memory, its limits, and the folders that are written to."""

from __future__ import annotations

from collections.abc import Iterator

from hettui.domain.doctor.facts import Facts
from hettui.domain.doctor.finding import Finding, unchecked
from hettui.domain.units import GIB, MIB, format_bytes

_STRICT = 2
_FEW_FILES = 1024
_MUCH_SWAP_PART = 0.25
_LITTLE = {"logs": 64 * MIB, "the run folder": MIB, "the cache": GIB}
"""By what lies there: below that much free a start or a fetch may fail."""
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p"})


def ram(facts: Facts) -> Iterator[Finding]:
    """How much there is, and what groups of processes and ulimit leave of it."""
    id, memory = "memory.ram", facts.memory
    if memory.total is None:
        yield unchecked(id, "/proc/meminfo cannot be read")
        return
    free = f"{format_bytes(memory.available)} free of {format_bytes(memory.total)}"
    if memory.limit is not None and memory.limit < memory.total:
        yield Finding(
            id,
            "note",
            f"of this machine's {format_bytes(memory.total)} hettui and llama.cpp may take "
            f"{format_bytes(memory.limit)}: a control group or ulimit says so",
            (free,),
            "give the container or the session more, where that is too little",
        )
    else:
        yield Finding(id, "good", f"memory: {free}, without a limit")


def swapping(facts: Facts) -> Iterator[Finding]:
    """Swap in use, strict overcommit, memory set aside for huge pages."""
    id, memory, fine = "memory.pressure", facts.memory, True
    if memory.swap and memory.swap_used and memory.swap_used > _MUCH_SWAP_PART * memory.swap:
        fine = False
        yield Finding(
            id,
            "warning",
            f"{format_bytes(memory.swap_used)} of {format_bytes(memory.swap)} swap are in use: "
            "layers that are swapped out are as slow as the disk",
            ("/proc/meminfo",),
            "end what takes the memory, or plan less for the host",
        )
    if memory.overcommit == _STRICT:
        fine = False
        left = f": {format_bytes(memory.commit_left)} can still be promised" if memory.commit_left is not None else ""
        yield Finding(
            id,
            "warning",
            f"the kernel promises no more memory than there is (overcommit 2){left}, and CUDA "
            "asks for much that it never uses",
            ("vm.overcommit_memory = 2",),
            "allow it",
            "sudo sysctl vm.overcommit_memory=0",
        )
    if memory.huge_pages and memory.total and memory.huge_pages > memory.total // 10:
        fine = False
        yield Finding(
            id,
            "warning",
            f"{format_bytes(memory.huge_pages)} are set aside for huge pages, which llama.cpp does not use",
            ("HugePages_Total",),
            "give them back",
            "sudo sysctl vm.nr_hugepages=0",
        )
    if memory.total is None:
        yield unchecked(id, "/proc/meminfo cannot be read")
    elif fine:
        yield Finding(id, "good", "no swapping, no strict promise, nothing set aside")


def limits(facts: Facts) -> Iterator[Finding]:
    """`ulimit -l`, `-n` and `-v`."""
    id, memory, fine = "memory.ulimit", facts.memory, True
    locks = "mlock" in facts.config.load_mode
    if locks and memory.lock_limit not in (None, -1):
        fine = False
        yield Finding(
            id,
            "fault",
            f"load-mode {facts.config.load_mode} pins the model in memory, but this user may pin "
            f"only {format_bytes(memory.lock_limit)}",
            ("ulimit -l",),
            "raise memlock in /etc/security/limits.conf and log in anew, or use another load-mode",
        )
    if memory.file_limit is not None and 0 <= memory.file_limit < _FEW_FILES:
        fine = False
        yield Finding(
            id,
            "warning",
            f"this user may open only {memory.file_limit} files at once",
            ("ulimit -n",),
            "raise it",
            f"ulimit -n {4 * _FEW_FILES}",
        )
    if memory.address_limit not in (None, -1):
        fine = False
        yield Finding(
            id,
            "warning",
            f"a process may take {format_bytes(memory.address_limit)} of addresses only: CUDA "
            "asks for more than it uses and then fails",
            ("ulimit -v",),
            "lift it",
            "ulimit -v unlimited",
        )
    if memory.file_limit is None:
        yield unchecked(id, "the limits of this user are not told")
    elif fine:
        yield Finding(id, "good", "no ulimit stands in the way")


def places(facts: Facts) -> Iterator[Finding]:
    """Room for logs, the record of what runs, the cache; where the model lies."""
    id, fine = "memory.disk", []
    for place in facts.places:
        least = _LITTLE.get(place.what, 0)
        if place.writable is False and least:
            yield Finding(
                id, "fault", f"{place.what}: {place.path} cannot be written", (), "make it writable", subject=place.path
            )
        elif place.free is not None and place.free < least:
            yield Finding(
                id,
                "warning",
                f"{place.what}: {format_bytes(place.free)} are free where {place.path} lies",
                (f"file system {place.kind}",) if place.kind else (),
                "free some space there",
                subject=place.path,
            )
        elif place.what == "the model" and place.kind in _NETWORK:
            yield Finding(
                id,
                "note",
                f"the model lies on a network ({place.kind}): every start reads it from there",
                (place.path,),
                "copy it to a disk of this machine",
                subject=place.path,
            )
        elif place.what == "the cache" and place.kind in ("tmpfs", "ramfs"):
            yield Finding(
                id,
                "warning",
                f"the cache is in memory ({place.kind}): fetched models would take RAM, and are gone after a reboot",
                (place.path,),
                "point XDG_CACHE_HOME to a disk",
                subject=place.path,
            )
        elif place.free is not None:
            fine.append(f"{place.what} {format_bytes(place.free)}")
    if fine:
        yield Finding(id, "good", f"free where they lie: {', '.join(fine)}")
    elif not facts.places:
        yield unchecked(id, "no folder could be looked at")
