"""How long the planner takes.

python -m tests.bench.planner
"""

from __future__ import annotations

import os
import platform
import random

from hettui.domain.device import Device
from hettui.domain.memory import forecast
from hettui.domain.model import ModelShape
from hettui.domain.objectives import best_plan
from hettui.domain.params import OBJECTIVES, RuntimeParams
from hettui.domain.units import GIB
from tests.bench.header import seconds
from tests.truth.compare import shape_of

CASES = (("qwen3moe", 48, 3), ("gemma3-12b", 48, 3), ("llama-70b", 80, 8), ("llama-8b", 127, 16))
SPEEDS = (192e9, 224e9, 336e9, 360e9, 448e9, 504e9, 672e9, 960e9)
PARAMS = RuntimeParams(ctx_size=8192)


def cards(count: int, shape: ModelShape) -> tuple[Device, ...]:
    """Unlike cards that hold the model together about one and a half times."""
    dice = random.Random(count)
    share = 1.5 * shape.weights_bytes / count + 1.2 * GIB
    speeds = dice.sample(SPEEDS, len(SPEEDS)) * 2
    return tuple(
        Device(
            f"card {i}",
            backend="cuda",
            budget_bytes=int(share * dice.uniform(0.7, 1.3)),
            bandwidth_bytes_per_s=speeds[i],
        )
        for i in range(count)
    )


def main() -> None:
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print(f"{'model':<12}{'devices':>8}{'layers':>8}  {'objective':<12}{'first':>10}{'again':>10}  proven")
    for name, blocks, count in CASES:
        for objective in OBJECTIVES:
            shape = ModelShape.of(shape_of(name, blocks).file)
            devices = cards(count, shape)
            first = seconds(lambda: best_plan(shape, PARAMS, devices, objective), 1)  # noqa: B023 - called at once
            again = seconds(lambda: best_plan(shape, PARAMS, devices, objective), 5)  # noqa: B023
            proven = best_plan(shape, PARAMS, devices, objective).proven
            times = f"{first * 1000:>7.1f} ms{again * 1000:>7.1f} ms"
            print(f"{name:<12}{count:>8}{shape.layers:>8}  {objective:<12}{times}  {'yes' if proven else 'no'}")
    shape = shape_of("qwen3moe", 48)
    plan = best_plan(shape, PARAMS, cards(3, shape), "latency").plan
    once = seconds(lambda: forecast(shape, PARAMS, plan.split, plan.devices), 200)
    print(f"\nforecast of one split: {once * 1e6:.0f} µs")


if __name__ == "__main__":
    main()
