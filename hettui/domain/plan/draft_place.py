"""On which device a draft model lies."""

from __future__ import annotations

from collections.abc import Sequence

from hettui.domain.devices.device import HOST_KEY, Device
from hettui.domain.llama.params import AUTO, RuntimeParams
from hettui.domain.plan.split import HOST


def draft_place(params: RuntimeParams, devices: Sequence[Device] | None) -> int | None:
    """The number of the draft model's device, or `HOST`, where it also goes without its device; None: there is none."""
    draft = params.draft
    if draft is None or not draft.has_model:
        return None
    if draft.device in (AUTO, HOST_KEY):
        return HOST
    return next((i for i, d in enumerate(devices or ()) if d.name == draft.device), HOST)
