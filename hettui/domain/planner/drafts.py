"""Where a draft model lies when nobody says so: never on a worker, to which each proposed token would go and return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hettui.domain.devices.device import HOST_KEY, Device
from hettui.domain.errors import ConfigError
from hettui.domain.llama.params import AUTO, Drafting, RuntimeParams
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
    if draft.device not in (AUTO, HOST_KEY):
        names = [d.name for d in devices]
        if draft.device not in names:
            known = ", ".join(f'"{clean_line(name, 40)}"' for name in (AUTO, HOST_KEY, *names))
            raise ConfigError(f'[draft] device: found "{clean_line(draft.device, 40)}", allowed: {known}')
        return params
    if draft.device == HOST_KEY:
        return params
    own = [d for d in devices if d.helps_host and not d.missing]
    own.sort(key=lambda d: -(d.bandwidth_bytes_per_s or 0.0))
    for device in own:
        asked = _on(params, draft, device.name)
        if _fits(workload.having(asked), devices):
            return asked
    return _on(params, draft, HOST_KEY)


def _on(params: RuntimeParams, draft: Drafting, name: str) -> RuntimeParams:
    return replace(params, draft=replace(draft, device=name))


def _fits(workload: Workload, devices: Sequence[Device]) -> bool:
    """With the layers that are configured, where all are; else in any way."""
    counts = [d.layers for d in devices if d.layers is not None]
    if len(counts) == len(devices) and sum(counts) <= workload.shape.layers:
        return forecast(workload, Split(tuple(counts), workload.shape.layers), devices).fits
    return fits_any_way(workload, devices)
