"""The planner's objectives on real memory and speed models, against trying everything."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hettui.domain.devices.device import Device
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.aim import Objective
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.planner.explain import explain, what_if
from hettui.domain.planner.objectives import best_plan, fits_any_way, roomiest_context
from hettui.domain.speed.pace import pace, seconds_per_token
from hettui.domain.units import MIB
from tests import examples
from tests.fakes import shape, workers
from tests.truth.compare import shape_of

PARAMS = RuntimeParams(ctx_size=2048)


def cards(*specs: tuple[int, float]) -> tuple[Device, ...]:
    """Budget in MiB and bandwidth in GB/s of each."""
    return tuple(
        Device(f"g{i}", backend="cuda", budget_bytes=budget * MIB, bandwidth_bytes_per_s=speed * 1e9)
        for i, (budget, speed) in enumerate(specs)
    )


def value(load: Workload, devices: tuple[Device, ...], layers: tuple[int, ...], objective: Objective) -> float:
    """Infinite when it does not fit."""
    if not forecast(load, Split(layers, load.shape.layers), devices).fits:
        return float("inf")
    work, first, stages = load.shape.layer_reads, 0, []
    for device, n in zip(devices, layers, strict=True):
        if n:
            p = pace(device)
            stages.append(p.hop_s + sum(p.layer_s(reads) for reads in work[first : first + n]))
            first += n
    return sum(stages) if objective == "latency" else max(stages)


budgets = st.integers(620, 780)
speeds = st.sampled_from([100.0, 336.0, 360.0, 960.0])


@pytest.mark.many
@settings(max_examples=examples.of(40), deadline=None)
@given(
    st.lists(st.tuples(budgets, speeds), min_size=1, max_size=3),
    st.integers(1, 7),
    st.sampled_from(["latency", "throughput"]),
)
def test_no_order_and_no_split_is_better(specs: list[tuple[int, float]], blocks: int, objective: Objective) -> None:
    load, devices = Workload(shape(blocks), PARAMS, 11434), cards(*specs)
    best = min(
        value(load, order, layers, objective)
        for order in permutations(devices)
        for layers in product(range(blocks + 2), repeat=len(devices))
        if sum(layers) == blocks + 1
    )
    # One of its own: what was worked out for the others is not to help it.
    found = best_plan(Workload(load.shape, PARAMS, 11434), devices, objective)
    if best == float("inf"):
        assert found.value is None
        return
    assert found.proven
    assert found.value == pytest.approx(best)
    assert value(load, found.plan.devices, found.plan.split.layers, objective) == pytest.approx(best)


def test_the_fastest_card_is_filled_and_carries_the_output() -> None:
    devices = cards((15_000, 960.0), (11_000, 360.0), (5_300, 336.0))
    plan = best_plan(Workload(shape_of("qwen3moe", 48), RuntimeParams(ctx_size=8192)), devices, "latency").plan
    assert [d.name for d in plan.devices] == ["g1", "g0", "g2"]
    assert plan.split.layers[2] == 0
    assert plan.split.output_device == 1


def test_a_locked_device_keeps_its_layers() -> None:
    devices = cards((900, 960.0), (900, 100.0))
    locked = (devices[0], replace(devices[1], locked=True, layers=5))
    plan = best_plan(Workload(shape(), PARAMS), locked, "latency").plan
    assert dict(zip([d.name for d in plan.devices], plan.split.layers, strict=True))["g1"] == 5


def test_what_does_not_fit_is_shared_out_with_the_host() -> None:
    found = best_plan(Workload(shape(), PARAMS), cards((640, 960.0)), "latency")
    assert found.value is None
    assert found.plan.split.host_layers > 0


def test_an_expert_model_reads_only_the_chosen_experts() -> None:
    model = shape_of("qwen3moe", 48)
    assert sum(model.layer_read_bytes) < 0.15 * model.weights_bytes
    dense = shape()
    assert sum(dense.layer_read_bytes) == sum(dense.block_bytes) + dense.output_bytes


def test_an_unknown_speed_gives_no_number() -> None:
    assert seconds_per_token(shape(), cards((900, 960.0)), (31,)) == pytest.approx(0.0027, rel=0.2)
    unknown = (replace(cards((900, 1.0))[0], bandwidth_bytes_per_s=None),)
    assert seconds_per_token(shape(), unknown, (31,)) is None
    assert seconds_per_token(shape(), workers(400), (30,)) is None


def test_the_explanation_names_the_brake_and_what_would_change() -> None:
    model, params = shape_of("qwen3moe", 48), RuntimeParams(ctx_size=8192)
    best = best_plan(Workload(model, params), cards((15_000, 960.0), (11_000, 200.0), (5_300, 336.0)), "latency")
    text = "\n".join(explain(Workload(model, params), best))
    assert "The brake is" in text
    assert "g0" in next(line for line in text.splitlines() if line.startswith("Full:"))
    assert "One GiB more on g0:" in text
    assert "Without g0 the model does not fit." in text
    assert explain(Workload(model, params), best_plan(Workload(model, params), cards((30_000, 1.0)), "balanced")) == []


def test_a_worse_order_costs_what_it_costs() -> None:
    model, params = shape_of("qwen3moe", 48), RuntimeParams(ctx_size=8192)
    devices = cards((15_000, 960.0), (11_000, 360.0), (5_300, 336.0))
    best = best_plan(Workload(model, params), devices, "latency")
    same = what_if(Workload(model, params), best.plan)
    assert same is not None
    assert same.slower == 0.0
    assert same.gained_bytes == 0
    worse = Plan(devices, Split((24, 17, 8), 49))
    found = what_if(Workload(model, params), worse)
    assert found is not None
    assert best.value is not None
    mine = seconds_per_token(model, devices, (24, 17, 8))
    assert mine is not None
    assert found.slower == pytest.approx(1 - best.value / mine)
    # The fastest card is not as full as in the best plan.
    assert found.roomier == "g0"
    assert found.gained_bytes > 1000 * MIB
    assert what_if(Workload(shape(), params), Plan(workers(400), Split((31,), 31))) is None
    assert what_if(Workload(model, params), Plan(devices, Split((10, 10, 10), 49))) is None


@settings(max_examples=examples.of(15), deadline=None)
@given(st.lists(st.tuples(st.integers(640, 780), speeds), min_size=1, max_size=3), st.integers(3, 7))
def test_the_largest_context_fits_and_no_larger_one_fits_in_any_order(
    specs: list[tuple[int, float]], blocks: int
) -> None:
    model, devices = shape(blocks), cards(*specs)
    found = best_plan(Workload(model, PARAMS, 11434), devices, "fit")
    size = roomiest_context(Workload(model, PARAMS, 11434), devices)

    def any_split(ctx_size: int) -> bool:
        params = replace(PARAMS, ctx_size=ctx_size)
        return any(
            forecast(Workload(model, params, 11434), Split(layers, model.layers), order).fits
            for order in permutations(devices)
            for layers in product(range(blocks + 2), repeat=len(devices))
            if sum(layers) == blocks + 1
        )

    if not size:
        assert found.plan.ctx_size is None
        assert not any_split(256)
        return
    assert found.plan.ctx_size == size
    assert forecast(Workload(model, found.plan.settings(PARAMS), 11434), found.plan.split, found.plan.devices).fits
    assert size + 256 > model.n_ctx_train or not any_split(size + 256)


def test_any_way_knows_what_one_device_alone_can_hold() -> None:
    assert fits_any_way(Workload(shape(), PARAMS), cards((900, 1.0)))
    assert not fits_any_way(Workload(shape(), PARAMS), cards((640, 1.0)))
    assert not fits_any_way(Workload(shape(), PARAMS), ())


def test_another_gib_is_more_context() -> None:
    model, params = shape_of("qwen3moe", 48), RuntimeParams(ctx_size=8192)
    best = best_plan(Workload(model, params), cards((15_000, 960.0), (11_000, 200.0)), "fit")
    lines = explain(Workload(model, params), best)
    assert any(line.startswith("One GiB more on g0: a context of ") for line in lines)
    assert any("Without g0 the model does not fit." in line for line in lines)
