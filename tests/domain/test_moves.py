"""Moves of a running split, against trying them all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hettui.domain.devices.device import Device
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.split import Split
from hettui.domain.planner.moves import WORTH_A_MOVE, Move, Running, relief, rhythm
from hettui.domain.speed.pace import seconds_per_token
from hettui.domain.units import MIB
from tests import examples
from tests.fakes import shape

PARAMS = RuntimeParams(ctx_size=2048)
MODEL = shape(30, 60 * MIB, 180 * MIB)
"""2 GiB: of a smaller one starting the kernels takes most of the time."""
FAST, SLOW = 960.0, 100.0


def cards(*specs: tuple[int, float | None]) -> tuple[Device, ...]:
    """Budget in MiB and bandwidth in GB/s of each."""
    return tuple(
        Device(f"g{i}", backend="cuda", budget_bytes=mib * MIB, bandwidth_bytes_per_s=speed and speed * 1e9)
        for i, (mib, speed) in enumerate(specs)
    )


def running(devices: tuple[Device, ...], *layers: int) -> Running:
    return Running(Workload(MODEL, PARAMS), devices, Split(layers, 31))


def after(what: Running, giver: int, taker: int, count: int) -> tuple[int, ...]:
    layers = list(what.split.layers)
    layers[giver] -= count
    layers[taker] += count
    return tuple(layers)


def change(what: Running, layers: tuple[int, ...]) -> float | None:
    """None when it does not fit."""
    before = seconds_per_token(MODEL, what.devices, what.split.layers)
    then = seconds_per_token(MODEL, what.devices, layers)
    assert before is not None
    assert then is not None
    fits = forecast(what.workload, Split(layers, 31), what.devices).fits
    return then / before - 1 if fits else None


def test_the_shares_are_of_time_and_of_work() -> None:
    found = rhythm(running(cards((3000, FAST), (3000, SLOW)), 16, 15))
    assert found is not None
    assert sum(s.share for s in found.stages.values()) == pytest.approx(1)
    assert sum(s.work for s in found.stages.values()) == pytest.approx(1)
    assert found.slowest == 1
    # 15 of 31 layers, but with the output layer, which weighs as much as 3 blocks, more than half of the work.
    assert found.stages[1].work == pytest.approx(17 / 33, abs=0.01)
    assert found.stages[1].share > 0.8


def test_the_best_move_empties_the_slow_card_into_the_fast_one() -> None:
    found = rhythm(running(cards((3000, FAST), (3000, SLOW)), 16, 15))
    assert found is not None
    assert [(m.giver, m.taker, m.layers) for m in found.moves] == [(1, 0, 15)]


def test_no_more_than_fits() -> None:
    what = running(cards((1600, FAST), (3000, SLOW)), 10, 21)
    found = rhythm(what)
    assert found is not None
    ((move),) = found.moves
    assert 0 < move.layers < 21
    assert change(what, after(what, 1, 0, move.layers)) == pytest.approx(move.change)
    assert change(what, after(what, 1, 0, move.layers + 1)) is None
    before, then = (
        forecast(what.workload, Split(layers, 31), what.devices).devices[0].total_bytes
        for layers in (what.split.layers, after(what, 1, 0, move.layers))
    )
    assert move.more_bytes == then - before


@pytest.mark.parametrize(
    "what",
    [
        running(cards((3000, FAST), (3000, None)), 16, 15),
        running(cards((3000, FAST), (3000, SLOW)), 31, 0),
        running(cards((3000, FAST), (3000, SLOW)), 10, 15),
        replace(
            running(cards((3000, FAST), (3000, SLOW)), 16, 15), workload=Workload(MODEL, replace(PARAMS, n_cpu_moe=1))
        ),
    ],
    ids=["unknown speed", "one device", "the host computes", "experts on the host"],
)
def test_what_cannot_be_known_is_not_said(what: Running) -> None:
    assert rhythm(what) is None


def test_locks_missing_cards_and_unknown_budgets_are_respected() -> None:
    fast, slow = cards((3000, FAST), (3000, SLOW))
    for pair in (
        (replace(fast, locked=True), slow),
        (fast, replace(slow, locked=True)),
        (replace(fast, missing="not there"), slow),
        (replace(fast, budget_bytes=None), slow),
    ):
        found = rhythm(running(pair, 16, 15))
        assert found is not None
        assert found.moves == ()


specs = st.lists(st.tuples(st.integers(700, 3200), st.sampled_from([100.0, 336.0, 960.0])), min_size=2, max_size=3)


@pytest.mark.many
@settings(max_examples=examples.of(60), deadline=None)
@given(specs, st.data())
def test_no_move_of_the_slowest_is_better(given_specs: list[tuple[int, float]], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, 31), min_size=len(given_specs) - 1, max_size=len(given_specs) - 1)))
    layers = tuple(b - a for a, b in zip([0, *cuts], [*cuts, 31], strict=True))
    what = running(cards(*given_specs), *layers)
    found = rhythm(what)
    if found is None:
        assert sum(n > 0 for n in layers) < 2
        return
    for move in found.moves:
        assert change(what, after(what, move.giver, move.taker, move.layers)) == pytest.approx(move.change)
    tried = [
        c
        for taker in range(len(layers))
        for n in range(1, layers[found.slowest] + 1)
        if taker != found.slowest and (c := change(what, after(what, found.slowest, taker, n))) is not None
    ]
    best = min(tried, default=0.0)
    if best <= -WORTH_A_MOVE and change(what, layers) is not None:
        assert found.moves[0].change is not None
        assert found.moves[0].change <= best + 1e-9


def test_a_full_card_gives_one_layer_to_whoever_has_room() -> None:
    what = running(cards((3000, SLOW), (3000, FAST), (650, FAST)), 12, 19, 0)
    (move,) = relief(what, 0)
    assert (move.giver, move.taker, move.layers) == (0, 1, 1)
    assert move.change is not None
    assert move.change < 0
    assert relief(what, 2) == ()
    unknown = replace(what, devices=cards((3000, None), (3000, FAST), (650, FAST)))
    (move,) = relief(unknown, 0)
    assert move == Move(0, 1, 1, None, move.more_bytes)
