"""What the main screen knows: the session, the plan under one's hands, and what has arrived from the engine."""

from __future__ import annotations

from hettui.domain.chat.wire import Timings
from hettui.domain.cluster.snapshot import ClusterSnapshot, ClusterState
from hettui.domain.plan.aim import Objective
from hettui.domain.plan.editor import PlanEditor
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.planner.explain import Search
from hettui.domain.planner.objectives import answer
from hettui.domain.session.looked import on_devices
from hettui.domain.session.session import Session
from hettui.domain.telemetry.readings import TelemetrySnapshot
from hettui.domain.telemetry.steady import Steady
from hettui.domain.telemetry.why import Finding
from hettui.services.events import ChatEnded, ChatProgressed, ChatWaiting, ParallelChanged, SlotsChanged
from hettui.ui.presenting.facts import USUAL_HISTORY_CELLS, Facts, History, why


class Known:
    """Its parts are replaced, never changed in place; from them `facts` makes what is drawn."""

    def __init__(self, session: Session, cluster: ClusterSnapshot) -> None:
        self.session = session
        nothing = Plan(session.devices, Split((0,) * len(session.devices), 0))
        self.editor = PlanEditor.of(session.initial_plan or nothing, "latency" if session.knows_speeds else "balanced")
        self.cluster = cluster
        self.telemetry: TelemetrySnapshot | None = None
        self.slots: SlotsChanged | None = None
        self.looked_at: tuple[Plan, Objective | None] | None = None
        """A plan that is shown in the place of one's own, until it is taken or not, and what it was made for."""
        self.lost: dict[str, str] = {}
        """Devices that a start leaves out as long as they hold nothing, and why: they ended, or what was found running
        was started without them."""
        self.preflight = ""
        """What a look before the last start found that could stop it."""
        self.generating = False
        """Tokens of an answer are arriving."""
        self._rate: float | None = None
        self._answered: Timings | None = None
        self._histories: dict[str, History] = {}
        self._why: Steady[Finding] = Steady()
        self._facts: Facts | None = None
        self._learned: tuple[object, ...] = ()
        """What was learned when these facts were made."""

    @property
    def plan(self) -> Plan:
        return self.editor.plan

    @property
    def shown(self) -> PlanEditor:
        """What is to be seen: one's own plan, or the one that is looked at."""
        return self.editor if self.looked_at is None else self.editor.shown_as(*self.looked_at)

    def facts(
        self,
        *,
        history_cells: int = USUAL_HISTORY_CELLS,
        load_graphs: bool = False,
        mark: str = "",
        closed: bool = False,
        search: Search = answer,
        searched: int = 0,
        planning: bool = False,
    ) -> Facts:
        """All of it at this moment, and how it will be shown. The same object as before when nothing has changed: what
        one key asks of it three times (the reason why not, the drawing, the footer) is worked out once."""
        editor = self.shown
        facts = Facts(
            self.session,
            editor.plan,
            self.cluster,
            self.telemetry,
            self._histories,
            self._rate,
            editor.typed,
            editor.selected,
            editor.objective,
            history_cells=history_cells,
            load_graphs=load_graphs,
            generating=self.generating,
            why=self._why,
            mark=mark,
            closed=closed,
            slots=self.slots,
            preflight=self.preflight,
            answered=self._answered,
            finding=editor.finding_words,
            lost=self.lost,
            search=search,
            searched=searched,
            planning=planning,
        )
        if self._facts is None or facts != self._facts:
            learned = self.session.learned.state
            if self._facts is not None and learned == self._learned:
                facts.take_over(self._facts)
            self._facts, self._learned = facts, learned
        return self._facts

    # -- what arrives --------------------------------------------------------------------------------------

    def use_model(self, session: Session, plan: Plan) -> None:
        """Another model was opened."""
        if session.config.model_path != self.session.config.model_path:
            self._rate = None
        self.session, self.editor = session, self.editor.with_other_model(plan)

    def take_cluster(self, snapshot: ClusterSnapshot) -> bool:
        """Whether the cluster's state is another one now: what was slow before is another cluster's."""
        before, self.cluster = self.cluster, snapshot
        if _what_answers(before) != _what_answers(snapshot):
            # What was fast or slow before is another cluster's. A state in between may have been passed over.
            self._rate, self._answered, self.generating, self._why = None, None, False, Steady()
            self._miss(snapshot)
        return before.state is not snapshot.state

    def _miss(self, snapshot: ClusterSnapshot) -> None:
        """Whom what runs was started without: nobody shall start them along with the next change."""
        if snapshot.state is not ClusterState.READY or snapshot.applied is None:
            return
        there = {d.name for d in snapshot.applied.devices}
        held = zip(self.plan.devices, self.plan.split.layers, strict=True)
        missed = {d.name for d, n in held if not n and d.name not in there}
        self.lost = {name: self.lost.get(name, "") for name in missed}

    def use_devices(self, session: Session) -> None:
        """The same devices as before, with what is known of them now."""
        self.session, self.editor = session, self.editor.with_plan(on_devices(self.plan, session.devices))

    def without_lost(self) -> Plan:
        """The plan to be started. Who was given layers again is trusted again."""
        held = {d.name for d, n in zip(self.plan.devices, self.plan.split.layers, strict=True) if n}
        self.lost = {name: why for name, why in self.lost.items() if name not in held}
        return self.plan.without(frozenset(self.lost))

    def take_readings(self, snapshot: TelemetrySnapshot) -> None:
        self.telemetry = snapshot
        for name, sample in snapshot.samples.items():
            self._histories.setdefault(name, History()).push(snapshot.monotonic_s, sample)
        # What runs is compared with one's own plan, whatever is looked at.
        plain = Facts(self.session, self.plan, self.cluster, snapshot, generating=self.generating, why=self._why)
        self._why = why(plain)

    def take_chat(self, event: ChatProgressed | ChatEnded | ChatWaiting | ParallelChanged) -> bool:
        """Whether what can be done with an answer is another thing now."""
        before, self.generating = self.generating, isinstance(event, ChatProgressed)
        if self.cluster.state is not ClusterState.READY:
            # The end of an answer that was cut by a stop: nothing answers any more.
            pass
        elif isinstance(event, ChatProgressed) and event.tokens > 1 and event.elapsed_s > 0:
            self._rate = (event.tokens - 1) / event.elapsed_s
        elif isinstance(event, ChatEnded) and event.timings and event.timings.generated_per_second is not None:
            self._rate, self._answered = event.timings.generated_per_second, event.timings
        return self.generating is not before or isinstance(event, ChatEnded)

    def forget(self) -> None:
        """What readings and answers have left behind."""
        self.telemetry = self._rate = self.slots = self._answered = None
        self._histories, self._why = {}, Steady()


def _what_answers(cluster: ClusterSnapshot) -> tuple[object, ...] | None:
    """Which run of which plan it is that speeds were measured of; None while nothing answers."""
    if cluster.state is not ClusterState.READY:
        return None
    masters = tuple(p.pid for p in cluster.processes if p.role == "master")
    applied = cluster.applied
    if applied is None:
        return masters, None
    names = tuple(d.name for d in applied.devices)
    return masters, names, applied.split, applied.ctx_size, applied.params, applied.model_path
