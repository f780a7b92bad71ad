"""What the planner says of a model on given devices, and that the plan keeps what the words promise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hettui.domain.devices.device import Device
from hettui.domain.library.fit import Fit, Outlook, Surroundings, for_another_model, judge, largest_context
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.planner.learned import Learned
from hettui.domain.units import GIB, MIB
from tests.fakes import shape, workers
from tests.truth.compare import shape_of

MODEL = shape()
CARDS = (
    Device("large", "a", backend="cuda", engine_name="CUDA0", budget_bytes=16 * GIB, bandwidth_bytes_per_s=9e11),
    Device("middle", "b", backend="cuda", engine_name="CUDA1", budget_bytes=11 * GIB, bandwidth_bytes_per_s=4e11),
)


def around(*budgets_mib: int | None, ctx: int = 4096, ram_mib: int | None = 64_000) -> Surroundings:
    ram = None if ram_mib is None else ram_mib * MIB
    return Surroundings(RuntimeParams(ctx_size=ctx), workers(*budgets_mib), ram)


@pytest.mark.parametrize(
    ("surroundings", "fit"),
    [
        (around(400, 400), Fit.FITS),
        (around(240, 180, 90), Fit.FITS),
        (around(240, 240, ctx=131_072), Fit.LESS_CONTEXT),
        (around(100), Fit.PARTLY_CPU),
        (around(), Fit.PARTLY_CPU),
        (around(ram_mib=20), Fit.NOT),
        (around(400, 400, ram_mib=100), Fit.NOT),
        (around(None, 400), Fit.OPEN),
        (around(400, ram_mib=None), Fit.FITS),
    ],
)
def test_the_verdict(surroundings: Surroundings, fit: Fit) -> None:
    outlook = judge(MODEL, surroundings)
    assert outlook.fit is fit
    kept(outlook, surroundings)


def kept(outlook: Outlook, surroundings: Surroundings) -> None:
    """Whatever it says, the plan holds every layer; and what fits does."""
    plan = outlook.plan
    assert sum(plan.split.layers) + plan.split.host_layers == MODEL.layers
    assert len(plan.devices) == len(surroundings.devices)
    if outlook.fit in (Fit.FITS, Fit.LESS_CONTEXT):
        assert plan.split.host_layers == 0
        assert forecast(Workload(MODEL, plan.settings(surroundings.params)), plan.split, plan.devices).fits
    assert (outlook.short_bytes > 0) == (outlook.fit is Fit.NOT)


def test_less_context_says_which_and_no_larger_one_fits() -> None:
    surroundings = around(240, 240, ctx=131_072)
    outlook = judge(MODEL, surroundings)
    assert outlook.ctx_size == outlook.plan.ctx_size == largest_context(MODEL, surroundings)
    assert 1024 <= outlook.ctx_size < 131_072
    more = replace(surroundings, params=RuntimeParams(ctx_size=outlook.ctx_size + 256))
    assert judge(MODEL, more).fit is not Fit.FITS


def test_another_order_counts_as_fitting() -> None:
    # Only the larger of the two can hold the output layer: it must come last.
    big = shape(blocks=4, vocab_bytes=200 * MIB, block_bytes=20 * MIB)
    surroundings = around(330, 90)
    outlook = judge(big, surroundings)
    assert outlook.fit is Fit.FITS
    assert outlook.plan.split.host_layers == 0


def test_memory_that_is_short_is_told() -> None:
    enough = judge(MODEL, around(ram_mib=2000))
    short = judge(MODEL, around(ram_mib=50))
    assert enough.fit is Fit.PARTLY_CPU
    assert 10 * MIB < short.short_bytes < 400 * MIB


def test_a_real_model_on_two_cards_has_a_speed() -> None:
    outlook = judge(shape_of("qwen3moe", 48), Surroundings(RuntimeParams(ctx_size=8192), CARDS, 32 * GIB), Learned())
    assert outlook.fit is Fit.FITS
    assert outlook.decode_tps is not None
    assert outlook.decode_tps > 20


def test_no_largest_context_where_nothing_limits_it_or_nothing_fits() -> None:
    assert largest_context(MODEL, around(None)) is None
    assert largest_context(MODEL, around()) is None
    assert largest_context(MODEL, around(30)) is None


def test_locks_and_counts_were_another_models() -> None:
    device = replace(CARDS[0], layers=12, locked=True)
    assert for_another_model([device]) == (CARDS[0],)
