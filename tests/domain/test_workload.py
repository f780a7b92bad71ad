"""What was worked out for a workload stays with it and its relatives, and goes with them."""

from __future__ import annotations

import weakref
from dataclasses import replace

from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.context import context_bytes_per_block
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.workload import Workload, remembered
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.split import Split
from tests.fakes import shape
from tests.garbage import collected

_asked: list[tuple[int, str]] = []


@remembered
def _counted(workload: Workload, word: str, *, loud: bool = False) -> str:
    _asked.append((workload.params.ctx_size, word))
    return word.upper() if loud else word


def test_the_same_question_is_worked_out_once() -> None:
    _asked.clear()
    workload = Workload(shape(), RuntimeParams(ctx_size=512))
    assert [_counted(workload, "a"), _counted(workload, "a"), _counted(workload, "a", loud=True)] == ["a", "a", "A"]
    assert _asked == [(512, "a"), (512, "a")]


def test_relatives_are_found_again_from_each_other() -> None:
    first = Workload(shape(), RuntimeParams(ctx_size=512))
    second = first.having(RuntimeParams(ctx_size=1024))
    assert first.having(RuntimeParams(ctx_size=1024)) is second
    assert second.having(RuntimeParams(ctx_size=512)) is first
    assert first.having(first.params) is first
    assert second.having(RuntimeParams(ctx_size=2048)) is first.having(RuntimeParams(ctx_size=2048))
    assert first != second
    assert Workload(first.shape, first.params) == first


def test_many_relatives_do_not_pile_up() -> None:
    first = Workload(shape())
    for ctx_size in range(1, 500):
        last = first.having(replace(first.params, ctx_size=ctx_size))
    assert first.having(last.params) is last
    assert len(first._relatives) <= 64


def test_other_settings_and_builds_have_answers_of_their_own() -> None:
    old, new = Workload(shape(), build=10068), Workload(shape(), build=11434)
    split = Split((10, 21), 31)
    assert forecast(old, split) != forecast(new, split)
    larger = old.having(replace(old.params, ctx_size=8192))
    assert sum(context_bytes_per_block(larger)) == 2 * sum(context_bytes_per_block(old))


def test_a_model_that_nobody_looks_at_leaves_the_memory() -> None:
    """Thousands are judged while a folder is searched."""
    with collected():
        model = shape()
        gone: weakref.ref[ModelShape] = weakref.ref(model)
        workload = Workload(model)
        forecast(workload, Split((31,), 31))
        forecast(workload.having(RuntimeParams(ctx_size=512)), Split((31,), 31))
        del model, workload
    assert gone() is None
