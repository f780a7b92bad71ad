"""On which device a draft model or a projector lies."""

from __future__ import annotations

from collections.abc import Sequence

from hettui.domain.devices.device import HOST_KEY, Device
from hettui.domain.llama.params import AUTO, RuntimeParams
from hettui.domain.plan.split import HOST


def draft_place(params: RuntimeParams, devices: Sequence[Device] | None) -> int | None:
    """The number of the draft model's device, or `HOST`, where it also goes without its device; None: there is none."""
    draft = params.draft
    return None if draft is None or not draft.has_model else _place(draft.device, devices)


def projector_place(params: RuntimeParams, devices: Sequence[Device] | None) -> int | None:
    """The same of the projector."""
    return _place(params.mmproj_device, devices) if params.mmproj else None


def _place(name: str, devices: Sequence[Device] | None) -> int:
    if name in (AUTO, HOST_KEY):
        return HOST
    return next((i for i, d in enumerate(devices or ()) if d.name == name), HOST)
