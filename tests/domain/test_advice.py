"""What would fit: every answer is tried, and the next larger one does not fit."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hettui.domain.advice import Question, largest_context, ways_to_fit
from hettui.domain.params import RuntimeParams
from hettui.domain.split import Split
from tests.fakes import shape, workers


def asked(budgets: tuple[int, ...], layers: tuple[int, ...], **settings: object) -> Question:
    return Question(shape(), RuntimeParams(**settings), Split(layers, 31), workers(*budgets), 11434)  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None)
@given(st.integers(120, 400), st.integers(1, 4), st.booleans())
def test_the_largest_context_fits_and_the_next_one_does_not(budget: int, slots: int, unified: bool) -> None:
    question = asked((budget, 400), (15, 16), parallel=slots, kv_unified=unified)
    found = largest_context(question)
    step = 256 if unified else 256 * slots
    if found:
        assert question.fits(replace(question.params, ctx_size=found))
    if found + step <= question.shape.n_ctx_train:
        assert not question.fits(replace(question.params, ctx_size=found + step))


def test_every_way_to_fit_fits() -> None:
    question = asked((175, 400), (20, 11), ctx_size=8192, parallel=2)
    assert not question.fits()
    ways = ways_to_fit(question)
    assert {"another split", "a q8_0 KV cache", "a smaller context"} <= {way.words.split(":")[0] for way in ways}
    assert all(question.fits(way.params, way.split) for way in ways)


def test_what_nothing_helps_has_no_way() -> None:
    assert ways_to_fit(asked((10, 10), (15, 16))) == []


@pytest.mark.parametrize("slots", [1, 3])
def test_a_plan_that_fits_at_the_training_length_says_that(slots: int) -> None:
    question = asked((4000, 4000), (15, 16), parallel=slots)
    step = 256 * slots
    assert largest_context(question) == question.shape.n_ctx_train // step * step
