"""`hettui status`: what runs, as text and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hettui.domain.cluster.address import endpoint
from hettui.domain.cluster.launch import exposures
from hettui.domain.cluster.leftovers import unrecognised
from hettui.domain.cluster.run_state import ProcessRecord, RunState
from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.records import dataclass
from hettui.domain.text import clean_line

if TYPE_CHECKING:
    # Only of what has died: then it is there.
    from hettui.domain.cluster.postmortem import PostMortem


@dataclass(frozen=True, slots=True)
class RunReport:
    """A record, which of its processes really live, and who owns it."""

    record: RunState | None
    alive: Mapping[str, bool]
    owner_pid: int | None
    """0: somebody whose pid is not known. None: nobody."""
    unrecorded: Sequence[tuple[int, Sequence[str]]] = ()
    """Pids and command lines of what carries the cluster's mark and stands in no record."""
    post_mortem: PostMortem | None = None
    """Of what has ended while no hettui was watching."""

    @property
    def state(self) -> str:
        """As the cluster's states, and `half dead` when something of it is gone that nobody has noticed yet;
        `unrecorded` when processes run that no record describes."""
        if self.record is None:
            return "unrecorded" if self.unrecorded else ClusterState.DOWN.value
        if not all(self.alive.values()) and self.record.state in (ClusterState.READY, ClusterState.LOADING):
            return "half dead"
        if not any(self.alive.values()):
            return ClusterState.FAILED.value if self.record.problem else ClusterState.DOWN.value
        return self.record.state.value

    @property
    def problem(self) -> str | None:
        """What is wrong, in a sentence."""
        if self.record is not None and self.record.problem:
            return self.record.problem
        return self.post_mortem.sentence if self.post_mortem and self.state == "half dead" else None

    @property
    def ready(self) -> bool:
        return self.state == ClusterState.READY.value

    @property
    def api(self) -> str | None:
        if self.record is None or not self.ready:
            return None
        return self.record.api

    def as_json(self) -> dict[str, object]:
        record = self.record
        return {
            "state": self.state,
            "api": self.api,
            "model": record.cluster.model_path if record else None,
            "draft": _draft(record),
            "projector": _projector(record),
            "owner_pid": self.owner_pid,
            "devices": [d.name for d in record.cluster.devices] if record else [],
            "tensor_split": list(record.split.layers) if record else [],
            "problem": self.problem,
            "exposed": exposures(record.cluster.devices) if record else [],
            "processes": [self._process(p) for p in record.processes] if record else [],
            "unrecorded": [
                {"pid": pid, "command": [clean_line(word) for word in argv]} for pid, argv in self.unrecorded
            ],
        }

    def _process(self, entry: ProcessRecord) -> dict[str, object]:
        return {
            "name": entry.spec.name,
            "role": entry.spec.role,
            "device": entry.spec.device,
            "host": entry.spec.host,
            "state": self._state_of(entry),
            "pid": entry.pid,
            "address": endpoint(*entry.spec.address),
            "log": entry.log_path,
        }

    def _state_of(self, entry: ProcessRecord) -> str:
        if not self.alive.get(entry.spec.name):
            return "gone"
        return "ready" if entry.ready else "starting"

    def as_text(self) -> str:
        record = self.record
        if record is None:
            said = unrecognised(self.unrecorded)
            return f"{said[0].upper()}{said[1:]}." if self.unrecorded else "Nothing runs."
        lines = [f"The cluster is {self.state}" + (f" at {self.api}." if self.api else ".")]
        if self.problem:
            lines.append(clean_line(self.problem))
        lines.append(f"Model: {clean_line(record.cluster.model_path)}")
        if (draft := record.cluster.params.draft) is not None:
            what = f"{draft.model} on {draft.device}" if draft.has_model else draft.type
            lines.append(f"Draft: {clean_line(what)}")
        if (projector := _projector(record)) is not None:
            lines.append(f"Projector: {clean_line(projector['path'])} on {clean_line(projector['device'])}")
        width = max((len(clean_line(p.spec.name, 40)) for p in record.processes), default=0)
        for entry in record.processes:
            pid = "–" if entry.pid is None else str(entry.pid)
            name = clean_line(entry.spec.name, 40)
            lines.append(
                f"  {name:<{width}}  {self._state_of(entry):<8}  pid {pid:>7}  {endpoint(*entry.spec.address)}"
            )
        if self.unrecorded:
            lines.append(f"Besides, {unrecognised(self.unrecorded)}.")
        if self.owner_pid is None:
            lines.append("No hettui watches it; hettui takes it over.")
        else:
            lines.append(f"A hettui owns it (pid {self.owner_pid or 'unknown'}).")
        return "\n".join([*lines, *exposures(record.cluster.devices)])


def _draft(record: RunState | None) -> dict[str, object] | None:
    draft = record.cluster.params.draft if record else None
    if draft is None:
        return None
    return {"type": draft.type, "model": draft.model or None, "device": draft.device if draft.has_model else None}


def _projector(record: RunState | None) -> dict[str, str] | None:
    """What shows the model pictures."""
    params = record.cluster.params if record else None
    return {"path": params.mmproj, "device": params.mmproj_device} if params is not None and params.mmproj else None
