"""What `hettui plan`'s options mean."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hettui.domain.errors import ConfigError, UsageError
from hettui.domain.memory.workload import Workload
from hettui.domain.session.asked import asked_plan
from tests.fakes import shape, workers

LOAD = Workload(shape())
DEVICES = workers(400, 400, 400)


def test_weights_win_and_get_llama_cpps_rounding() -> None:
    plan, best = asked_plan(LOAD, DEVICES, weights=[16, 10, 5], objective="latency")
    assert (plan.split.layers, best) == ((16, 10, 5), None)
    assert asked_plan(LOAD, DEVICES, weights=[1, 1])[0].split.layers[2] == 0
    with pytest.raises(UsageError, match="4 entries, but there are 3 devices"):
        asked_plan(LOAD, DEVICES, weights=[1, 1, 1, 1])


@pytest.mark.parametrize(("n_gpu_layers", "on_devices"), [(None, 31), (-1, 31), (99, 31), (20, 20), (0, 0)])
def test_gpu_layers_leave_the_first_ones_on_the_host(n_gpu_layers: int | None, on_devices: int) -> None:
    for weights in (None, [1.0, 1.0, 1.0]):
        plan, _ = asked_plan(LOAD, DEVICES, weights=weights, n_gpu_layers=n_gpu_layers)
        assert sum(plan.split.layers) == on_devices
        assert plan.split.host_layers == 31 - on_devices


def test_an_aim_brings_the_planners_answer() -> None:
    plan, best = asked_plan(LOAD, DEVICES, objective="fit")
    assert best is not None
    assert best.plan is plan
    assert plan.ctx_size is not None


def test_else_what_is_configured_or_the_planners_proposal() -> None:
    configured = tuple(replace(d, layers=n) for d, n in zip(DEVICES, (3, 20, 8), strict=True))
    assert asked_plan(LOAD, configured)[0].split.layers == (3, 20, 8)
    assert sum(asked_plan(LOAD, DEVICES)[0].split.layers) == 31
    with pytest.raises(ConfigError, match="ask for 60 layers"):
        asked_plan(LOAD, tuple(replace(d, layers=20) for d in DEVICES))
