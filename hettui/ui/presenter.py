"""Facts into views: pure functions from session, plan, cluster and readings to what is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hettui.domain.cluster import Applied, ClusterSnapshot, ClusterState
from hettui.domain.device import LOCAL, Device
from hettui.domain.errors import HettuiError
from hettui.domain.explain import WhatIf, explain, what_if
from hettui.domain.keymap import Keymap
from hettui.domain.launch import exposures, plan_launch, shell_line, worker_name
from hettui.domain.llama_log import HOST_KEY
from hettui.domain.memory import Forecast, compute_error_bytes, forecast, known, shortage
from hettui.domain.moves import Running
from hettui.domain.objectives import Best, wanted
from hettui.domain.params import Objective
from hettui.domain.plan import Plan
from hettui.domain.plan_report import PlanReport
from hettui.domain.reconcile import differences
from hettui.domain.session import Session
from hettui.domain.split import HOST
from hettui.domain.steady import Steady
from hettui.domain.telemetry import DeviceSample, Series, TelemetrySnapshot
from hettui.domain.text import clean_line
from hettui.domain.units import MIB, format_bytes, format_rate, format_seconds, mib
from hettui.domain.why import HOLD_INTERVALS, HOLD_S, Finding, Scene, findings, worst
from hettui.ui.views import CardView
from hettui.ui.widgets.layer_bar import LayerBarView
from hettui.ui.widgets.plan_line import PlanLineView
from hettui.ui.widgets.status_header import HeaderView

HISTORY_S = 120.0
USUAL_HISTORY_CELLS = 30
STALE_AFTER_INTERVALS = 3

_WORTH_A_WORD_BYTES = 8 * MIB
_WORTH_A_WORD_PART = 0.02
_MORE_ROOM_BYTES = 100 * MIB
_OFF_PLAN_BYTES = 64 * MIB
_FEW_DEVICES = 4


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
    generating: bool = False
    """Tokens of an answer are arriving."""
    why: Steady[Finding] = field(default_factory=Steady)
    """What was found at the readings so far."""
    mark: str = ""
    """What must not be overlooked beside DEMO: REC, REPLAY."""
    finding: str | None = None
    """What is said while a device's name is typed."""

    @property
    def keys(self) -> Keymap:
        """What stands in sentences for `{cluster.start}`."""
        return Keymap(self.session.config.keys)

    @property
    def outlook(self) -> Forecast | None:
        return self.session.forecast(self.plan)

    @property
    def differs(self) -> bool:
        """The plan is not what runs."""
        applied = self.cluster.applied
        if applied is None:
            return False
        other_context = applied.ctx_size not in (None, self.session.params(self.plan).ctx_size)
        return other_context or self.plan.differs_from(applied.devices, applied.split)

    @property
    def wanted(self) -> Best | None:
        """The planner's own plan for the same devices and locks; None without a model."""
        session = self.session
        if session.shape is None or not self.plan.devices:
            return None
        plan = session.measured(self.plan)
        return wanted(session.shape, session.config.params, plan, self.objective, build=session.build)


def why(facts: Facts) -> Steady[Finding]:
    """What the last reading adds to what is found to be slow; once for every reading."""
    session, cluster, telemetry = facts.session, facts.cluster, facts.telemetry
    if telemetry is None:
        return facts.why
    running, applied = None, cluster.applied
    if cluster.state is ClusterState.READY and applied is not None and session.shape is not None:
        params = session.config.params
        params = params if applied.ctx_size is None else replace(params, ctx_size=applied.ctx_size)
        devices = session.learned.with_measured(applied.devices)
        running = Running(session.shape, params, devices, applied.split, session.build)
    own = frozenset(p.pid for p in cluster.processes if p.pid is not None)
    scene = Scene(facts.plan.devices, telemetry.samples, running, own, facts.generating, facts.differs)
    hold_s = max(HOLD_S, HOLD_INTERVALS * telemetry.interval_s)
    return facts.why.update(findings(scene), telemetry.monotonic_s, hold_s)


def cards(facts: Facts) -> list[CardView]:
    """One view per device in device order, the host's last: it holds what nobody else took."""
    outlook, best = facts.outlook, facts.wanted
    ghosts: dict[str, int] = {}
    if best is not None:
        names = [d.name for d in best.plan.devices]
        ghosts = dict(zip(names, best.plan.split.layers, strict=True))
    views = [
        replace(_card(facts, outlook, i), ghost=ghosts.get(device.name)) for i, device in enumerate(facts.plan.devices)
    ]
    return [*views, _host_card(facts, outlook)]


def _running(applied: Applied | None, name: str) -> int | None:
    if applied is None:
        return None
    layers = (n for d, n in zip(applied.devices, applied.split.layers, strict=True) if d.name == name)
    return next(layers, 0)


