"""A first split: every device filled to the same part of its budget.

For a fixed device order and contiguous blocks this is exact: the smallest fill ratio at which everything
finds a place is found by bisection, and for one ratio filling greedily from the last device backwards places
the most. What no budget takes stays on the host, which holds the first layers.
"""

from __future__ import annotations

from collections.abc import Sequence

from hettui.domain.device import Device
from hettui.domain.engine_info import NEWEST_BUILD
from hettui.domain.memory import LayerCosts
from hettui.domain.model import ModelShape
from hettui.domain.params import RuntimeParams
from hettui.domain.split import Split, proportional

_STEPS = 24
"""Of bisection: budgets are then met to better than one part in ten million."""


def propose(shape: ModelShape, params: RuntimeParams, devices: Sequence[Device], *, build: int = NEWEST_BUILD) -> Split:
    """The split with even headroom. Locked devices keep `layers`; without any budget the layers are shared evenly."""
    if not devices:
        return Split((), shape.layers)
    locked = {i: d.layers or 0 for i, d in enumerate(devices) if d.locked}
    free = [i for i in range(len(devices)) if i not in locked]
    if free and all(devices[i].budget_bytes is None for i in free):
        return _shared_evenly(shape, len(devices), locked, free)
    costs = LayerCosts(shape, params, devices, build)
    fullest = _place(costs, devices, locked, 1.0)
    if sum(fullest) < shape.layers:
        return Split(tuple(fullest), shape.layers)
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if sum(_place(costs, devices, locked, middle)) == shape.layers:
            high = middle
        else:
            low = middle
    return Split(tuple(_place(costs, devices, locked, high)), shape.layers)


def _shared_evenly(shape: ModelShape, count: int, locked: dict[int, int], free: list[int]) -> Split:
    layers = [locked.get(i, 0) for i in range(count)]
    left = max(0, shape.layers - sum(layers))
    for i, share in zip(free, proportional([1.0] * len(free), left), strict=True):
        layers[i] = share
    return Split(tuple(layers), shape.layers)


def _place(costs: LayerCosts, devices: Sequence[Device], locked: dict[int, int], ratio: float) -> list[int]:
    """Layers per device when each may use `ratio` of its budget, filled from the last device backwards."""
    counts = [0] * len(devices)
    layer = costs.total_layers - 1
    for i in range(len(devices) - 1, -1, -1):
        if i in locked:
            counts[i] = min(locked[i], layer + 1)
            layer -= counts[i]
            continue
        budget = devices[i].budget_bytes
        room = float("inf") if budget is None else budget * ratio
        last = layer
        while layer >= 0 and costs.held_bytes(i, layer, last) <= room:
            layer -= 1
        counts[i] = last - layer
    return counts
