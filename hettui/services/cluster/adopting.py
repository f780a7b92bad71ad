"""What an earlier hettui left alive comes into our hands."""

from __future__ import annotations

from hettui.domain.cluster.run_state import ProcessRecord
from hettui.domain.devices.device import LOCAL
from hettui.services.cluster.running import Running
from hettui.services.cluster.takeover import Found
from hettui.services.cluster.world import World


def adopt_strays(found: Found, running: Running) -> None:
    """What carries the cluster's mark and stands in no record."""
    running.strays = [running.adopt(spec, child, ready=True) for spec, child in found.strays]


def adopt_recorded(found: Found, running: Running) -> None:
    """What lives of the record, each process followed from where its log began."""
    for entry, child in found.living:
        # A master is started only when every worker has answered.
        ready = entry.ready or (found.whole and entry.spec.role == "worker")
        process = running.adopt(entry.spec, child, ready=ready, offset=log_start(entry, running.world))
        if entry.spec.role == "master":
            running.master = process
        elif entry.spec.role == "door":
            running.door = process
        else:
            running.workers[entry.spec.device or entry.spec.name] = process


def note_abandoned(found: Found, running: Running) -> None:
    """Workers of other hosts whose holders are gone: they may live there, until a stop ends them."""
    for entry in found.dead:
        if entry.spec.role == "worker" and entry.spec.host != LOCAL:
            running.left_there[entry.spec.name] = entry.spec


def log_start(entry: ProcessRecord, world: World) -> int:
    """Where in its log this run begins, in bytes."""
    # Rotated meanwhile: what is left begins at the front.
    return entry.log_offset if entry.log_offset <= world.logs.size(entry.spec.name) else 0
