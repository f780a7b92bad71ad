"""What a plan says of speculative decoding."""

from __future__ import annotations

from collections.abc import Sequence

from hettui.domain.devices.device import Device
from hettui.domain.llama.params import DRAFT_MODEL, DRAFT_MTP
from hettui.domain.memory.context import known
from hettui.domain.memory.forecast import Draft, Forecast, Memory
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.split import HOST
from hettui.domain.text import clean_line
from hettui.domain.units import MIB, mib

TABLES_BYTES = 16 * MIB
"""What ngram-mod keeps in the master's RAM (read in its source, not measured)."""


def draft_json(workload: Workload, outlook: Forecast, devices: Sequence[Device]) -> dict[str, object] | None:
    """The document's `draft`; None without speculation."""
    settings, found = workload.params.draft, outlook.draft
    if settings is None:
        return None
    return {
        "type": settings.type,
        "model": settings.model or None,
        "device": None if found is None else _place(found, devices),
        "n_max": settings.most,
        "cache_type_k": settings.cache_type_k,
        "cache_type_v": settings.cache_type_v,
        "device_bytes": None if found is None or found.device == HOST else _parts(found.there),
        "host_bytes": None if found is None else _parts(found.host),
        "known_architecture": None if workload.draft is None else known(workload.draft),
    }


def _parts(memory: Memory) -> dict[str, int]:
    return {
        "weights_bytes": memory.weights_bytes,
        "context_bytes": memory.context_bytes,
        "compute_bytes": memory.compute_bytes,
    }


def _place(found: Draft, devices: Sequence[Device]) -> str:
    return "host" if found.device == HOST else devices[found.device].name


def draft_lines(workload: Workload, outlook: Forecast, devices: Sequence[Device]) -> list[str]:
    """Who proposes, where that lies, what it takes, and what it costs there."""
    settings, found, shape = workload.params.draft, outlook.draft, workload.draft
    if settings is None:
        return []
    up_to = f"up to {settings.most} token{'s' if settings.most != 1 else ''} at once"
    faster = "The speed that is said is without its help."
    if settings.type == DRAFT_MTP:
        return [f"The model's own MTP block proposes {up_to}. {faster}"]
    if settings.type != DRAFT_MODEL:
        return [
            f"Texts that were there before ({settings.type}) propose {up_to}: nothing of it lies on a device. {faster}"
        ]
    if found is None or shape is None:
        return ["A draft model is asked for that nobody could read: it is not counted."]
    held = found.host if found.device == HOST else found.there
    where = "this machine's CPU" if found.device == HOST else clean_line(devices[found.device].name, 40)
    parts = f"weights {mib(held.weights_bytes)} MiB, KV {mib(held.context_bytes)}, compute {mib(held.compute_bytes)}"
    lines = [f"{clean_line(shape.name, 60)} {shape.quantisation} proposes {up_to}, on {where}: {parts}. {faster}"]
    if found.device != HOST and devices[found.device].via == "worker":
        lines.append(
            f"{where} is a worker: each token that is proposed goes there and back. At the master it is faster: "
            '[draft] device = "auto".'
        )
    return lines
