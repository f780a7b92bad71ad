"""What `hettui plan` was asked for, as a plan: weights, an aim, or what the configuration says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hettui.domain.devices.device import Device
from hettui.domain.errors import UsageError
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.aim import Objective
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.planner.objectives import Beside, Best, best_plan
from hettui.domain.records import dataclass
from hettui.domain.session.session import first_plan


@dataclass(frozen=True, slots=True)
class NamedDevice:
    """A device that need not be here: `RTX 5080=16GiB@960GB`."""

    name: str
    budget_bytes: int
    bandwidth_bytes_per_s: float | None = None


def asked_plan(
    workload: Workload,
    devices: tuple[Device, ...],
    *,
    weights: Sequence[float] | None = None,
    n_gpu_layers: int | None = None,
    objective: Objective | None = None,
    beside: Beside | None = None,
) -> tuple[Plan, Best | None]:
    """The plan, and the planner's answer where an aim was given.

    `weights`: llama.cpp's `--tensor-split` in device order, with its own rounding; they win over an aim.
    `beside`: this machine's memory, for experts or FFN that find no room elsewhere.
    `n_gpu_layers`: llama.cpp's `--gpu-layers`; what is beyond it stays on the host. Raises UsageError.
    """
    layers = workload.shape.layers
    if weights is not None:
        if len(weights) > len(devices):
            raise UsageError(f"--split has {len(weights)} entries, but there are {len(devices)} devices")
        whole = [*weights, *(0.0 for _ in range(len(devices) - len(weights)))]
        return Plan(devices, Split.from_weights(whole, layers, -1 if n_gpu_layers is None else n_gpu_layers)), None
    if objective is not None:
        best = best_plan(workload, devices, objective, beside=beside)
        return best.plan, best
    plan = first_plan(workload, devices, beside)
    devices, split = plan.devices, plan.split
    if n_gpu_layers is not None and 0 <= n_gpu_layers < split.n_gpu_layers:
        split = Split.from_weights(split.layers, layers, n_gpu_layers)
    return replace(plan, split=split), None
