"""What a screen or a command works with: configuration, hardware, model and the first plan, brought together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from hettui.domain.cluster.launch import Cluster
from hettui.domain.config.values import Config
from hettui.domain.devices.device import LOCAL, Device, Hardware
from hettui.domain.errors import ConfigError, DoesNotFit, HettuiError
from hettui.domain.llama.build import NEWEST_BUILD
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.forecast import Forecast, shortage
from hettui.domain.memory.workload import Workload
from hettui.domain.model.companions import ALONE, Companions
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.beside_place import draft_place, projector_place
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.planner.headroom import propose
from hettui.domain.planner.learned import Learned
from hettui.domain.planner.objectives import Beside, comparable, wanted
from hettui.domain.records import dataclass
from hettui.domain.slots.launch_terms import terms_of
from hettui.domain.slots.terms import Terms

if TYPE_CHECKING:
    from hettui.domain.library.fit import Surroundings


@dataclass(frozen=True, eq=False)
class Session:
    """One opened configuration. What could not be found is None, and `problem` says why."""

    config: Config
    hardware: tuple[Hardware, ...]
    devices: tuple[Device, ...]
    cluster: Cluster | None
    """None without llama.cpp binaries: planning works, starting does not."""
    shape: ModelShape | None
    """None without a model."""
    problem: str | None = None
    refused: tuple[str, ...] = ()
    """What drivers and llama.cpp said no to when cards were looked for, in sentences with the remedy."""
    simulated: bool = False
    learned: Learned = field(default_factory=Learned)
    """What earlier launches reserved. Shared with whoever watches the next one."""
    demo: bool = False
    chosen: Plan | None = None
    """What a model that was chosen on the screen is opened with; None: as the configuration says."""
    file_bytes: Mapping[str, int] = field(default_factory=dict)
    """Sizes of the files that `extra-args` name."""
    draft: ModelShape | None = None
    """The draft model of the settings."""
    companions: Companions = ALONE
    """What was read of the files that are loaded beside the model."""

    @property
    def title(self) -> str:
        """The model in words: conversations and measurements are kept under it. Empty without a model."""
        return "" if self.shape is None else f"{self.shape.name} {self.shape.quantisation}".strip()

    @property
    def build(self) -> int:
        """llama.cpp's build that would run, the newest known when none was found."""
        return NEWEST_BUILD if self.cluster is None else self.cluster.engine.build

    @property
    def split_modes(self) -> frozenset[str]:
        """What that build takes for `--split-mode`; empty: not known."""
        return frozenset() if self.cluster is None else self.cluster.engine.split_modes

    @cached_property
    def workload(self) -> Workload | None:
        """What is to be run, with the configured settings; None without a model."""
        if self.shape is None:
            return None
        said = self.config.serving.extra_args
        return Workload(self.shape, self.config.params, self.build, said, self.draft, self.companions)

    def workload_of(self, plan: Plan) -> Workload | None:
        """The same with the plan's own settings."""
        return None if self.workload is None else self.workload.having(self.params(plan))

    def terms(self, plan: Plan) -> Terms | None:
        """Under which the slots' contexts of a plan would be computed; None without a model or llama.cpp."""
        workload, cluster = self.workload_of(plan), self.cluster
        if workload is None or cluster is None:
            return None
        return terms_of(workload, cluster.model_path, cluster.engine, cluster.serving.extra_args)

    def forecast(self, plan: Plan) -> Forecast | None:
        """The memory of a plan, with what earlier launches reserved; None without a model."""
        workload = self.workload_of(plan)
        return None if workload is None else self.learned.forecast(workload, plan)

    def measured(self, plan: Plan) -> Plan:
        """The plan, its devices with what was measured on them meanwhile."""
        return replace(plan, devices=self.learned.with_measured(plan.devices))

    def params(self, plan: Plan) -> RuntimeParams:
        """The settings with which the plan would run."""
        return plan.settings(self.config.params)

    @property
    def surroundings(self) -> Surroundings:
        """Against what another model would be judged."""
        from hettui.domain.library.fit import Surroundings, for_another_model

        # Whether the draft suits another model is not known before that is read; adapters and projectors do not.
        params = replace(self.config.params, draft=None, mmproj="", lora=(), control_vector=())
        return Surroundings(params, for_another_model(self.devices), self.ram_bytes, self.build)

    @property
    def ram_bytes(self) -> int | None:
        """Free in this machine when its hardware was looked at; None: not known."""
        return next((h.free_bytes for h in self.hardware if h.backend == "cpu" and h.host == LOCAL), None)

    def planned(self) -> Session:
        """The same, for which the first plan was searched: on a thread, before a screen asks for it."""
        _ = self.initial_plan
        return self

    @cached_property
    def initial_plan(self) -> Plan | None:
        if self.workload is None or self.chosen is not None:
            return self.chosen
        return first_plan(self.workload, self.devices, self.beside)

    @property
    def beside(self) -> Beside:
        """This machine's memory, for what no device holds."""
        return Beside(self.ram_bytes, self.learned.host_rate_bytes_per_s)

    @property
    def knows_speeds(self) -> bool:
        """It can be said which of the devices is faster."""
        return bool(self.devices) and comparable(self.learned.with_measured(self.devices))


