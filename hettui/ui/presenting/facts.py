"""Everything that the screen knows at one moment, and what the readings so far tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from functools import cached_property

from hettui.domain.chat.wire import Timings
from hettui.domain.cluster.snapshot import ClusterSnapshot, ClusterState
from hettui.domain.devices.colours import colours
from hettui.domain.memory.forecast import Forecast
from hettui.domain.plan.aim import Objective
from hettui.domain.plan.plan import Plan
from hettui.domain.planner.explain import Search, WhatIf, what_if
from hettui.domain.planner.moves import Running
from hettui.domain.planner.objectives import Best, answer, asked_of
from hettui.domain.planner.promise import promised
from hettui.domain.records import dataclass
from hettui.domain.screen.keymap import Keymap
from hettui.domain.session.session import Session
from hettui.domain.speed.pace import Expected
from hettui.domain.telemetry.readings import DeviceSample, Series, TelemetrySnapshot
from hettui.domain.telemetry.steady import Steady
from hettui.domain.telemetry.why import HOLD_INTERVALS, HOLD_S, Finding, Scene, findings
from hettui.services.events import SlotsChanged

HISTORY_S = 120.0
USUAL_HISTORY_CELLS = 30
_WORKED_OUT = ("keys", "colours", "measured", "outlook", "speed", "costs", "wanted")
"""Of `Facts`, by the plan alone."""


@dataclass
class History:
    """Readings of one device over time."""

    loads: Series = field(default_factory=lambda: Series(HISTORY_S))
    temperatures: Series = field(default_factory=lambda: Series(HISTORY_S))
    sample: DeviceSample | None = None
    """The last one: a missed round does not blank a card."""
    last_seen_s: float | None = None

    def push(self, now_s: float, sample: DeviceSample) -> None:
        self.loads.push(now_s, sample.utilisation_percent)
        self.temperatures.push(now_s, sample.temperature_c)
        self.sample, self.last_seen_s = sample, now_s


@dataclass(frozen=True)
class Facts:
    """Everything that the screen knows at one moment."""

    session: Session
    plan: Plan
    cluster: ClusterSnapshot
    telemetry: TelemetrySnapshot | None = None
    histories: Mapping[str, History] = field(default_factory=dict)
    rate: float | None = None
    """Tokens a second of the running answer, else of the last one."""
    typed: str = ""
    """A layer count that is being typed."""
    selected: int = 0
    objective: Objective = "balanced"
    """What the planner was last asked for."""
    history_cells: int = USUAL_HISTORY_CELLS
    """How wide the cards' graphs are."""
    load_graphs: bool = False
    """The cards show the load over time as well."""
    generating: bool = False
    """Tokens of an answer are arriving."""
    why: Steady[Finding] = field(default_factory=Steady)
    """What was found at the readings so far."""
    mark: str = ""
    """What must not be overlooked beside DEMO: REC, REPLAY."""
    closed: bool = False
    """Nothing can be started or changed here: a recording, or another hettui's cluster."""
    slots: SlotsChanged | None = None
    """What the slots hold, and what requests did."""
    preflight: str = ""
    """What a look before the last start found that could stop it."""
    answered: Timings | None = None
    """The server's figures of the last answer of what runs."""
    lost: Mapping[str, str] = field(default_factory=dict)
    """By name, devices that what runs was started without, and why."""
    finding: str | None = None
    """What is said while a device's name is typed."""
    search: Search = answer
    """What the planner answers, at once or not yet."""
    searched: int = 0
    """How many answers came later: with another one more can be said."""
    planning: bool = False
    """It has been searched for so long that one is told."""

    @cached_property
    def keys(self) -> Keymap:
        """What stands in sentences for `{cluster.start}`."""
        return Keymap(self.session.config.keys)

    @cached_property
    def colours(self) -> Mapping[str, int]:
        """By device name."""
        return colours(self.session.devices)

    @cached_property
    def shares_tensors(self) -> bool:
        """Layers of the plan are proportions: each device holds a share of every tensor."""
        return self.session.params(self.plan).shares_tensors

    @cached_property
    def measured(self) -> Plan:
        """The plan, its devices with what was measured on them."""
        return self.session.measured(self.plan)

    @cached_property
    def outlook(self) -> Forecast | None:
        return self.session.forecast(self.plan)

    def take_over(self, before: Facts) -> None:
        """What was worked out of the same plan: with every reading it would be the same. Only while nothing was learned
        in between."""
        if self.session is before.session and self.plan is before.plan and self._question == before._question:
            found = ((name, before.__dict__.get(name)) for name in _WORKED_OUT)
            # What is not known yet is asked again.
            self.__dict__.update((name, value) for name, value in found if value is not None)

    @property
    def _question(self) -> tuple[object, ...]:
        return self.objective, self.search, self.searched

    @property
    def differs(self) -> bool:
        """The plan is not what runs."""
        applied = self.cluster.applied
        if applied is None:
            return False
        params = self.session.params(self.plan)
        other_settings = applied.ctx_size not in (None, params.ctx_size) or applied.params not in (None, params)
        other = other_settings or not self.runs_this_model
        return other or self.plan.differs_from(applied.devices, applied.split)

    @property
    def runs_this_model(self) -> bool:
        """What runs has the session's model, as far as that is known."""
        applied, cluster = self.cluster.applied, self.session.cluster
        return applied is not None and (cluster is None or applied.model_path in (None, cluster.model_path))

    @cached_property
    def speed(self) -> Expected | None:
        """Of the plan, by what is known now; None where a device's speed is not."""
        session, plan = self.session, self.measured
        workload = session.workload_of(plan)
        if workload is None:
            return None
        return promised(workload, plan.devices, plan.split, session.learned.host_rate_bytes_per_s)

    @cached_property
    def costs(self) -> WhatIf | None:
        """How fast one stream is with the plan and with the fastest split; None where that is not known, or not yet."""
        session = self.session
        if session.workload is None:
            return None
        return what_if(session.workload, self.measured, self.search)

    @cached_property
    def wanted(self) -> Best | None:
        """The planner's own plan for the same devices and locks; None without a model, and while it is searched for."""
        session = self.session
        if session.workload is None or not self.plan.devices:
            return None
        workload = session.workload.having(self.measured.asked(session.config.params))
        return self.search(asked_of(workload, self.measured, self.objective, session.beside))


def why(facts: Facts) -> Steady[Finding]:
    """What the last reading adds to what is found to be slow; once for every reading."""
    session, cluster, telemetry = facts.session, facts.cluster, facts.telemetry
    if telemetry is None:
        return facts.why
    running, applied, workload = None, cluster.applied, session.workload
    if cluster.state is ClusterState.READY and applied is not None and workload is not None and facts.runs_this_model:
        ctx_size = workload.params.ctx_size if applied.ctx_size is None else applied.ctx_size
        params = applied.params or replace(workload.params, ctx_size=ctx_size)
        devices = session.learned.with_measured(applied.devices)
        running = Running(workload.having(params), devices, applied.split)
    own = frozenset(p.pid for p in cluster.processes if p.pid is not None)
    scene = Scene(facts.plan.devices, telemetry.samples, running, own, facts.generating, facts.differs)
    hold_s = max(HOLD_S, HOLD_INTERVALS * telemetry.interval_s)
    return facts.why.update(findings(scene), telemetry.monotonic_s, hold_s)
