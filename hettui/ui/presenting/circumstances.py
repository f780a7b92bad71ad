"""Facts into the situation that decides which actions make sense: what is planned, what runs, what is selected."""

from __future__ import annotations

from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.memory.forecast import shortage
from hettui.domain.plan.plan import History
from hettui.domain.plan.split import HOST
from hettui.domain.screen.situation import Situation
from hettui.domain.text import clean_line
from hettui.ui.presenting.presenter import Facts

_NO_BINARIES = "no llama.cpp was found: set [llama-cpp] bin, or put llama-server on PATH"


def situation(facts: Facts, history: History, *, refusal: str, short: bool) -> Situation:
    """Without what only panes know. `refusal` is why nothing may be changed here; `short`: the plan does not fit."""
    session, plan, cluster = facts.session, facts.plan, facts.cluster
    on_host = facts.selected == HOST
    outlook = facts.outlook if short else None
    return Situation(
        state=cluster.state,
        processes=bool(cluster.processes),
        can_cut=cluster.waiting is not None and cluster.waiting.can_cut,
        refusal=clean_line(refusal),
        experts=facts.session.shape is not None and bool(facts.session.shape.movable),
        model=session.shape is not None,
        problem="" if session.cluster is not None else clean_line(session.problem or _NO_BINARIES),
        shortage=shortage(outlook, plan.devices) if outlook is not None else "",
        differs=cluster.state is ClusterState.READY and facts.differs,
        post_mortem=cluster.post_mortem is not None,
        selected_name="the CPU" if on_host else clean_line(plan.devices[facts.selected].name, 40),
        selected_is_host=on_host,
        selected_locked=not on_host and plan.devices[facts.selected].locked,
        selected_place=facts.selected,
        devices=len(plan.devices),
        undo=history.undo_words,
        redo=history.redo_words,
    )
