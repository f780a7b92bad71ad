"""The first split: even headroom, exact for a fixed order."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.split import Split
from hettui.domain.planner.headroom import propose
from tests import examples
from tests.fakes import shape, workers

PARAMS = RuntimeParams(ctx_size=2048)


def fullest(load: Workload, layers: tuple[int, ...], budgets: list[int]) -> float:
    """The highest fill ratio of a split; infinite when it does not fit."""
    outlook = forecast(load, Split(layers, load.shape.layers), workers(*budgets))
    ratios = [m.total_bytes / (b * 1024 * 1024) for m, b in zip(outlook.devices, budgets, strict=True)]
    return max(ratios) if outlook.fits else float("inf")


@pytest.mark.many
@settings(max_examples=examples.of(60), deadline=None)
@given(st.lists(st.integers(20, 160), min_size=1, max_size=3), st.integers(1, 8))
def test_as_good_as_trying_every_split(budgets: list[int], blocks: int) -> None:
    load = Workload(shape(blocks), PARAMS)
    # One of its own: what was worked out for the others is not to help it.
    proposed = propose(Workload(load.shape, PARAMS), workers(*budgets))
    everything = [c for c in product(range(blocks + 2), repeat=len(budgets)) if sum(c) == blocks + 1]
    best = min(fullest(load, c, budgets) for c in everything)
    if best == float("inf"):
        assert proposed.host_layers > 0
        assert forecast(load, proposed, workers(*budgets)).fits
    else:
        assert proposed.host_layers == 0
        assert fullest(load, proposed.layers, budgets) == best


def test_a_locked_device_keeps_its_layers() -> None:
    devices = workers(240, 180, 180)
    locked = replace(devices[1], locked=True, layers=3)
    split = propose(Workload(shape(), RuntimeParams()), (devices[0], locked, devices[2]))
    assert split.layers[1] == 3
    assert split.host_layers == 0


def test_without_budgets_layers_are_shared_evenly() -> None:
    assert propose(Workload(shape(), RuntimeParams()), workers(None, None, None)).layers == (11, 10, 10)


def test_no_devices_leave_everything_on_the_host() -> None:
    assert propose(Workload(shape(), RuntimeParams()), ()) == Split((), 31)
