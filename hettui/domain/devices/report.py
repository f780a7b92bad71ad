"""`hettui devices` as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from hettui.domain.devices.device import Hardware
from hettui.domain.tables import table
from hettui.domain.text import clean_line, shorten_middle
from hettui.domain.units import UNKNOWN, format_bytes


def hardware_json(hardware: Sequence[Hardware], problems: Sequence[str] = ()) -> dict[str, object]:
    return {"devices": [asdict(entry) for entry in hardware], "problems": list(problems)}


def hardware_text(hardware: Sequence[Hardware]) -> str:
    """At most 100 columns; what is not known is `–`."""
    rows = [("device", "host", "backend", "free", "of", "PCIe", "driver", "°C", "id")]
    for entry in hardware:
        rows.append(
            (
                shorten_middle(clean_line(entry.name), 30),
                shorten_middle(clean_line(entry.host), 8),
                entry.engine_name or f"{entry.backend} –",
                format_bytes(entry.free_bytes),
                format_bytes(entry.total_bytes),
                entry.pcie_link or UNKNOWN,
                shorten_middle(entry.driver or UNKNOWN, 10),
                UNKNOWN if entry.temperature_c is None else str(entry.temperature_c),
                shorten_middle(entry.id, 20),
            )
        )
    reasons = [
        f"{clean_line(entry.name, 40)}, {entry.id}: {entry.trouble}"
        for entry in hardware
        if entry.trouble and not entry.engine_name
    ]
    return "\n".join([*table(rows), *([""] if reasons else []), *reasons])
