"""Devices that were looked for again: what is there now, and what is not any more, which stays with its reason."""

from __future__ import annotations

from dataclasses import replace

from hettui.domain.devices.device import Device
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.session.session import Session

GONE = "it was here when hettui was opened and is not found any more"


def looked_again(before: Session, found: Session) -> Session:
    """The session with the devices that are there now. Model and settings stay; a device that went stays as missing."""
    names = {d.name for d in found.devices}
    gone = tuple(
        d if d.is_imagined else replace(d, missing=f"{d.name}: {GONE}") for d in before.devices if d.name not in names
    )
    devices = (*found.devices, *gone)
    cluster = found.cluster and replace(
        found.cluster, devices=devices, model_path=before.config.model_path or "", params=before.config.params
    )
    return replace(
        before, hardware=found.hardware, devices=devices, cluster=cluster, problem=found.problem, refused=found.refused
    )


def on_devices(plan: Plan, devices: tuple[Device, ...]) -> Plan:
    """The plan on these devices: each keeps its place, layers and lock; new ones come last and hold nothing."""
    now = {d.name: d for d in devices}
    kept = tuple(replace(now[d.name], locked=d.locked, layers=d.layers) for d in plan.devices if d.name in now)
    more = tuple(d for d in devices if d.name not in {one.name for one in kept})
    held = [n for d, n in zip(plan.devices, plan.split.layers, strict=True) if d.name in now]
    split = Split((*held, *(0 for _ in more)), plan.split.total_layers)
    away = [plan.away_of(i) for i, d in enumerate(plan.devices) if d.name in now]
    return replace(plan, devices=(*kept, *more), split=split, away=(*away, *(0 for _ in more)) if any(away) else ())


def difference(before: Session, after: Session) -> str:
    """What is to be said of it."""
    was = {d.name: d.missing for d in before.devices}
    now = {d.name: d.missing for d in after.devices}
    back = [name for name in now if not now[name] and was.get(name)]
    new = [name for name in now if name not in was]
    gone = [name for name in now if now[name] and name in was and not was[name]]
    parts = [
        f"{words}: {', '.join(names)}"
        for words, names in (("found again", back), ("new", new), ("gone", gone))
        if names
    ]
    return " · ".join(parts) or "the devices are as before"
