"""What `hettui plan`'s options mean."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hettui.domain.errors import ConfigError, UsageError
from hettui.domain.memory.workload import Workload
from hettui.domain.session.asked import asked_plan
from hettui.domain.session.plan_report import PlanReport
from hettui.domain.units import MIB
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


def test_the_fastest_plan_is_the_first_where_speeds_are_known() -> None:
    """Balanced only where nothing is known; what the configuration says goes before both."""
    fast, slow = (
        replace(d, backend="cuda", id=f"CUDA{i}", bandwidth_bytes_per_s=speed, budget_bytes=3000 * MIB)
        for i, (d, speed) in enumerate(zip(DEVICES, (900e9, 100e9), strict=False))
    )
    assert asked_plan(LOAD, (slow, fast))[0].split.layers == (31, 0)
    assert [d.name for d in asked_plan(LOAD, (slow, fast))[0].devices] == [fast.name, slow.name]
    unknown = replace(slow, bandwidth_bytes_per_s=None)
    assert min(asked_plan(LOAD, (unknown, fast))[0].split.layers) > 10
    configured = (replace(slow, layers=20), replace(fast, layers=11))
    assert asked_plan(LOAD, configured)[0].split.layers == (20, 11)


def test_of_cards_that_are_only_named_nothing_is_concluded() -> None:
    named = tuple(replace(d, id="", budget_bytes=size * MIB) for d, size in zip(DEVICES, (900, 500, 400), strict=True))
    plan, best = asked_plan(LOAD, named, objective="latency")
    assert best is not None
    assert (best.objective, best.found) == ("balanced", None)
    report = PlanReport(LOAD, plan, best=best)
    assert "not known" in report.as_text()
    assert report.as_json()["expected"] == {
        "decode_tps": None, "decode_tps_low": None, "decode_tps_high": None, "prefill_tps": None, "streams_tps": {},
        "basis": "none",
        "stages": [{"device": d.name, "seconds_per_token": None} for d in plan.devices],
        "host_seconds_per_token": None,
    }  # fmt: skip
    told = tuple(
        replace(d, bandwidth_bytes_per_s=speed, measured_slowness=1.0)
        for d, speed in zip(named, (100e9, 300e9, 900e9), strict=True)
    )
    plan, best = asked_plan(LOAD, told, objective="latency")
    assert best is not None
    assert best.objective == "latency"
    expected = PlanReport(LOAD, plan, best=best).as_json()["expected"]
    assert isinstance(expected, dict)
    assert expected["basis"] == "spec"
    assert expected["decode_tps_low"] < expected["decode_tps"] < expected["decode_tps_high"]
    stages = [s["seconds_per_token"] for s in expected["stages"] if s["seconds_per_token"]]
    assert sum(stages) == pytest.approx(1 / expected["decode_tps"], rel=0.01)
