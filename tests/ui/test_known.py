"""What the screen knows, without a screen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hettui.domain.chat.wire import Timings
from hettui.domain.cluster.snapshot import ClusterSnapshot, ClusterState
from hettui.domain.plan.plan import History, Plan
from hettui.domain.plan.split import HOST, Split
from hettui.domain.telemetry.readings import DeviceSample, TelemetrySnapshot
from hettui.domain.units import MIB
from hettui.services.events import ChatEnded, ChatProgressed, ChatWaiting
from hettui.ui.presenting.known import Known
from hettui.ui.presenting.presenter import cards, header
from tests.fakes import workers
from tests.ui.stage import readings, running, session


def known() -> Known:
    return Known(session(), ClusterSnapshot())


def progress(tokens: int, elapsed_s: float) -> ChatProgressed:
    return ChatProgressed("text", "", tokens, elapsed_s)


def test_facts_are_the_same_until_something_changes() -> None:
    made = known()
    facts = made.facts()
    assert made.facts() is facts
    assert facts.outlook is made.facts().outlook
    made.editor = made.editor.choosing(0)
    assert made.facts() is facts, "what comes out the same is the same"
    made.editor = made.editor.shifted(1)
    moved = made.facts()
    assert moved is not facts
    assert moved.plan == made.plan
    assert made.facts(mark="REC") is not moved
    assert made.facts(history_cells=7).history_cells == 7


def test_everything_that_arrives_makes_other_facts() -> None:
    made = known()
    seen = [made.facts()]
    made.take_cluster(running(made.plan))
    seen.append(made.facts())
    made.take_readings(readings(made.plan.devices).snapshot)
    seen.append(made.facts())
    made.take_chat(progress(11, 2.0))
    seen.append(made.facts())
    made.editor = made.editor.with_digit("7")
    seen.append(made.facts())
    made.editor = made.editor.finding_begun()
    seen.append(made.facts())
    assert len({id(facts) for facts in seen}) == len(seen)
    assert (seen[1].cluster.state, seen[2].telemetry) == (ClusterState.READY, made.telemetry)
    assert (seen[3].rate, seen[3].generating, seen[4].typed) == (5.0, True, "7")
    assert seen[5].finding is not None


def test_another_reading_is_other_facts_even_when_it_reads_the_same() -> None:
    made = known()
    made.take_readings(readings(made.plan.devices).snapshot)
    facts = made.facts()
    made.take_readings(readings(made.plan.devices).snapshot)
    assert made.facts() is not facts, "what a launch has taught meanwhile is told by the next reading"
    assert facts.histories["big"].sample is not None


def test_a_device_without_a_sample_keeps_its_last_one() -> None:
    made = known()
    made.take_readings(readings(made.plan.devices).snapshot)
    sample = made.facts().histories["big"].sample
    made.take_readings(TelemetrySnapshot(2.0, 1.0, {}))
    assert made.facts().histories["big"].sample is sample


def test_the_rate_is_the_running_answers_else_the_last_ones() -> None:
    made = known()
    made.take_cluster(running(made.plan))
    assert made.take_chat(progress(1, 0.5)), "an answer has begun"
    assert made.facts().rate is None, "one token has no rate"
    assert not made.take_chat(progress(21, 4.0))
    assert made.facts().rate == 5.0
    assert made.take_chat(ChatEnded(Timings(generated_per_second=6.5)))
    assert (made.facts().rate, made.generating) == (6.5, False)
    assert made.take_chat(ChatEnded(None, problem="gone")), "an end always counts"
    assert made.facts().rate == 6.5
    assert not made.take_chat(ChatWaiting("waits"))


def _restarted(snapshot: ClusterSnapshot) -> ClusterSnapshot:
    """The same plan, and another process that answers."""
    processes = tuple(replace(p, pid=1000) if p.role == "master" else p for p in snapshot.processes)
    return replace(snapshot, processes=processes)


@pytest.mark.parametrize("between", [True, False], ids=["each state", "passed over"])
@pytest.mark.parametrize("what", ["another split", "another context", "another model", "the same again"])
def test_a_rate_is_of_what_answered_it(what: str, between: bool) -> None:
    """The newest word of the cluster replaces older ones: the states in between may never be seen."""
    made = known()
    ready = running(made.plan)
    applied = ready.applied
    assert applied is not None
    made.take_cluster(ready)
    made.take_chat(progress(21, 4.0))
    made.take_cluster(replace(ready, api="http://127.0.0.1:8081"))
    assert header(made.facts()).rate == "5.0 tok/s", "nothing that answers has changed"
    if between:
        made.take_cluster(replace(ready, state=ClusterState.LOADING))
    after = _restarted(ready)
    match what:
        case "another split":
            after = replace(after, applied=replace(applied, split=Split((1, 1, 29), 31)))
        case "another context":
            after = replace(after, applied=replace(applied, ctx_size=512))
        case "another model":
            after = replace(after, applied=replace(applied, model_path="/models/other.gguf"))
    made.take_cluster(after)
    facts = made.facts()
    assert (facts.rate, header(facts).rate, facts.generating) == (None, "", False)


def test_after_a_stop_the_end_of_the_answer_that_it_cut_has_no_rate() -> None:
    made = known()
    made.take_cluster(running(made.plan))
    made.take_chat(progress(21, 4.0))
    made.take_cluster(ClusterSnapshot(ClusterState.STOPPING))
    made.take_chat(progress(25, 5.0))
    made.take_chat(ChatEnded(Timings(generated_per_second=6.5)))
    made.take_cluster(_restarted(running(made.plan)))
    assert made.facts().rate is None


def test_the_rate_of_another_model_is_none() -> None:
    made = known()
    made.take_cluster(running(made.plan))
    made.take_chat(progress(21, 4.0))
    made.use_model(made.session, made.plan)
    assert made.facts().rate == 5.0
    other = replace(made.session, config=replace(made.session.config, model_path="/models/other.gguf"))
    made.use_model(other, made.plan)
    assert made.facts().rate is None


def test_the_host_holds_nothing_once_its_master_has_ended() -> None:
    """Nobody is asked for it then: what it held last must not stay."""
    made = known()
    made.take_cluster(running(made.plan))
    told = readings(made.plan.devices).snapshot
    host = DeviceSample(used_bytes=300 * MIB, own_bytes=300 * MIB, utilisation_percent=250.0, temperature_c=60.0)
    made.take_readings(replace(told, samples={**told.samples, "host": host}))
    assert cards(made.facts())[-1].own_bytes == 300 * MIB
    made.take_cluster(ClusterSnapshot())
    made.take_readings(readings(made.plan.devices, 2).snapshot)
    card = cards(made.facts())[-1]
    assert (card.sample, card.own_bytes, card.stale_s) == (None, None, None)


def test_only_another_state_of_the_cluster_is_news() -> None:
    made = known()
    ready = running(made.plan)
    assert made.take_cluster(ready)
    assert not made.take_cluster(replace(ready, api="http://127.0.0.1:8081"))
    assert made.cluster.api == "http://127.0.0.1:8081"
    assert made.take_cluster(ClusterSnapshot())


def test_another_model_begins_a_history_of_its_own() -> None:
    made = known()
    made.editor = made.editor.choosing(2).shifted(1)
    other = replace(session(), demo=False)
    plan = Plan(other.devices, Split((1, 1, 1), 3))
    made.use_model(other, plan)
    assert (made.session, made.plan, made.editor.history, made.editor.selected) == (other, plan, History(), 2)


def test_what_a_recording_leaves_behind_is_forgotten() -> None:
    made = known()
    made.take_readings(readings(made.plan.devices).snapshot)
    made.take_chat(progress(11, 2.0))
    made.forget()
    facts = made.facts()
    assert (facts.telemetry, facts.rate, facts.histories) == (None, None, {})


def test_without_a_model_all_layers_are_none() -> None:
    bare = Known(replace(session(workers(10, 10)), shape=None), ClusterSnapshot())
    assert bare.plan == Plan(bare.session.devices, Split((0, 0), 0))
    nothing = Known(replace(session(()), shape=None), ClusterSnapshot())
    assert nothing.editor.selected == HOST


def test_a_reading_works_nothing_out_again_that_the_plan_alone_decides() -> None:
    made = known()
    first = made.facts()
    worked_out = first.outlook, first.keys, first.costs, first.colours
    made.take_readings(readings(made.plan.devices).snapshot)
    second = made.facts()
    assert second is not first
    kept = second.outlook, second.keys, second.costs, second.colours
    assert all(a is b for a, b in zip(kept, worked_out, strict=True))


def test_what_is_learned_and_another_plan_are_worked_out_anew() -> None:
    made = known()
    before = made.facts().outlook
    assert before is not None
    made.session.learned.overhead["another card"] = 7
    made.take_readings(readings(made.plan.devices).snapshot)
    learned = made.facts()
    assert learned.outlook is not before
    assert learned.outlook == before
    made.editor = made.editor.choosing(0).shifted(-1)
    assert made.facts().outlook != before
