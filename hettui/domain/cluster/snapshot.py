"""The running cluster as the screen sees it: frozen snapshots, derived states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from enum import Enum

from hettui.domain.cluster.launch import Cluster
from hettui.domain.cluster.postmortem import PostMortem
from hettui.domain.cluster.process import ProcessState, Role
from hettui.domain.devices.device import Device
from hettui.domain.llama.beside import mark
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.amount import Memory
from hettui.domain.plan.split import Split
from hettui.domain.records import dataclass


class ClusterState(Enum):
    """What the whole cluster does now."""

    LOOKING = "looking"
    """What an earlier hettui left is not known yet."""
    DOWN = "stopped"
    STARTING = "starting"
    """Workers are being started and probed."""
    LOADING = "loading"
    """The master reads the model and sends it to the devices."""
    READY = "ready"
    STOPPING = "stopping"
    FAILED = "failed"

    @property
    def busy(self) -> bool:
        """On its way from one resting state to another."""
        return self in (ClusterState.STARTING, ClusterState.LOADING, ClusterState.STOPPING)

    @property
    def said(self) -> str:
        """As a sentence without its stop."""
        return "the cluster has failed" if self is ClusterState.FAILED else f"the cluster is {self.value}"


@dataclass(frozen=True, slots=True)
class ProcessSnapshot:
    """One process now."""

    name: str
    role: Role
    state: ProcessState
    pid: int | None = None
    device: str | None = None
    address: str = ""
    log_path: str | None = None
    detail: str = ""
    """Why it ended, in words, or what is odd about it; empty while it lives and works."""
    frozen: bool = False
    """Stopped by a signal: whoever asks it anything waits."""


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """How far the master is with reading and sending the weights."""

    fraction: float = 0.0
    total_bytes: int = 0
    elapsed_s: float = 0.0

    @property
    def done_bytes(self) -> int:
        return int(self.fraction * self.total_bytes)

    @property
    def left_s(self) -> float | None:
        """Time left at the mean speed so far; None before there is anything to go by."""
        if self.fraction < 0.02 or self.elapsed_s <= 0:
            return None
        return self.elapsed_s * (1 - self.fraction) / self.fraction


@dataclass(frozen=True, slots=True)
class Applied:
    """What runs: devices in order, the split, and what llama.cpp reported of it."""

    devices: tuple[Device, ...]
    split: Split
    measured: Mapping[str, Memory] = field(default_factory=dict)
    """By device name, from llama.cpp's own buffer lines; `host` is the master's RAM."""
    measured_layers: Mapping[str, int] = field(default_factory=dict)
    """Layers by device name as the master logged them; empty unless its log is verbose enough."""
    ctx_size: int | None = None
    """`--ctx-size` of the master; None where it is not known. Of the settings recordings once kept only this."""
    model_path: str | None = None
    params: RuntimeParams | None = None
    """The settings with which the master was started; None where they are not known."""
    build: int | None = None
    """llama.cpp's."""
    beside: str | None = None
    """The mark of what was said to llama-server besides (`llama.beside`); None where it is not known."""

    @classmethod
    def of(cls, cluster: Cluster, split: Split) -> Applied:
        """The cluster as it is being started, or was: nothing is measured yet."""
        params = cluster.params
        beside, build = mark(cluster.serving.extra_args), cluster.engine.build
        return cls(cluster.devices, split, {}, {}, params.ctx_size, cluster.model_path, params, build, beside)


@dataclass(frozen=True, slots=True)
class Waiting:
    """The cluster waits for something that ends by itself: what, and how long still."""

    text: str
    left_s: float | None = None
    can_cut: bool = False
    """Asking to stop once more cuts it short."""


def derived_state(
    processes: Sequence[ProcessSnapshot], *, wanted: bool, busy: bool, problem: str | None
) -> ClusterState:
    """The cluster's state from those of its processes.

    `wanted`: somebody asked for a running cluster and has not asked otherwise. `busy`: a command is at work.
    """
    if not wanted:
        if busy and processes:
            return ClusterState.STOPPING
        return ClusterState.FAILED if problem else ClusterState.DOWN
    # Without its door a cluster works; clients that do not know the master's own port do not reach it.
    if any(p.state is ProcessState.FAILED for p in processes if p.role != "door"):
        return ClusterState.FAILED
    master = next((p.state for p in processes if p.role == "master"), None)
    workers_ready = all(p.state is ProcessState.READY for p in processes if p.role == "worker")
    if workers_ready and master is ProcessState.READY:
        return ClusterState.READY
    if workers_ready and master is ProcessState.STARTING:
        return ClusterState.LOADING
    return ClusterState.STARTING


@dataclass(frozen=True, slots=True, eq=False)
class ClusterSnapshot:
    """The cluster at one moment. Compared by identity."""

    state: ClusterState = ClusterState.DOWN
    processes: tuple[ProcessSnapshot, ...] = ()
    applied: Applied | None = None
    load: LoadProgress | None = None
    api: str | None = None
    """`http://127.0.0.1:8080` once the master listens."""
    problem: str | None = None
    """Why the state is FAILED, as a sentence with the next step."""
    commands: tuple[str, ...] = ()
    """The command lines that were run, for people to copy."""
    post_mortem: PostMortem | None = None
    """Of the last unplanned end, until the next start."""
    waiting: Waiting | None = None
    """A pause before a restart, an answer that may still end, a process that is given time to end."""

    @property
    def sees_pictures(self) -> bool:
        """The model runs with a projector."""
        params = self.applied.params if self.applied is not None else None
        return params is not None and bool(params.mmproj)

    @property
    def works(self) -> bool:
        """There is more of it than a front door, which waits for a relaunch."""
        return any(process.role != "door" for process in self.processes)
