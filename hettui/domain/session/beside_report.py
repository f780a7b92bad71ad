"""What a plan says of a projector, of LoRA adapters and control vectors, and of what the host comes to keep."""

from __future__ import annotations

from collections.abc import Sequence

from hettui.domain.devices.device import Device
from hettui.domain.llama.params import scaled
from hettui.domain.memory.beside_model import Kept, kept_over_time
from hettui.domain.memory.forecast import Forecast
from hettui.domain.memory.projector import KNOWN, kind_of_projector, tower
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.split import HOST
from hettui.domain.text import clean_line
from hettui.domain.units import MIB, format_bytes, mib

_WORTH_TELLING_BYTES = 64 * MIB


def known_projector(workload: Workload) -> bool:
    """Its buffer was compared with real loads; so it is without one."""
    file = workload.companions.projector
    return file is None or kind_of_projector(file) in KNOWN


def beside_json(workload: Workload, outlook: Forecast, devices: Sequence[Device]) -> dict[str, object]:
    """The document's `beside`."""
    found, params, kept = outlook.projecting, workload.params, kept_over_time(workload)
    projector = None
    if found is not None:
        held = found.host if found.device == HOST else found.there
        projector = {
            "path": params.mmproj,
            "type": _kind(workload),
            "device": "host" if found.device == HOST else devices[found.device].name,
            "weights_bytes": held.weights,
            "compute_bytes": held.compute,
            "host_bytes": found.host.total,
            "known": known_projector(workload),
        }
    return {
        "projector": projector,
        "lora": list(params.lora),
        "control_vectors": list(params.control_vector),
        "checkpoints_bytes_at_most": kept.checkpoints_bytes,
        "cache_ram_bytes_at_most": kept.prompts_bytes,
    }


def _kind(workload: Workload) -> str:
    file = workload.companions.projector
    return clean_line(kind_of_projector(file), 40) if file is not None else ""


def beside_lines(workload: Workload, outlook: Forecast, devices: Sequence[Device]) -> list[str]:
    """Where each lies and what it takes."""
    params, found, lines = workload.params, outlook.projecting, list[str]()
    if params.mmproj and found is None:
        lines.append("A projector is asked for that nobody could read: it is not counted.")
    elif found is not None:
        lines += _projector_lines(workload, outlook, devices)
    if params.lora:
        names = ", ".join(_name(one) for one in params.lora[:3])
        more = f" and {len(params.lora) - 3} more" if len(params.lora) > 3 else ""
        lines.append(f"LoRA {names}{more}: each device holds what changes its own blocks (beside).")
    if params.control_vector:
        lines.append("The control vector has a row for every block, where that block lies (beside).")
    return lines + kept_lines(params.slots, kept_over_time(workload))


def _projector_lines(workload: Workload, outlook: Forecast, devices: Sequence[Device]) -> list[str]:
    found, file = outlook.projecting, workload.companions.projector
    if found is None or file is None:
        return []
    held = found.host if found.device == HOST else found.there
    where = "this machine's CPU" if found.device == HOST else clean_line(devices[found.device].name, 40)
    side = tower(file).side * tower(file).patch
    sure = "" if known_projector(workload) else f"; its kind ({_kind(workload) or 'unknown'}) was not verified"
    lines = [
        f"The projector lies on {where}: weights {mib(held.weights)} MiB, compute {mib(held.compute)} for a picture "
        f"of {side} × {side}{sure}. A larger one takes more when it comes."
    ]
    if found.device != HOST and devices[found.device].via == "worker":
        lines.append(f"{where} is a worker: every picture goes there and back. At the master it is faster.")
    return lines


def kept_lines(slots: int, kept: Kept) -> list[str]:
    """What the host comes to hold while the server is used; nothing where it is little."""
    if kept.checkpoints_bytes < _WORTH_TELLING_BYTES:
        return []
    each = "its slot" if slots == 1 else f"{slots} slots"
    return [
        f"Checkpoints of {each} come to {format_bytes(kept.checkpoints_bytes)} of this machine's memory at most "
        "(ctx-checkpoints), beside what is counted."
    ]


def _name(said: str) -> str:
    return clean_line(scaled(said)[0].rpartition("/")[2], 60)
