"""Facts into views: pure functions from session, plan, cluster and readings to what is drawn."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from hettui.domain.cluster.launch import plan_launch, shell_line
from hettui.domain.cluster.snapshot import ClusterSnapshot, ClusterState
from hettui.domain.devices.device import LOCAL
from hettui.domain.errors import HettuiError
from hettui.domain.library.fit import short_of_ram
from hettui.domain.memory.forecast import Forecast, forecast, shortage
from hettui.domain.memory.reconcile import differences
from hettui.domain.planner.explain import WORTH_TELLING, WhatIf, explain
from hettui.domain.session.doubts import not_counted, warnings
from hettui.domain.session.draft_gain import DraftGain, draft_gain
from hettui.domain.text import clean_line
from hettui.domain.units import MIB, figures, format_bytes, format_rate, format_seconds, missing_mib
from hettui.ui.presenting.cards import cards
from hettui.ui.presenting.contexts import explained, keeping
from hettui.ui.presenting.facts import USUAL_HISTORY_CELLS, Facts, History, why
from hettui.ui.presenting.views import HeaderView, LayerBarView, PlanLineView, TimeBarView

__all__ = [
    "USUAL_HISTORY_CELLS", "Facts", "History", "cards", "commands", "explanation", "header", "layer_bar", "plan_line",
    "time_bar",    "why", "why_no_chat",
]  # fmt: skip

_MORE_ROOM_BYTES = 100 * MIB
_FEW_DEVICES = 4
_PLANNING = " · … the planner searches, {back} stops it"
_NOTHING_KNOWN = " · which device is fast is not known before the first answer"


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
    return HeaderView(model, facts.cluster.state, facts.cluster.api or "", rate, mark, facts.differs)


def layer_bar(facts: Facts) -> LayerBarView:
    names = tuple(clean_line(d.name, 40) for d in facts.plan.devices)
    plan = facts.plan
    return LayerBarView(names, plan.split.layers, plan.split.host_layers, facts.selected, _colours(facts))


def _colours(facts: Facts) -> tuple[int, ...]:
    return tuple(facts.colours.get(d.name, 0) or 1 for d in facts.plan.devices)


def time_bar(facts: Facts) -> TimeBarView:
    """What a token's time is spent on: as measured while just this plan runs, else as it is planned."""
    names, found = tuple(clean_line(d.name, 40) for d in facts.plan.devices), facts.speed
    if found is None:
        return TimeBarView(names, selected=facts.selected, colours=_colours(facts))
    # Cards that share tensors work at once: their parts are more than the time there is.
    whole_s = max(found.token_s, sum(found.stages_s.values()))
    shares = tuple(found.stages_s.get(i, 0.0) / whole_s for i in range(len(names)))
    runs = facts.cluster.state is ClusterState.READY and not facts.differs
    if runs and facts.rate and found.measured:
        return TimeBarView(names, shares, 1 / facts.rate, "measured", facts.selected, _colours(facts))
    basis: Literal["planned", "by data"] = "planned" if found.measured else "by data"
    return TimeBarView(names, shares, found.token_s, basis, facts.selected, _colours(facts))


def plan_line(facts: Facts) -> PlanLineView:
    """The most urgent thing: what is typed, what fails, what loads, what does not fit, what differs."""
    cluster, before = facts.cluster, facts.keys.fill(f" · {facts.preflight}") if facts.preflight else ""
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
        return PlanLineView(text, "warn", load.fraction, extra=before)
    if cluster.state.busy:
        return PlanLineView(f"{cluster.state.value} …{before}", "warn")
    if cluster.state is ClusterState.FAILED and cluster.problem:
        more = facts.keys.fill("{cluster.post_mortem}: what happened · ") if cluster.post_mortem else ""
        return PlanLineView(more + clean_line(cluster.problem), "crit")
    return _with_faint(facts, about_the_plan(facts))


def _with_faint(facts: Facts, view: PlanLineView) -> PlanLineView:
    """A speed is only expected until this very split has answered."""
    answered = facts.cluster.state is ClusterState.READY and not facts.differs and facts.rate is not None
    found = None if answered or "tok/s" not in view.text else facts.costs
    return view if found is None else replace(view, faint=_rate(found))


def about_the_plan(facts: Facts) -> PlanLineView:
    session, outlook, workload = facts.session, facts.outlook, facts.session.workload_of(facts.plan)
    if workload is None or outlook is None:
        return PlanLineView(clean_line(session.problem or facts.keys.fill("{model.choose} chooses a model")), "warn")
    if not outlook.fits:
        return PlanLineView(f"does not fit: {shortage(outlook, facts.plan.devices)}", "crit")
    if not facts.cluster.processes and (short := _short_of_ram(facts, outlook)):
        return PlanLineView(f"does not fit: this machine's memory is short by {missing_mib(short)}", "crit")
    if facts.differs:
        costs = _costs(facts)
        if facts.closed:
            return PlanLineView("the plan differs from what runs" + costs[0], "warn", extra=costs[1])
        # With the numbers it must still fit 80 columns.
        applies, kept = facts.keys.fill("the plan differs: {cluster.apply} applies it"), keeping(facts)
        if kept is not None and kept.all_tokens:
            return PlanLineView(f"{applies} · {kept.words}", "warn", extra="".join(costs))
        return PlanLineView(applies + costs[0], "warn", extra=f", only the master restarts{costs[1]}")
    if facts.cluster.state is ClusterState.READY:
        applied = facts.cluster.applied
        # What this very launch taught is in `outlook` already: the difference is against what was forecast without.
        plain = forecast(workload, facts.plan.split, facts.plan.devices)
        off = differences(workload.shape, plain, applied.measured, facts.plan.devices) if applied else []
        if off:
            return PlanLineView(f"not as forecast: {'; '.join(d.words for d in off)}", "warn")
        gain = _gain(facts)
        if gain is not None and gain.costs and gain.without_per_second is not None:
            slower = f"{figures(gain.per_second)} tok/s with it, {figures(gain.without_per_second)} without"
            return PlanLineView(
                facts.keys.fill(f"the draft costs more than it brings ({slower}): {{model.draft}} takes it away"),
                "warn",
            )
        return _with_costs(facts.keys.fill("the plan is what runs · {pane.chat} chats"), facts)
    if session.cluster is None:
        return PlanLineView(clean_line(session.problem or "no llama.cpp was found"), "warn")
    if told := warnings(workload, facts.plan, facts.session.split_modes):
        return PlanLineView(told[0], "warn")
    context = f" with {facts.plan.ctx_size} tokens of context" if facts.plan.ctx_size else ""
    beside = [clean_line(one.option, 30) for one in not_counted(session.config.serving.extra_args, {})]
    without = f" ({', '.join(beside)} not counted)" if beside else ""
    return _with_costs(f"the plan fits{context}{without}{_starts(facts)}", facts)