def _role(device: Device) -> str:
    if device.via == "master":
        return "attached"
    return "worker" if device.host == LOCAL else f"worker on {clean_line(device.host, 20)}"


def _card(facts: Facts, outlook: Forecast | None, index: int) -> CardView:
    device, split = facts.plan.devices[index], facts.plan.split
    owner = worker_name(device) if device.via == "worker" else "master"
    process = next((p for p in facts.cluster.processes if p.name == owner), None)
    view = CardView(
        index=index,
        name=clean_line(device.name, 200),
        role=_role(device),
        layers=split.layers[index],
        maximum=split.total_layers,
        running=_running(facts.cluster.applied, device.name),
        locked=device.locked,
        output=split.output_device == index,
        budget_bytes=device.budget_bytes,
        is_cpu=device.backend == "cpu",
        process=process.state.value if process else "",
        entry=facts.typed if facts.typed and facts.selected == index else None,
    )
    if outlook is not None:
        view = replace(view, memory=outlook.devices[index], short_bytes=outlook.short_bytes(index))
    view = _with_readings(facts, view, device.name)
    problem = device.missing or (process.detail if process else "") or " ".join(exposures([device]))
    note, role = (clean_line(problem), "crit") if problem else _note(facts, view, device, outlook)
    return replace(view, note=note, note_role=role)


_ROLES = {"error": "crit", "warning": "warn", "information": "dim"}


def _note(facts: Facts, view: CardView, device: Device, outlook: Forecast | None) -> tuple[str, str]:
    """The one line that is worth most now, with its role: why it is slow, what is off, else what is as it should be."""
    found = worst(facts.why, device.name)
    if found:
        return found.text, _ROLES[found.severity]
    launched = _after_launch(facts, view, device.name)
    if launched and launched[1] == "warn":
        return launched
    doubt = _doubt(facts, outlook, view.index) if outlook is not None else ""
    if doubt:
        return doubt, "dim"
    return launched or _holders(facts, view) or ("", "dim")


def _doubt(facts: Facts, outlook: Forecast, index: int) -> str:
    """How far the compute buffer may be off, where that is worth a word."""
    shape = facts.session.shape
    if shape is None or index in outlook.measured:
        return ""
    error_bytes = compute_error_bytes(shape, outlook.devices[index].compute_bytes)
    if not known(shape):
        return f"compute ±{mib(error_bytes)} MiB: hettui does not know this architecture"
    return f"compute ±{mib(error_bytes)} MiB" if error_bytes >= _WORTH_A_WORD_BYTES else ""


def _after_launch(facts: Facts, view: CardView, name: str) -> tuple[str, str] | None:
    """What runs against what was planned: llama.cpp's own buffers, and what the driver says that we hold."""
    applied = facts.cluster.applied
    reported = applied.measured.get(name) if applied else None
    if reported is None or view.running != view.layers or facts.differs or not view.layers:
        return None
    buffers = reported.total_bytes - view.memory.total_bytes + view.memory.overhead_bytes
    text, off = f"llama.cpp {mib(reported.total_bytes)} MiB ({_signed(buffers)})", abs(buffers)
    if not view.is_cpu and view.own_bytes is not None:
        driver = view.own_bytes - view.memory.total_bytes
        text, off = f"{text}, card {mib(view.own_bytes)} ({_signed(driver)})", max(off, abs(driver))
    return (f"not as planned: {text}", "warn") if off > _OFF_PLAN_BYTES else (f"as planned: {text}", "dim")


def _signed(difference_bytes: int) -> str:
    """`+0`, `+12`, `−3`, in MiB."""
    whole = round(difference_bytes / MIB)
    return f"−{-whole}" if whole < 0 else f"+{whole}"


def _holders(facts: Facts, view: CardView) -> tuple[str, str] | None:
    """Who else holds memory of the card."""
    ours = {p.pid for p in facts.cluster.processes}
    others = [h for h in (view.sample.holders if view.sample else None) or () if h.pid not in ours]
    if not others or view.is_cpu:
        return None
    names = ", ".join(f"{h.name or 'a process'} ({h.pid}) {format_bytes(h.used_bytes)}" for h in others[:3])
    return f"also on it: {names}", "dim"


def _host_card(facts: Facts, outlook: Forecast | None) -> CardView:
    split, applied = facts.plan.split, facts.cluster.applied
    view = CardView(
        index=HOST,
        name="CPU of this machine",
        role="what no device takes",
        layers=split.host_layers,
        maximum=split.total_layers,
        running=applied.split.host_layers if applied else None,
        output=split.output_device == HOST and split.total_layers > 0,
        entry=facts.typed if facts.typed and facts.selected == HOST else None,
    )
    if outlook is not None:
        view = replace(view, memory=outlook.host)
    return _with_readings(facts, view, HOST_KEY)


