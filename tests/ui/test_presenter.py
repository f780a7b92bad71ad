"""What the cards say about the forecast itself."""

from __future__ import annotations

from dataclasses import replace

from hettui.domain.cluster.launch import worker_name
from hettui.domain.cluster.process import ProcessState
from hettui.domain.cluster.snapshot import Applied, ClusterSnapshot, ClusterState, ProcessSnapshot
from hettui.domain.config.values import Config
from hettui.domain.devices.device import Device
from hettui.domain.memory.forecast import Memory
from hettui.domain.memory.workload import Workload
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.planner.learned import launch_key
from hettui.domain.session.session import Session
from hettui.domain.telemetry.readings import DeviceSample, TelemetrySnapshot, Throttle
from hettui.domain.units import MIB
from hettui.ui.drawing.card_rows import Frame, device_rows
from hettui.ui.drawing.layout import Form
from hettui.ui.presenting.facts import History
from hettui.ui.presenting.presenter import Facts, cards, plan_line, time_bar, why, why_no_chat
from tests.fakes import cluster, shape, workers
from tests.ui.stage import card_session


def facts(architecture: str) -> Facts:
    file = shape().file
    metadata = {k.replace("llama.", f"{architecture}."): v for k, v in file.metadata.items()}
    model = ModelShape.of(replace(file, metadata=metadata | {"general.architecture": architecture}))
    session = Session(Config(), (), workers(400, 400), None, model)
    return Facts(session, Plan(session.devices, Split((11, 20), 31)), ClusterSnapshot())


def test_a_known_architecture_needs_no_note() -> None:
    assert [card.note for card in cards(facts("llama"))[:2]] == ["", ""]


def test_an_unknown_architecture_is_marked_until_it_was_measured() -> None:
    strange = facts("[/]mystery")
    assert all("does not know this architecture" in card.note for card in cards(strange)[:2])
    session, plan = strange.session, strange.plan
    assert session.shape is not None
    key = launch_key(Workload(session.shape, session.config.params, session.build), plan.devices, plan.split)
    session.learned.add_launch(key, {"d0": Memory(), "d1": Memory(), "host": Memory()}, ["d0", "d1"])
    # Facts are of one moment: the next ones know it.
    assert [card.note for card in cards(replace(strange))[:2]] == ["", ""]


def test_a_plan_that_is_slower_than_the_best_says_by_how_much() -> None:
    devices = tuple(
        Device(f"g{i}", backend="cuda", budget_bytes=1500 * MIB, bandwidth_bytes_per_s=speed)
        for i, speed in enumerate((960e9, 100e9))
    )
    session = Session(Config(), (), devices, cluster(devices), shape())
    for layers, words in (((0, 31), "s starts it · ~263 tok/s, fastest 378: p"), ((31, 0), "s starts it · ~378 tok/s")):
        facts = Facts(session, Plan(devices, Split(layers, 31)), ClusterSnapshot())
        line = plan_line(facts).text
        assert words in line
        assert ("fastest" in line) == ("fastest" in words)
        assert len(line) <= 80


def test_where_nothing_can_be_started_no_key_is_said_to_start_it() -> None:
    devices = workers(400, 400)
    opened = Session(Config(), (), devices, cluster(devices), shape())
    told = Facts(opened, Plan(devices, Split((11, 20), 31)), ClusterSnapshot())
    assert "s starts it" in plan_line(told).text
    assert plan_line(replace(told, closed=True)).text.startswith("the plan fits")
    assert "starts" not in plan_line(replace(told, closed=True)).text
    runs = ClusterSnapshot(ClusterState.READY, applied=Applied(devices, Split((10, 21), 31)))
    assert "a applies it" in plan_line(replace(told, cluster=runs)).text
    assert plan_line(replace(told, cluster=runs, closed=True)).text.startswith("the plan differs")
    assert "applies" not in plan_line(replace(told, cluster=runs, closed=True)).text
    assert why_no_chat(ClusterSnapshot()) == "the cluster is stopped: Esc, then {cluster.start} starts it"
    assert why_no_chat(ClusterSnapshot(), closed=True) == "the cluster is stopped"


def test_a_difference_is_told_although_the_launch_has_taught_it() -> None:
    devices = workers(400, 400)
    session, split = Session(Config(), (), devices, cluster(devices), shape()), Split((11, 20), 31)
    plan = Plan(devices, split)
    outlook = session.forecast(plan)
    assert outlook is not None
    heavier = replace(outlook.devices[1], compute_bytes=outlook.devices[1].compute_bytes + 50 * MIB)
    measured = {"d0": outlook.devices[0], "d1": heavier, "host": outlook.host}
    assert session.shape is not None
    key = launch_key(Workload(session.shape, session.config.params, session.build), devices, split)
    session.learned.add_launch(key, measured, ["d0", "d1"])
    snapshot = ClusterSnapshot(state=ClusterState.READY, applied=Applied(devices, split, measured))
    line = plan_line(Facts(session, plan, snapshot)).text
    assert line.startswith("not as forecast: d1:")
    assert "compute buffer" in line


