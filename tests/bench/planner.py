"""How long the planner takes.

python -m tests.bench.planner
"""

from __future__ import annotations

import os
import platform
import random
import statistics

from hettui.domain.devices.device import Device
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.aim import OBJECTIVES
from hettui.domain.planner.objectives import best_plan
from hettui.domain.units import GIB
from tests.bench.header import seconds
from tests.truth.compare import shape_of

CASES = (("qwen3moe", 48, 3), ("gemma3-12b", 48, 3), ("llama-70b", 80, 8), ("llama-8b", 127, 16))
SPEEDS = (192e9, 224e9, 336e9, 360e9, 448e9, 504e9, 672e9, 960e9)
PARAMS = RuntimeParams(ctx_size=8192)
SEEDS = 24


def cards(count: int, shape: ModelShape, seed: int) -> tuple[Device, ...]:
    """Unlike cards that hold the model together 1.1 to twice."""
    dice = random.Random(seed)
    share = dice.choice((1.1, 1.3, 1.5, 2.0)) * shape.weights_bytes / count + 1.2 * GIB
    return tuple(
        Device(
            f"card {i}",
            backend="cuda",
            budget_bytes=int(share * dice.uniform(0.6, 1.4)),
            bandwidth_bytes_per_s=dice.choice(SPEEDS) * dice.uniform(0.9, 1.1),
        )
        for i in range(count)
    )


def main() -> None:
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; {SEEDS} sets of cards\n")
    print(
        f"{'model':<12}{'devices':>8}{'layers':>8}  {'objective':<12}{'first':>10}{'median':>10}{'largest':>10}  proven"
    )
    for name, blocks, count in CASES:
        for objective in OBJECTIVES:
            # A shape of its own: the first plan with a model also lays out its blocks.
            shape = ModelShape.of(shape_of(name, blocks).file)
            sets = [cards(count, shape, seed) for seed in range(SEEDS)]
            first = seconds(lambda: best_plan(Workload(shape, PARAMS), sets[0], objective), 1)  # noqa: B023 - called at once
            proven = sum(best_plan(Workload(shape, PARAMS), devices, objective).proven for devices in sets)
            times = [seconds(lambda: best_plan(Workload(shape, PARAMS), devices, objective), 5) for devices in sets]  # noqa: B023
            told = "".join(f"{t * 1000:>7.1f} ms" for t in (first, statistics.median(times), max(times)))
            print(f"{name:<12}{count:>8}{shape.layers:>8}  {objective:<12}{told}  {proven}/{SEEDS}")
    shape = shape_of("qwen3moe", 48)
    plan = best_plan(Workload(shape, PARAMS), cards(3, shape, 0), "latency").plan
    once = seconds(lambda: forecast(Workload(shape, PARAMS), plan.split, plan.devices), 200)
    print(f"\nforecast of one split: {once * 1e6:.0f} µs")


if __name__ == "__main__":
    main()