def _with_readings(facts: Facts, view: CardView, key: str) -> CardView:
    history, telemetry = facts.histories.get(key), facts.telemetry
    if history is None or telemetry is None or history.last_seen_s is None or history.sample is None:
        return view
    age_s, sample = telemetry.monotonic_s - history.last_seen_s, history.sample
    own_bytes, foreign_bytes = _held(view, sample)
    readings = history.loads if view.is_cpu else history.temperatures
    return replace(
        view,
        sample=sample,
        stale_s=age_s if age_s > STALE_AFTER_INTERVALS * telemetry.interval_s else None,
        card_bytes=None if view.is_cpu else sample.total_bytes,
        own_bytes=own_bytes,
        foreign_bytes=foreign_bytes,
        history=readings.bins(telemetry.monotonic_s, facts.history_cells, STALE_AFTER_INTERVALS * telemetry.interval_s),
    )


def _held(view: CardView, sample: DeviceSample) -> tuple[int | None, int | None]:
    """What our processes hold of a device and what others do; None is not known."""
    used, own = sample.used_bytes, sample.own_bytes
    if used is None or view.is_cpu:
        return used, None
    if own is not None:
        return own, max(0, used - own)
    # Without layers of ours everything is others'; with some, when the driver hides the shares, nobody can tell.
    return (used, None) if view.running else (None, used)


def header(facts: Facts) -> HeaderView:
    shape = facts.session.shape
    model = (
        f"{clean_line(shape.name, 80)} {shape.quantisation}"
        if shape
        else facts.keys.fill("no model: {model.choose} chooses one")
    )
    exposed = any(d.expose and d.via == "worker" for d in facts.plan.devices)
    mark = " ".join(m for m in ("DEMO" if facts.session.demo else "", facts.mark, "EXPOSED" if exposed else "") if m)
    ready = facts.cluster.state is ClusterState.READY
    rate = format_rate(facts.rate) if ready and facts.rate is not None else ""
    return HeaderView(model, facts.cluster.state, facts.cluster.api or "", rate, mark)


def layer_bar(facts: Facts) -> LayerBarView:
    names = tuple(clean_line(d.name, 40) for d in facts.plan.devices)
    return LayerBarView(names, facts.plan.split.layers, facts.plan.split.host_layers)


def plan_line(facts: Facts) -> PlanLineView:
    """The most urgent thing: what is typed, what fails, what loads, what does not fit, what differs."""
    cluster = facts.cluster
    if facts.finding is not None:
        return PlanLineView(facts.finding, "entry")
    if facts.typed:
        return PlanLineView(f"{facts.typed} layers: Enter sets, Esc cancels", "entry")
    if cluster.waiting is not None:
        left_s = cluster.waiting.left_s
        left = "" if left_s is None else f" · {format_seconds(left_s)} left"
        return PlanLineView(clean_line(cluster.waiting.text) + left, "warn")
    if cluster.state is ClusterState.LOADING and cluster.load is not None:
        load = cluster.load
        if load.fraction >= 1:
            return PlanLineView("weights are there, llama.cpp warms up", "warn", 1.0)
        left = "" if load.left_s is None else f" · {format_seconds(load.left_s)} left"
        text = f"{load.fraction:4.0%} · {format_bytes(load.done_bytes)} of {format_bytes(load.total_bytes)}{left}"
        return PlanLineView(text, "warn", load.fraction)
    if cluster.state.busy:
        return PlanLineView(f"{cluster.state.value} …", "warn")
    if cluster.state is ClusterState.FAILED and cluster.problem:
        more = facts.keys.fill("{cluster.post_mortem}: what happened · ") if cluster.post_mortem else ""
        return PlanLineView(more + clean_line(cluster.problem), "crit")
    return _about_the_plan(facts)


def _about_the_plan(facts: Facts) -> PlanLineView:
    session, outlook = facts.session, facts.outlook
    if session.shape is None or outlook is None:
        return PlanLineView(clean_line(session.problem or facts.keys.fill("{model.choose} chooses a model")), "warn")
    if not outlook.fits:
        return PlanLineView(f"does not fit: {shortage(outlook, facts.plan.devices)}", "crit")
    if facts.differs:
        costs = _costs(facts)
        # With the number it must still fit 80 columns.
        why = "only the master restarts" if not costs[0] else "restarts the master"
        applies = facts.keys.fill("the plan differs from what runs: {cluster.apply} applies it")
        return PlanLineView(f"{applies}, {why}{costs[0]}", "warn", extra=costs[1])
    if facts.cluster.state is ClusterState.READY:
        applied = facts.cluster.applied
        # What this very launch taught is in `outlook` already: the difference is against what was forecast without.
        plain = forecast(
            session.shape, session.params(facts.plan), facts.plan.split, facts.plan.devices, build=session.build
        )
        off = differences(session.shape, plain, applied.measured, facts.plan.devices) if applied else []
        if off:
            return PlanLineView(f"not as forecast: {'; '.join(d.words for d in off)}", "warn")
        return _with_costs(facts.keys.fill("the plan is what runs · {pane.chat} chats"), facts)
    if session.cluster is None:
        return PlanLineView(clean_line(session.problem or "no llama.cpp was found"), "warn")
    context = f" with {facts.plan.ctx_size} tokens of context" if facts.plan.ctx_size else ""
    return _with_costs(f"the plan fits{context} · {facts.keys.fill('{cluster.start} starts it')}", facts)


