"""What the cluster's controller needs from outside, and what it is asked to run."""

from __future__ import annotations

from dataclasses import field, replace
from typing import Protocol

from hettui.domain.cluster.launch import Cluster
from hettui.domain.cluster.supervision import Supervision as Supervision
from hettui.domain.llama.build import EngineInfo
from hettui.domain.llama.protocol import Version
from hettui.domain.plan.split import Split
from hettui.domain.records import dataclass
from hettui.domain.slots.policy import KeepPolicy
from hettui.domain.slots.terms import Terms
from hettui.ports import (
    Clock,
    ContextFolders,
    DoorLines,
    FarWorkers,
    LlamaClientFactory,
    LogStore,
    Ports,
    ProcessRunner,
    RpcProber,
    RunStore,
    TransferMeter,
)


class OwnBuild(Protocol):
    """What the llama.cpp of this machine is, against which those of other machines are held."""

    async def protocol(self, engine: EngineInfo) -> Version | None:
        """Of RPC, as its rpc server says it; None where there is none or it does not answer."""

    async def sum(self, engine: EngineInfo) -> str | None:
        """Of the rpc server's files; the same as another machine tells of the same files. None: not known."""


@dataclass(frozen=True, slots=True)
class World:
    """The outside that the cluster needs, by port."""

    runner: ProcessRunner
    logs: LogStore
    ports: Ports
    prober: RpcProber
    clients: LlamaClientFactory
    meter: TransferMeter
    clock: Clock
    runs: RunStore
    contexts: ContextFolders
    far: FarWorkers
    doors: DoorLines
    own_build: OwnBuild


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """A cluster and the plan to run on it."""

    cluster: Cluster
    split: Split
    weights_bytes: int = 0
    """What the devices will receive; for the load bar."""
    api_key: str | None = field(default=None, repr=False)
    supervision: Supervision = field(default_factory=Supervision)
    config_path: str | None = None
    """Where the cluster was configured; for whoever takes it over."""
    demo: bool = False
    keeping: KeepPolicy = field(default_factory=KeepPolicy)
    terms: Terms | None = None
    """Under which its slots' contexts are computed; None: not known, and nothing is kept."""

    def passing(self) -> Request:
        """The same for a cluster that ends with this program: it keeps no contexts, and touches nobody else's."""
        return replace(self, terms=None)

    def like(self, other: Request) -> bool:
        """The same model in the same split with the same settings: if one failed, the other would."""
        mine, others = self.cluster, other.cluster
        return (
            self.split == other.split
            and mine.model_path == others.model_path
            and mine.params == others.params
            and mine.engine == others.engine
        )
