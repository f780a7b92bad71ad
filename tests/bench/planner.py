"""How long the planner takes.

python -m tests.bench.planner
"""

from __future__ import annotations

import os
import platform
import random
import statistics
from dataclasses import replace

from hettui.domain.devices.device import Device
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.aim import OBJECTIVES, Objective
from hettui.domain.planner.objectives import Beside, Best, best_plan
from hettui.domain.units import GIB
from tests.bench.header import seconds
from tests.truth.compare import shape_of

CASES = (("qwen3moe", 48, 3), ("gemma3-12b", 48, 3), ("llama-70b", 80, 8), ("llama-8b", 127, 16))
APART = (("qwen3moe", 48, 3), ("llama-8b", 48, 3), ("llama-70b", 80, 3), ("qwen3moe", 127, 16))
"""With experts, or the FFN of a dense model, in the master's RAM."""
RAM = Beside(256 * GIB, 60e9)
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


def attached(count: int, shape: ModelShape, seed: int) -> tuple[Device, ...]:
    """Cards of this machine that hold half of the model: the rest are experts in RAM."""
    shrunk = [replace(d, budget_bytes=(d.budget_bytes or 0) // 2, via="master") for d in cards(count, shape, seed)]
    return tuple(shrunk)


def tell(
    name: str, objective: Objective, model: Workload, sets: list[tuple[Device, ...]], beside: Beside | None = None
) -> None:
    def plan(devices: tuple[Device, ...]) -> Best:
        return best_plan(model, devices, objective, beside=beside)

    first = seconds(lambda: plan(sets[0]), 1)
    found = [plan(devices) for devices in sets]
    times = [seconds(lambda: plan(devices), 5) for devices in sets]  # noqa: B023 - called at once
    told = "".join(f"{t * 1000:>7.1f} ms" for t in (first, statistics.median(times), max(times)))
    good = sum(bool(best.plan.away) if beside else best.proven for best in found)
    what = "with experts or FFN in RAM" if beside else "proven"
    print(
        f"{name:<12}{len(sets[0]):>8}{model.shape.layers:>8}  {objective:<12}{told}  {good}/{SEEDS} {what}", flush=True
    )


def main() -> None:
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; {SEEDS} sets of cards\n")
    print(f"{'model':<12}{'devices':>8}{'layers':>8}  {'objective':<12}{'first':>10}{'median':>10}{'largest':>10}")
    for name, blocks, count in CASES:
        for objective in OBJECTIVES:
            # A model of its own: the first plan also lays out its blocks. A session keeps what is known of it.
            model = Workload(ModelShape.of(shape_of(name, blocks).file), PARAMS)
            sets = [cards(count, model.shape, seed) for seed in range(SEEDS)]
            tell(name, objective, model, sets)
    for name, blocks, count in APART:
        model = Workload(ModelShape.of(shape_of(name, blocks).file), PARAMS)
        tell(name, "latency", model, [attached(count, model.shape, seed) for seed in range(SEEDS)], RAM)
    model = Workload(shape_of("qwen3moe", 48), PARAMS)
    plan = best_plan(model, cards(3, model.shape, 0), "latency").plan
    once = seconds(lambda: forecast(model, plan.split, plan.devices), 200)
    print(f"\nforecast of one split: {once * 1e6:.0f} µs")


if __name__ == "__main__":
    main()
