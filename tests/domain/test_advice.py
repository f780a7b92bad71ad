"""What would fit: every answer is tried, and the next larger one does not fit."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.costs import LayerCosts
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.split import Split
from hettui.domain.planner.advice import Question, Way, largest_context, obstacle, ways_to_fit
from hettui.domain.planner.objectives import fits_any_way
from hettui.domain.units import MIB
from tests import examples
from tests.fakes import shape, workers
from tests.truth.compare import shape_of


def asked(budgets: tuple[int, ...], layers: tuple[int, ...], **settings: object) -> Question:
    return Question(Workload(shape(), RuntimeParams(**settings), 11434), Split(layers, 31), workers(*budgets))  # type: ignore[arg-type]


def _with_context(question: Question, ctx_size: int) -> Workload:
    return question.workload.having(replace(question.workload.params, ctx_size=ctx_size))


@settings(max_examples=examples.of(25), deadline=None)
@given(st.integers(120, 400), st.integers(1, 4), st.booleans())
def test_the_largest_context_fits_and_the_next_one_does_not(budget: int, slots: int, unified: bool) -> None:
    question = asked((budget, 400), (15, 16), parallel=slots, kv_unified=unified)
    found = largest_context(question)
    step = 256 if unified else 256 * slots
    if found:
        assert question.fits(_with_context(question, found))
    if found + step <= question.workload.shape.n_ctx_train:
        assert not question.fits(_with_context(question, found + step))


def test_every_way_to_fit_fits() -> None:
    question = asked((175, 400), (20, 11), ctx_size=8192, parallel=2)
    assert not question.fits()
    ways = ways_to_fit(question)
    assert {"another split", "a q8_0 KV cache", "a smaller context"} <= {way.words.split(":")[0] for way in ways}
    _all_fit(question, ways)


def _all_fit(question: Question, ways: list[Way]) -> None:
    for way in ways:
        if way.split is None:
            assert fits_any_way(way.workload, question.devices)
        else:
            assert question.fits(way.workload, way.split)


def test_a_model_that_is_too_large_would_fit_with_fewer_bits() -> None:
    model = shape_of("llama-8b", 32)
    question = Question(Workload(model, RuntimeParams(ctx_size=1024), 11434), Split((16, 17), 33), workers(1900, 1900))
    ways = ways_to_fit(question)
    assert ways[0].words.startswith("the model quantised to about ")
    _all_fit(question, ways)


@pytest.mark.parametrize(
    ("budgets", "locks", "sentence"),
    [
        ((), {}, "There is no device"),
        ((240, 240), {0: 20, 1: 20}, "The locks ask for more than the 31 layers there are: d0 20, d1 20."),
        ((60, 400), {0: 20}, "d0 is locked at 20 layers, but at most "),
        ((150, 150), {0: 1}, "With the locks (d0) no split fits; without them one does."),
        ((10, 20), {}, "No device can hold even one block: it takes "),
        ((60, 60), {}, "The devices can hold at most "),
        ((240, 240), {}, None),
    ],
)
def test_the_obstacle_in_one_sentence(budgets: tuple[int, ...], locks: dict[int, int], sentence: str | None) -> None:
    question = asked(budgets, tuple(0 for _ in budgets))
    devices = [replace(d, locked=i in locks, layers=locks.get(i)) for i, d in enumerate(question.devices)]
    found = obstacle(replace(question, devices=devices))
    if sentence is None:
        assert found is None
    else:
        assert found is not None
        assert found.startswith(sentence)


def test_an_output_layer_that_fits_nowhere_is_named() -> None:
    model = Workload(shape(vocab_bytes=300 * MIB), RuntimeParams(), 11434)
    found = obstacle(Question(model, Split((16, 15), 31), workers(250, 250)))
    assert found is not None
    assert found.startswith("No device can hold the output layer: it takes 300 MiB")


@pytest.mark.parametrize("budgets", [(60, 60), (80, 60), (100, 90, 50), (70, 40), (50, 120)])
def test_what_the_devices_can_hold_is_blocks_and_the_output_layer(budgets: tuple[int, ...]) -> None:
    question = asked(budgets, tuple(0 for _ in budgets))
    said = obstacle(question) or ""
    held = [int(n) for n in re.findall(r"d\d (\d+)", said)]
    assert f"at most {sum(held)} of the 30 blocks" in said
    end = next(i for i, part in enumerate(said.split(", ")) if "and the output layer" in part)
    costs = LayerCosts(question.workload, question.devices, several=True)

    def fits(index: int, blocks: int) -> bool:
        """One device by itself, the best run of so many blocks; the one at the end with the output layer."""
        if index == end:
            return costs.held_bytes(index, 30 - blocks, 30) <= budgets[index] * MIB
        runs = (costs.held_bytes(index, first, first + blocks - 1) for first in range(31 - blocks))
        return not blocks or min(runs) <= budgets[index] * MIB

    for index, count in enumerate(held):
        assert fits(index, count)
        assert not fits(index, count + 1)


@pytest.mark.parametrize("slots", [1, 3])
def test_a_plan_that_fits_at_the_training_length_says_that(slots: int) -> None:
    question = asked((4000, 4000), (15, 16), parallel=slots)
    step = 256 * slots
    assert largest_context(question) == question.workload.shape.n_ctx_train // step * step
