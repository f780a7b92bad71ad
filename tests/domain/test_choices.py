"""The plans to choose from: what each says is what it is, and everything that a text suggests is among them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hettui.domain.config.values import Config
from hettui.domain.errors import ConfigError
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.context import context_size
from hettui.domain.plan.difference import changes
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.session.choices import ANOTHER_MODEL, Choice, alike, queries
from hettui.domain.session.plan_report import PlanReport
from hettui.domain.session.session import Session, runnable
from hettui.domain.telemetry.why import Shift
from hettui.domain.units import MIB
from tests.fakes import workers
from tests.truth.compare import shape_of
from tests.ui.stage import card_session
from tests.ui.stage import session as stage_session


def told(session: Session, plan: Plan, *shifts: Shift) -> dict[str, Choice]:
    return {choice.title: choice for query in queries(session, plan, shifts) for choice in query.answers()}


def opened(params: RuntimeParams | None = None, budgets_mib: tuple[int, ...] = (15155, 11469, 5427)) -> Session:
    session = card_session()
    devices = tuple(replace(d, budget_bytes=n * MIB) for d, n in zip(session.devices, budgets_mib, strict=True))
    config = session.config if params is None else Config(model_path=session.config.model_path, params=params)
    return replace(session, devices=devices, config=config)


def plan_of(session: Session) -> Plan:
    plan = session.initial_plan
    assert plan is not None
    return plan


def test_every_aim_every_device_and_experts_are_there() -> None:
    session = opened()
    found = told(session, plan_of(session))
    assert list(found) == [
        "fastest for one stream", "best for many streams", "most even", "largest context", "larger context only",
        "without RTX 3060", "without RTX 5080", "with GTX 1660 SUPER again",
        "tensors shared by the cards", "experts on the host",
    ]  # fmt: skip
    assert told(opened(RuntimeParams(8192, parallel=3)), plan_of(session)).keys() >= {"best for 3 streams"}


def test_what_a_choice_says_is_what_its_plan_gives() -> None:
    session = opened()
    plan = plan_of(session)
    for choice in told(session, plan).values():
        assert choice.plan is not None
        assert [d.name for d in choice.plan.devices] != []
        assert {d.name for d in choice.plan.devices} == {d.name for d in plan.devices}, "no device is lost"
        outlook, workload = session.forecast(choice.plan), session.workload_of(choice.plan)
        assert outlook is not None
        assert workload is not None
        assert choice.fits == outlook.fits
        assert choice.ctx_size == context_size(workload)
        left = {
            d.name: (d.budget_bytes or 0) - m.total_bytes
            for d, m in zip(choice.plan.devices, outlook.devices, strict=True)
            if m.total_bytes
        }
        assert choice.fullest == min(left.items(), key=lambda one: one[1])


def test_the_fastest_is_no_slower_and_the_largest_context_no_smaller_than_any_other() -> None:
    session = opened()
    found = [choice for choice in told(session, plan_of(session)).values() if choice.fits]
    named = {choice.title: choice for choice in found}
    speeds = [c.speed.per_second for c in found if c.speed is not None]
    fastest = named["fastest for one stream"].speed
    assert fastest is not None
    assert fastest.per_second >= max(speeds) * (1 - 1e-9)
    assert named["largest context"].ctx_size == max(c.ctx_size or 0 for c in found)


def test_without_a_device_it_holds_nothing_and_with_it_again_something() -> None:
    session = opened()
    found = told(session, plan_of(session))
    for title, name, holds in [
        ("without RTX 5080", "RTX 5080", False),
        ("with GTX 1660 SUPER again", "GTX 1660 SUPER", True),
    ]:
        plan = found[title].plan
        assert plan is not None
        held = dict(zip((d.name for d in plan.devices), plan.split.layers, strict=True))
        assert bool(held[name]) is holds
        assert not any(d.locked for d in plan.devices)


@pytest.mark.many
def test_whatever_makes_it_fit_by_the_report_can_be_taken() -> None:
    session = opened(RuntimeParams(65536, parallel=4), (9000, 7000, 4000))
    layers = session.shape.layers if session.shape else 0
    plan = Plan(session.devices, Split((layers - 20, 15, 5), layers))
    assert session.workload is not None
    ways = PlanReport(session.workload, plan).ways_to_fit
    assert ways, "or this test is about nothing"
    found = told(session, plan)
    for way in ways:
        choice = found[way.words.partition(", with ")[0]]
        if choice.action == ANOTHER_MODEL:
            continue
        assert choice.plan is not None
        assert choice.fits, way.words
        assert choice.plan.changed or way.words.startswith(("another split", "the first", "everything"))


def test_where_only_a_smaller_model_helps_it_leads_to_the_models() -> None:
    session = stage_session(workers(9000, 3000, 2000), shape_of("qwen3moe", 48))
    found = told(session, plan_of(session))
    smaller = [choice for title, choice in found.items() if title.startswith("the model quantised")]
    assert [choice.action for choice in smaller] == [ANOTHER_MODEL]


def test_cards_can_share_tensors_and_it_is_said_to_be_unverified() -> None:
    session = opened()
    plan = plan_of(session)
    choice = told(session, plan)["tensors shared by the cards"]
    assert choice.plan is not None
    assert session.params(choice.plan).split_mode == "tensor"
    assert "split-mode layer → tensor" in changes(plan, choice.plan, session.config.params)
    assert choice.fits
    assert "not verified" in choice.said
    assert choice.speed is not None
    # The faster card gets more, and every card that is used is in it.
    held = dict(zip((d.name for d in choice.plan.devices), choice.plan.split.layers, strict=True))
    assert held["RTX 5080"] > held["RTX 3060"] >= held["GTX 1660 SUPER"] > 0
    assert runnable(session, choice.plan).params.split_mode == "tensor"
    back = told(session, choice.plan)
    assert "tensors shared by the cards" not in back
    assert back["whole layers on each card"].plan is not None
    assert session.params(back["whole layers on each card"].plan or plan).split_mode == "layer"


def test_tensors_are_not_shared_where_that_cannot_be() -> None:
    title, session = "tensors shared by the cards", opened()
    # Too small for all of it.
    small = opened(budgets_mib=(6000, 4000, 3000))
    assert title not in told(small, Plan(small.devices, Split((16, 16, 16), 49)))
    # A build that does not know it.
    assert session.cluster is not None
    engine = replace(session.cluster.engine, split_modes=frozenset({"layer", "row"}))
    older = replace(session, cluster=replace(session.cluster, engine=engine))
    assert title not in told(older, plan_of(older))
    shared = replace(plan_of(older), changed=(("split_mode", "tensor"),))
    with pytest.raises(ConfigError, match="this llama.cpp does not have it"):
        runnable(older, shared)
    # One card, and workers.
    far = replace(session, devices=(session.devices[0], *(replace(d, via="worker") for d in session.devices[1:])))
    plan = Plan(far.devices, Split((25, 20, 4), 49))
    assert title not in told(far, plan)
    with pytest.raises(ConfigError, match="RTX 3060 is a worker"):
        runnable(far, replace(plan, changed=(("split_mode", "tensor"),)), force=True)


def test_a_move_that_a_card_proposes_is_a_choice() -> None:
    session = opened()
    plan = plan_of(session)
    giver, taker = (d.name for d in plan.devices[:2])
    (choice,) = (c for t, c in told(session, plan, Shift(giver, taker, 2)).items() if t.startswith("2 layers from"))
    assert choice.plan is not None
    assert choice.plan.split.layers == (plan.split.layers[0] - 2, plan.split.layers[1] + 2, *plan.split.layers[2:])
    assert told(session, plan, Shift("gone", taker, 2)).keys() == told(session, plan).keys()


def test_without_a_model_there_is_nothing_to_choose() -> None:
    session = replace(opened(), shape=None)
    assert queries(session, Plan(session.devices, Split((0, 0, 0), 0))) == []


def test_two_that_come_to_the_same_plan_know_it() -> None:
    session = opened()
    plan = plan_of(session)
    found = [Choice("a", plan), Choice("b", plan), Choice("c", plan.evened())]
    assert [one and one.title for one in (alike(found, c) for c in found)] == [None, "a", None]


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (lambda p: p, []),
        (lambda p: p.with_layers(0, 12), ["RTX 3060 13 → 12", "RTX 5080 36 → 37"]),
        (lambda p: replace(p, ctx_size=4096), ["ctx-size 8192 → 4096"]),
        (lambda p: p.with_device_moved(0, 1), ["order RTX 5080, RTX 3060"]),
        (lambda p: p.with_away(0, 3, "experts"), ["experts of 0 → 3 blocks in RAM"]),
        (lambda p: p.with_settings(RuntimeParams(8192), RuntimeParams(8192, kv_unified=True)), ["kv-unified off → on"]),
    ],
)  # fmt: skip
def test_what_would_change(after: object, words: list[str]) -> None:
    session = opened()
    plan = plan_of(session)
    assert changes(plan, after(plan), session.config.params) == words  # type: ignore[operator]