def first_plan(workload: Workload, devices: tuple[Device, ...], beside: Beside | None = None) -> Plan:
    """The configured layers where every device has them; else the fastest plan for one stream, where speeds are known
    and all of it fits, if only with experts or FFN in this machine's memory; else every device is filled alike."""
    if None in [d.layers for d in devices] and comparable(devices):
        as_configured = Plan(devices, Split(tuple(d.layers or 0 for d in devices), workload.shape.layers))
        best = wanted(workload, as_configured, "latency", beside)
        if best.found is not None:
            own = {d.name: d for d in devices}
            return replace(best.plan, devices=tuple(own[d.name] for d in best.plan.devices))
    return Plan(devices, initial_split(workload, devices))


def initial_split(workload: Workload, devices: tuple[Device, ...]) -> Split:
    """The configured layers when every device has them and they sum up, else the planner's proposal."""
    shape, counts = workload.shape, [d.layers for d in devices]
    known = [n for n in counts if n is not None]
    if devices and len(known) == len(counts):
        if sum(known) > shape.layers:
            raise ConfigError(
                f"the [[devices]] ask for {sum(known)} layers, but {shape.name} has {shape.layers} "
                f"({shape.blocks} blocks and the output layer): lower some layers, or leave them all out"
            )
        return Split(tuple(known), shape.layers)
    return propose(workload, devices)


def runnable(session: Session, plan: Plan, *, force: bool = False) -> Cluster:
    """The cluster to start with this plan's devices. Raises the reason why it cannot be started."""
    if session.shape is None:
        raise ConfigError("no model is chosen: choose one on the screen, or set [model] path")
    if session.cluster is None:
        raise HettuiError(session.problem or "no llama.cpp binaries were found")
    params = session.params(plan)
    workload = session.workload_of(plan)
    if workload is not None and params.shares_tensors:
        from hettui.domain.memory.tensor_limits import why_not

        if reason := why_not(workload, plan.devices, plan.split, session.cluster.engine.split_modes):
            raise ConfigError(reason)
    beside = draft_place(params, plan.devices), projector_place(params, plan.devices)
    for index, (device, layers) in enumerate(zip(plan.devices, plan.split.layers, strict=True)):
        if device.missing and (layers or device.via == "worker" or index in beside):
            raise HettuiError(device.missing)
    outlook = session.forecast(plan)
    if outlook is not None and not outlook.fits and not force:
        missing = shortage(outlook, plan.devices)
        raise DoesNotFit(f"this split does not fit: {missing}. Move layers away, or use a smaller ctx-size")
    return replace(session.cluster, devices=plan.devices, params=session.params(plan))
