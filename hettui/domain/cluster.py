"""The running cluster as the screen sees it: frozen snapshots, derived states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from hettui.domain.device import Device
from hettui.domain.memory import Memory
from hettui.domain.process import ProcessState, Role
from hettui.domain.split import Split


class ClusterState(Enum):
    """What the whole cluster does now."""

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
    """Why it ended, in words; empty while it lives."""


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
    """`--ctx-size` of the master; None where it is not known."""


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
