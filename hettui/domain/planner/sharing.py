"""The first proportions of `split-mode = "tensor"`: the faster a card, the more of each tensor it gets, as far as it
fits. All cards compute at once, so the slowest one counts, and no order does."""

from __future__ import annotations

from collections.abc import Sequence

from hettui.domain.devices.device import Device
from hettui.domain.memory.forecast import Forecast, forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.split import Split, proportional
from hettui.domain.speed.pace import pace

_MOST_TRIES = 48


def share_out(workload: Workload, devices: Sequence[Device]) -> Split:
    """Layers as proportions: of the cards that the master drives, none for workers. Locked devices keep theirs. What
    fits no way stays on the host, the first layers."""
    total = workload.shape.layers
    found = _tried(workload, devices, total)
    if found is not None:
        return found
    low, high = 0, total - 1
    while low < high:
        middle = (low + high + 1) // 2
        if _tried(workload, devices, middle) is not None:
            low = middle
        else:
            high = middle - 1
    return _tried(workload, devices, low) or Split((0,) * len(devices), total)


def shared_by(devices: Sequence[Device]) -> list[int]:
    """Who may get something; where no card is the master's own, whoever could: that it cannot be is said elsewhere."""
    usable = [i for i, d in enumerate(devices) if d.budget_bytes != 0 and not _kept_empty(d)]
    return [i for i in usable if devices[i].via == "master"] or usable


def _kept_empty(device: Device) -> bool:
    return device.locked and not device.layers


def _tried(workload: Workload, devices: Sequence[Device], layers: int) -> Split | None:
    """So many layers in proportions with which all of it fits; None where none was found."""
    mine = shared_by(devices)
    kept = {i: devices[i].layers or 0 for i in mine if devices[i].locked}
    free, left = [i for i in mine if i not in kept], layers - sum(kept.values())
    if left < 0 or (left and not free) or not mine:
        return None
    counts = [kept.get(i, 0) for i in range(len(devices))]
    for i, share in zip(free, proportional(_wanted(devices, free), left) if free else (), strict=True):
        counts[i] = share
    for _ in range(_MOST_TRIES):
        split = Split(tuple(counts), workload.shape.layers)
        outlook = forecast(workload, split, devices)
        if outlook.fits:
            return split
        giver = max(free, key=outlook.short_bytes, default=-1)
        taker = max((i for i in free if i != giver), key=lambda i: _left(outlook, devices, i), default=-1)
        if giver < 0 or taker < 0 or not counts[giver] or _left(outlook, devices, taker) <= 0:
            return None
        step = _step(outlook, giver, counts[giver])
        counts[giver] -= step
        counts[taker] += step
    return None


def _wanted(devices: Sequence[Device], free: Sequence[int]) -> list[float]:
    """By how fast they read; where that is not known, by their budgets; else alike."""
    if all(pace(devices[i]).known for i in free):
        return [1 / pace(devices[i]).seconds_per_byte for i in free]
    budgets = [devices[i].budget_bytes for i in free]
    return [1.0 if b is None else float(b) for b in budgets] if None not in budgets else [1.0] * len(free)


def _left(outlook: Forecast, devices: Sequence[Device], index: int) -> float:
    budget = devices[index].budget_bytes
    # Who holds nothing yet would take what all of them take besides.
    held = outlook.devices[index].total_bytes or max(m.total_bytes for m in outlook.devices) // 4
    return float("inf") if budget is None else budget - held


def _step(outlook: Forecast, giver: int, count: int) -> int:
    """About as many layers as are too much."""
    memory = outlook.devices[giver]
    each = (memory.weights_bytes + memory.context_bytes) / max(1, count)
    return min(count, max(1, round(outlook.short_bytes(giver) / max(1.0, each) / 2)))
