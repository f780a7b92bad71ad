"""What is left of a cluster that an earlier hettui started: who lives, who died, and who was never recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from hettui.domain.cluster.leftovers import is_server
from hettui.domain.cluster.postmortem import End, PostMortem, examine
from hettui.domain.cluster.process import ProcessSpec
from hettui.domain.cluster.run_state import ProcessRecord, RunState
from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.records import dataclass
from hettui.ports import ChildProcess, FoundProcess, LogStore
from hettui.services.cluster.world import Request, Supervision, World

_LAST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Found:
    """A record against the real processes."""

    living: tuple[tuple[ProcessRecord, ChildProcess], ...] = ()
    dead: tuple[ProcessRecord, ...] = ()
    strays: tuple[tuple[ProcessSpec, ChildProcess], ...] = ()
    """They carry the cluster's mark and stand in no record."""
    strange: tuple[FoundProcess, ...] = ()
    """The strays as they were found."""
    same_boot: bool = True
    state: ClusterState = field(default=ClusterState.DOWN)
    """As the record had it."""

    @property
    def whole(self) -> bool:
        """Everything that was recorded lives, and there is a master."""
        # A master is started only when every worker has answered: the record may be older than that.
        dead = [entry for entry in self.dead if entry.spec.role != "door"]
        return not dead and [record.spec.role for record, _ in self.living].count("master") == 1

    @property
    def unknown(self) -> tuple[FoundProcess, ...]:
        """What may be a cluster that works, and no record says which: nobody ends it without being asked to."""
        serving = any(is_server(found.argv) for found in self.strange)
        return self.strange if serving or not self.living else ()

    @property
    def ended_meanwhile(self) -> bool:
        """It was running when it was recorded, and now something of it is gone without anybody having asked."""
        return bool(self.dead) and self.same_boot and self.state in (ClusterState.READY, ClusterState.LOADING)


def look(record: RunState | None, world: World) -> Found:
    """Adopts what can be adopted. Reused pids are nobody of ours; of another boot's record only what carries the mark.

    No process outlives its boot, but what tells the boots apart may change meanwhile: the mark does not.
    """
    marked = {found.pid: found for found in world.runner.marked()}
    living: list[tuple[ProcessRecord, ChildProcess]] = []
    dead: list[ProcessRecord] = []
    same_boot = record is None or record.boot_id == world.runs.boot_id
    for entry in record.processes if record else ():
        child = _adopted(entry, marked, world, by_pid=same_boot)
        if child is None:
            dead.append(entry)
        else:
            living.append((entry, child))
            marked.pop(child.pid, None)
    strays, strange = [], []
    for found in marked.values():
        stray = world.runner.adopt(found.pid, found.started)
        if stray is not None:
            strays.append((_spec_of(found), stray))
            strange.append(found)
    state = record.state if record else ClusterState.DOWN
    return Found(tuple(living), tuple(dead), tuple(strays), tuple(strange), same_boot, state)


def _adopted(
    entry: ProcessRecord, marked: dict[int, FoundProcess], world: World, *, by_pid: bool
) -> ChildProcess | None:
    if entry.pid is not None and by_pid and (child := world.runner.adopt(entry.pid, entry.started)) is not None:
        return child
    # Written just before it was started, by a hettui that did not live to write what came of it; or the record is
    # older than what runs: it could not be replaced any more.
    same = [found for found in marked.values() if found.argv == entry.spec.argv]
    return world.runner.adopt(same[0].pid, same[0].started) if same else None


def _spec_of(found: FoundProcess) -> ProcessSpec:
    return ProcessSpec(f"leftover {found.pid}", "worker", found.argv)


def request_of(record: RunState, api_key: str | None, supervision: Supervision | None) -> Request:
    """What would be asked for to have the recorded cluster again."""
    return Request(
        record.cluster, record.split, record.weights_bytes, api_key, supervision or Supervision(), record.config_path,
        record.demo, record.keeping, record.terms,
    )  # fmt: skip


def what_happened(found: Found, record: RunState, world: World) -> PostMortem | None:
    """Why the dead ones died, from their logs; the exit codes are lost with the hettui that could have read them."""
    return story(found.dead, record, world.logs) if found.ended_meanwhile else None


def story(dead: Sequence[ProcessRecord], record: RunState, logs: LogStore) -> PostMortem:
    """One of all that ended, which is something, by what they and those that live on have written."""
    order = ("worker", "master", "door")
    ends = sorted((_end(entry, logs) for entry in dead), key=lambda end: order.index(end.spec.role))
    living = [e for e in record.processes if e not in dead and e.spec.role == "worker"]
    witnesses = [_end(entry, logs) for entry in living]
    moment = "while no hettui was watching"
    return examine(ends[0], others=ends[1:], owners=record.owners, moment=moment, witnesses=witnesses)


def _end(entry: ProcessRecord, logs: LogStore) -> End:
    offset = max(entry.log_offset, logs.size(entry.spec.name) - _LAST_BYTES)
    lines, _ = logs.tail(entry.spec.name, offset).read()
    return End(entry.spec, None, tuple(lines))


def half_dead(found: Found, post_mortem: PostMortem | None) -> str | None:
    """What to tell about a cluster of which not everything lives; None when it simply ended."""
    if not found.living:
        return f"the cluster ended meanwhile: {post_mortem.sentence}" if post_mortem else None
    names = ", ".join(record.spec.name for record, _ in found.living)
    if post_mortem is not None:
        return f"{post_mortem.sentence}. Of the cluster only {names} run on: Stop ends them, Start starts all anew"
    return f"an earlier hettui left {names} running and no whole cluster: Stop ends them, Start starts all anew"
