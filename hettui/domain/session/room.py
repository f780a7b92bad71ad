"""Whether there is room for a plan now: budgets may be written down, what is free is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

from hettui.domain.devices.device import LOCAL, Device, Hardware
from hettui.domain.library.fit import short_of_ram
from hettui.domain.plan.plan import Plan
from hettui.domain.records import dataclass
from hettui.domain.session.session import Session
from hettui.domain.telemetry.readings import TelemetrySnapshot
from hettui.domain.text import clean_line
from hettui.domain.units import mib, missing_mib


@dataclass(frozen=True)
class Room:
    """What is free while nothing of this cluster runs."""

    free: Mapping[str, int] = field(default_factory=dict)
    """Bytes by the device's name; what is not known is left out."""
    ram_bytes: int | None = None


def room_as_found(devices: Sequence[Device], hardware: Sequence[Hardware]) -> Room:
    """As of when the cards were looked for."""
    cards = {card.id: card.free_bytes for card in hardware if card.backend != "cpu"}
    local = [d for d in devices if d.backend != "cpu" and d.host == LOCAL]
    ram = next((card.free_bytes for card in hardware if card.backend == "cpu" and card.host == LOCAL), None)
    return Room({d.name: free for d in local if (free := cards.get(d.id)) is not None}, ram)


def room_as_read(devices: Sequence[Device], snapshot: TelemetrySnapshot, ram_bytes: int | None) -> Room:
    """As of the last readings, taken while nothing of this cluster ran."""
    free = {}
    for device in devices:
        sample = snapshot.samples.get(device.name)
        if sample is None or device.backend == "cpu" or sample.used_bytes is None or sample.total_bytes is None:
            continue
        # What a process of ours still held when it was read is back by now.
        free[device.name] = min(sample.total_bytes, sample.total_bytes - sample.used_bytes + (sample.own_bytes or 0))
    return Room(free, ram_bytes)


def no_room(session: Session, plan: Plan, room: Room) -> str | None:
    """Why the plan cannot be held now, with the device and the MiB; None when it can, or nothing is known."""
    outlook = session.forecast(plan)
    if outlook is None or session.shape is None:
        return None
    short = []
    for device, memory in zip(plan.devices, outlook.devices, strict=True):
        free, need = room.free.get(device.name), memory.total_bytes
        if free is not None and need > free:
            short.append(
                f"{clean_line(device.name, 40)} has {mib(free)} MiB free and would hold {mib(need)}, "
                f"short by {missing_mib(need - free)}"
            )
    if missing := short_of_ram(plan, outlook, room.ram_bytes):
        short.append(f"this machine's memory is short by {missing_mib(missing)}, of {mib(room.ram_bytes)} MiB free")
    if not short:
        return None
    return (
        f"there is no room for this now: {'; '.join(short)}. End what uses it, move layers away, or use a smaller "
        "ctx-size. To start it all the same: Force start in the palette, or hettui up --force"
    )