def _with_costs(text: str, facts: Facts) -> PlanLineView:
    slower, roomier = _costs(facts)
    return PlanLineView(text + slower, "ok", extra=roomier)


def _what_if(facts: Facts) -> WhatIf | None:
    session = facts.session
    if session.shape is None:
        return None
    return what_if(session.shape, session.config.params, session.measured(facts.plan), build=session.build)


def _costs(facts: Facts) -> tuple[str, str]:
    """What this plan costs one stream against the planner's best, and where it leaves more room; empty when that
    cannot be known or is not worth a word."""
    found = _what_if(facts)
    if found is None or found.slower < _WORTH_A_WORD_PART:
        return "", ""
    roomier = ""
    if found.gained_bytes >= _MORE_ROOM_BYTES:
        roomier = f", {format_bytes(found.gained_bytes)} more free on {clean_line(found.roomier, 30)}"
    return f" · −{found.slower:.0%} decode", roomier


def explanation(facts: Facts) -> list[tuple[str, list[str]]]:
    """Headings with their lines: what this plan does, and what the planner would do and why. Takes a few searches."""
    session, plan = facts.session, facts.session.measured(facts.plan)
    shape = session.shape
    if shape is None:
        return [
            (
                "",
                [
                    clean_line(
                        session.problem or facts.keys.fill("Nothing to explain yet: {model.choose} chooses a model.")
                    )
                ],
            )
        ]
    params, build = session.config.params, session.build
    mine = PlanReport(shape, params, plan, build=build, learned=session.learned).explanation()
    if (costs := _what_if(facts)) is not None and costs.slower >= _WORTH_A_WORD_PART:
        mine.insert(1, f"The fastest split for one stream would be {costs.slower / (1 - costs.slower):.0%} faster.")
    parts = [("This plan", mine)]
    best = facts.wanted
    if best is not None:
        layers = [
            f"{clean_line(d.name, 30)} {n}"
            for d, n in zip(best.plan.devices, best.plan.split.layers, strict=True)
            if n or len(best.plan.devices) <= _FEW_DEVICES
        ]
        context = f" Context {best.plan.ctx_size}." if best.plan.ctx_size else ""
        same = not facts.plan.differs_from(best.plan.devices, best.plan.split)
        says = "The same." if same else f"{', '.join(layers)}, in this order.{context}"
        parts.append((f"The planner, for {facts.objective}", [says, *explain(shape, params, best, build=build)]))
    return parts


def commands(facts: Facts) -> tuple[str, list[tuple[str, str]]]:
    """Heading and command lines of what runs, else of what start would run."""
    cluster = facts.cluster
    if cluster.commands and cluster.processes and not facts.differs:
        names = [p.name for p in cluster.processes]
        return facts.keys.fill("What runs now. {commands.copy} copies it."), list(
            zip(names, cluster.commands, strict=False)
        )
    if facts.session.cluster is None or facts.session.shape is None:
        return clean_line(
            facts.session.problem or facts.keys.fill("Nothing to run yet: {model.choose} chooses a model.")
        ), []
    try:
        params = facts.session.params(facts.plan)
        plan = plan_launch(replace(facts.session.cluster, devices=facts.plan.devices, params=params), facts.plan.split)
    except HettuiError as error:
        return clean_line(str(error)), []
    heading = "What start would run. Ports that are taken are replaced by free ones. {commands.copy} copies it."
    return facts.keys.fill(heading), [(spec.name, shell_line(spec)) for spec in plan.processes]


def why_no_chat(cluster: ClusterSnapshot) -> str | None:
    """Why nothing can be asked now, with how far it is, and `{…}` for keys; None when the cluster is ready."""
    state, load = cluster.state, cluster.load
    if state is ClusterState.READY:
        return None
    if state is ClusterState.LOADING and load is not None:
        left = f", {format_seconds(load.left_s)} left" if load.left_s is not None else ""
        return f"the model is loading, {load.fraction:.0%}{left}: type, and send when it is ready"
    if state.busy:
        return f"the cluster is {state.value}: a question can be typed, and sent when it is ready"
    return f"the cluster is {state.value}: Esc, then {{cluster.start}} starts it"