def test_why_comes_after_what_is_worse_and_before_doubt() -> None:
    strange = facts("mystery")
    plan = replace(strange.plan, devices=tuple(replace(d, backend="cuda") for d in strange.plan.devices))
    hot = DeviceSample(throttles=(Throttle.HOT,))
    told = replace(strange, plan=plan)
    assert "does not know" in cards(told)[0].note
    for second in range(4):
        told = replace(told, telemetry=TelemetrySnapshot(second, 1.0, {"d0": hot, "d1": hot}))
        told = replace(told, why=why(told))
    assert [card.note for card in cards(told)[:2]] == ["too hot: the driver lowers its clocks"] * 2
    ended = ProcessSnapshot(worker_name(plan.devices[0]), "worker", ProcessState.FAILED, detail="it ended")
    absent = replace(plan, devices=(plan.devices[0], replace(plan.devices[1], missing="not there")))
    worse = replace(told, plan=absent, cluster=ClusterSnapshot(processes=(ended,)))
    assert [card.note for card in cards(worse)[:2]] == ["it ended", "R looks again · not there"]


def test_slow_readings_are_waited_for() -> None:
    told = facts("llama")
    plan = replace(told.plan, devices=tuple(replace(d, backend="cuda") for d in told.plan.devices))
    told, notes = replace(told, plan=plan), []
    for second in (0, 10, 20, 30):
        sample = DeviceSample(throttles=(Throttle.HOT,))
        told = replace(told, telemetry=TelemetrySnapshot(second, 10.0, {"d0": sample}))
        told = replace(told, why=why(told))
        notes.append(bool(told.why.shown("d0")))
    assert notes == [False, False, True, True]


def test_the_plan_differs_from_what_runs_with_another_model_or_other_settings() -> None:
    devices = workers(400, 400)
    session, split = Session(Config(), (), devices, cluster(devices), shape()), Split((11, 20), 31)
    assert session.cluster is not None
    runs = Applied.of(session.cluster, split)
    others = {
        "another model": replace(runs, model_path="/models/other.gguf"),
        "other settings": replace(runs, params=replace(session.config.params, cache_type_k="q8_0")),
        "another context": replace(runs, params=None, ctx_size=512),
        "another split": replace(runs, split=Split((12, 19), 31)),
    }

    def differs(applied: Applied) -> bool:
        snapshot = ClusterSnapshot(state=ClusterState.READY, applied=applied)
        return Facts(session, Plan(devices, split), snapshot).differs

    assert not differs(runs)
    # Of an older recording: what is not known does not differ.
    assert not differs(replace(runs, model_path=None, params=None, ctx_size=None))
    assert {what for what, applied in others.items() if differs(applied)} == set(others)


def test_a_card_that_sleeps_says_so() -> None:
    told = facts("llama")
    devices = tuple(replace(d, backend="cuda") for d in told.plan.devices)
    told = replace(told, plan=replace(told.plan, devices=devices))
    sample, history = DeviceSample(asleep=True), History()
    history.push(5.0, sample)
    snapshot = TelemetrySnapshot(5.0, 1.0, {"d0": sample})
    asleep, awake = cards(replace(told, telemetry=snapshot, histories={"d0": history}))[:2]
    assert (asleep.role, asleep.note_role) == ("worker, asleep", "dim")
    assert asleep.note.startswith("asleep")
    assert awake.role == "worker"
    for form in (Form.COMPACT, Form.CARD, Form.TALL):
        rows = device_rows(asleep, Frame(form, 60, 6))
        assert "asleep" in "".join(text for row in rows for text, _ in row)


def test_cards_that_share_tensors_say_how_much_of_them_is_theirs() -> None:
    session = card_session()
    plan = Plan(session.devices, Split((28, 21, 0), 49), changed=(("split_mode", "tensor"),))
    told = Facts(session, plan, ClusterSnapshot())
    first, second, idle, host = cards(told)
    assert (first.role, second.role, idle.role) == ("57 % of each tensor", "43 % of each tensor", "attached")
    assert [c.output for c in (first, second, idle, host)] == [False] * 4
    assert first.experts is None
    assert first.memory.weights_bytes > second.memory.weights_bytes > 7000 * MIB
    assert idle.memory.total_bytes == 0
    # They compute at once: each for most of the token's time, and in the bar for its part of what is computed.
    assert first.share is not None
    assert second.share is not None
    assert first.share + second.share > 1
    assert abs(sum(time_bar(told).shares) - 1) < 1e-9
