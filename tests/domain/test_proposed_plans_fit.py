"""Whatever the planner proposes fits by what the screen forecasts of it, whole or with layers or parts on the host.
On unlike devices, with many architectures and both builds."""

from __future__ import annotations

import random

import pytest

from hettui.domain.devices.device import Device
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.aim import OBJECTIVES
from hettui.domain.planner.headroom import propose
from hettui.domain.planner.objectives import Beside, best_plan
from hettui.domain.units import GIB, MIB
from tests.truth.compare import shape_of

MODELS = (
    ("qwen3moe", 48), ("llama-8b", 32), ("gemma3-12b", 48), ("jamba", 32), ("deepseek-v2-lite", 27),
    ("falcon-h1", 44), ("gpt-oss-20b", 24), ("lfm2moe", 24), ("granitehybrid", 40),
)  # fmt: skip
RAM = (None, Beside(256 * GIB, 60e9), Beside(20 * GIB, 60e9))


def device(dice: random.Random, number: int, budget_bytes: float) -> Device:
    attached = dice.random() < 2 / 3
    return Device(
        f"d{number}",
        f"d{number}",
        via="master" if attached else "worker",
        backend=dice.choice(("cuda", "vulkan") if attached else ("cuda", "vulkan", "cpu")),
        engine_name=f"CUDA{number}",
        budget_bytes=int(budget_bytes * dice.uniform(0.5, 1.5)),
        bandwidth_bytes_per_s=dice.choice((50e9, 336e9, 448e9, 960e9)),
    )


def asked(dice: random.Random, model: str, blocks: int) -> tuple[Workload, tuple[Device, ...]]:
    shape, count = shape_of(model, blocks), dice.randint(1, 5)
    params = RuntimeParams(
        ctx_size=dice.choice((2048, 8192, 32768)),
        parallel=dice.choice((1, 1, 4)),
        flash_attn=dice.choice(("auto", "off")),
        ubatch_size=dice.choice((512, 512, 128, 1024)),
    )
    share = dice.choice((0.3, 0.6, 0.8, 1.0, 1.2)) * shape.weights_bytes / count + dice.uniform(0.2, 1.2) * GIB
    devices = tuple(device(dice, n, share) for n in range(count))
    return Workload(shape, params, dice.choice((10068, 11434))), devices


@pytest.mark.many
@pytest.mark.parametrize(("model", "blocks"), MODELS)
def test_what_is_proposed_fits(model: str, blocks: int) -> None:
    dice, on_host = random.Random(model), 0
    for _ in range(6):
        workload, devices = asked(dice, model, blocks)
        plan = best_plan(workload, devices, dice.choice(OBJECTIVES), beside=dice.choice(RAM)).plan
        outlook = forecast(workload.having(plan.settings(workload.params)), plan.split, plan.devices)
        assert outlook.fits, (workload.params, workload.build, plan)
        on_host += bool(plan.away or plan.split.host_layers)
    assert on_host > 1


def test_the_card_that_helps_is_the_first_that_holds_layers() -> None:
    """The first one has no room for any: what the second computes for the host, and how much that is, counts there."""
    workload = Workload(shape_of("gemma3-12b", 48), RuntimeParams(ctx_size=32768, flash_attn="off"), 10068)
    first, second = (
        Device(name, name, backend="vulkan", engine_name=name, budget_bytes=budget * MIB)
        for name, budget in (("Vulkan0", 400), ("Vulkan1", 3200))
    )
    split = propose(workload, (first, second))
    assert split.layers[0] == 0 < split.layers[1]
    assert forecast(workload, split, (first, second)).fits