def _gain(facts: Facts) -> DraftGain | None:
    applied = facts.cluster.applied
    drafts = applied is not None and applied.params is not None and applied.params.draft is not None
    return draft_gain(facts.answered, facts.speed) if drafts and not facts.differs else None


def _starts(facts: Facts) -> str:
    """How it is started, where it can be."""
    return "" if facts.closed else facts.keys.fill(" · {cluster.start} starts it")


def _short_of_ram(facts: Facts, outlook: Forecast) -> int:
    """By all that this process may take: what is free now is looked at when it is started."""
    session = facts.session
    ram = next((h.total_bytes for h in session.hardware if h.backend == "cpu" and h.host == LOCAL), None)
    return short_of_ram(facts.plan, outlook, ram)


def _with_costs(text: str, facts: Facts) -> PlanLineView:
    slower, roomier = _costs(facts)
    return PlanLineView(text + slower, "ok", extra=roomier)


def _costs(facts: Facts) -> tuple[str, str]:
    """How fast one stream is with this plan and with the planner's fastest split, and where that has less room."""
    found = facts.costs
    if found is None and facts.planning:
        return facts.keys.fill(_PLANNING), ""
    if found is None:
        return "", "" if facts.session.knows_speeds else _NOTHING_KNOWN
    now = _rate(found)
    if found.slower < WORTH_TELLING:
        return now, ""
    roomier = ""
    if found.gained_bytes >= _MORE_ROOM_BYTES:
        roomier = f", but {format_bytes(found.gained_bytes)} less free on {clean_line(found.roomier, 30)}"
    return facts.keys.fill(f"{now}, fastest {figures(found.fastest_per_second)}: {{plan.propose}}"), roomier


def _rate(found: WhatIf) -> str:
    """By data alone it is about so much."""
    return f" · {'' if found.measured else '~'}{figures(found.per_second)} tok/s"


def explanation(facts: Facts) -> list[tuple[str, list[str]]]:
    """Headings with their lines: what this plan does, and what the planner would do and why. Takes a few searches."""
    session, plan = facts.session, facts.measured
    workload = session.workload
    if workload is None:
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
    from hettui.domain.session.plan_report import PlanReport

    said = session.config.serving.extra_args
    mine = PlanReport(
        workload, plan, learned=session.learned, extra_args=said, file_bytes=session.file_bytes
    ).explanation()
    if (costs := facts.costs) is not None and costs.slower >= WORTH_TELLING:
        faster = costs.slower / (1 - costs.slower)
        fastest = figures(costs.fastest_per_second)
        mine.insert(1, f"The fastest split for one stream would be {faster:.0%} faster: {fastest} tokens a second.")
    parts = [("This plan", mine)]
    if (gain := _gain(facts)) is not None:
        advice = facts.keys.fill("It costs more than it brings: {model.draft} takes it away.") if gain.costs else ""
        parts.append(("The draft, in the last answer", [line for line in (f"{gain.words}.", advice) if line]))
    if lines := explained(facts):
        parts.append(("The context", lines))
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
        parts.append((f"The planner, for {facts.objective}", [says, *explain(workload, best)]))
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
    keeps = facts.session.config.keeping.on and "--slot-save-path" in facts.session.cluster.engine.options
    added = ", and --slot-save-path is added, for contexts" if keeps else ""
    heading = (
        f"What start would run. Ports that are taken are replaced by free ones{added}. {{commands.copy}} copies it."
    )
    return facts.keys.fill(heading), [(spec.name, shell_line(spec)) for spec in plan.processes]


def why_no_chat(cluster: ClusterSnapshot, *, closed: bool = False) -> str | None:
    """Why nothing can be asked now, with how far it is, and `{…}` for keys; None when the cluster is ready. `closed`:
    it cannot be started from here."""
    state, load = cluster.state, cluster.load
    if state is ClusterState.READY:
        return None
    if state is ClusterState.LOADING and load is not None:
        left = f", {format_seconds(load.left_s)} left" if load.left_s is not None else ""
        return f"the model is loading, {load.fraction:.0%}{left}: type, and send when it is ready"
    if state is ClusterState.LOOKING:
        return "what runs already is being looked for: type, and send when it is ready"
    if state.busy:
        return f"{state.said}: a question can be typed, and sent when it is ready"
    return state.said + ("" if closed else ": Esc, then {cluster.start} starts it")
