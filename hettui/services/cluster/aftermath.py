"""What the controller says after things went wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from hettui.domain.cluster.postmortem import PostMortem, examine
from hettui.services.cluster.supervisor import Supervised

SETTLE_S = 0.15
"""How long ends that belong together are apart at most: llama.cpp's master ends 0.02 s after its worker."""


def examined(
    ends: Sequence[Supervised],
    master: Supervised | None,
    owners: Mapping[str, str],
    moment: str,
    workers: Iterable[Supervised] = (),
) -> PostMortem | None:
    """One story of everything that ended, and of what `workers` say that live on; None when nothing ended."""
    told = [process.end for process in ends if process.end is not None]
    if not told:
        return None
    # A worker takes the master with it, never the other way round.
    told.sort(key=lambda end: end.spec.role != "worker")
    witnesses = [worker.witness() for worker in workers if worker.alive]
    found = examine(told[0], others=told[1:], owners=owners, moment=moment, witnesses=witnesses)
    effects = list(found.consequences)
    if found.role == "worker" and master is not None and master.alive:
        effects.append("master is stopped with it: llama.cpp does not go on without a worker")
    if moment == "while it answered":
        effects.append("the answer is cut off; what had arrived of it stays")
    return replace(found, consequences=tuple(effects))


def stuck(processes: Sequence[Supervised]) -> str:
    """They do not end even after SIGKILL."""
    names = ", ".join(f"{p.spec.name} (pid {p.pid})" for p in processes)
    return (
        f"{names} does not end even after SIGKILL: it waits for a driver or a disk; the kernel's log may say for "
        "which. Its memory is not free"
    )
