"""Where a draft model and a projector lie when nobody says so: never on a worker, to which each proposed token would go
and return, and a picture's every layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from hettui.domain.devices.device import HOST_KEY, Device
from hettui.domain.errors import ConfigError
from hettui.domain.llama.params import AUTO, RuntimeParams
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.split import Split
from hettui.domain.planner.objectives import fits_any_way
from hettui.domain.text import clean_line


def with_draft_placed(workload: Workload, devices: Sequence[Device]) -> RuntimeParams:
    """The settings with a device for the draft model: the one that is asked for, else the fastest card of the master's
    own beside whose draft the model still fits on the devices, else the master's CPU. Raises ConfigError for a device
    that is not there."""
    params, draft = workload.params, workload.params.draft
    if draft is None or not draft.has_model:
        return params

    def on(name: str) -> RuntimeParams:
        return replace(params, draft=replace(draft, device=name))

    return _placed(workload, devices, "[draft] device", draft.device, on)


def with_projector_placed(workload: Workload, devices: Sequence[Device]) -> RuntimeParams:
    """The same with a device for the projector."""
    params = workload.params
    if not params.mmproj:
        return params

    def on(name: str) -> RuntimeParams:
        return replace(params, mmproj_device=name)

    return _placed(workload, devices, "[serving] mmproj-device", params.mmproj_device, on)


def _placed(
    workload: Workload, devices: Sequence[Device], key: str, asked: str, on: Callable[[str], RuntimeParams]
) -> RuntimeParams:
    if asked == HOST_KEY:
        return workload.params
    if asked != AUTO:
        names = [d.name for d in devices]
        if asked not in names:
            known = ", ".join(f'"{clean_line(name, 40)}"' for name in (AUTO, HOST_KEY, *names))
            raise ConfigError(f'{key}: found "{clean_line(asked, 40)}", allowed: {known}')
        return workload.params
    own = [d for d in devices if d.helps_host and not d.missing]
    own.sort(key=lambda d: -(d.bandwidth_bytes_per_s or 0.0))
    for device in own:
        if _fits(workload.having(on(device.name)), devices):
            return on(device.name)
    return on(HOST_KEY)


def _fits(workload: Workload, devices: Sequence[Device]) -> bool:
    """With the layers that are configured, where all are; else in any way. What lies beside the model fits by itself
    where no layers are."""
    if not forecast(workload, Split((0,) * len(devices), workload.shape.layers), devices).fits:
        return False
    counts = [d.layers for d in devices if d.layers is not None]
    if len(counts) == len(devices) and sum(counts) <= workload.shape.layers:
        return forecast(workload, Split(tuple(counts), workload.shape.layers), devices).fits
    return fits_any_way(workload, devices)
