"""A first split: every device filled to the same part of its budget.

For a fixed device order and contiguous blocks this is exact: the smallest fill ratio at which everything
finds a place is found by bisection, and for one ratio filling greedily from the last device backwards places
the most. What no budget takes stays on the host, which holds the first layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from hettui.domain.device import Device
from hettui.domain.memory import compute_bytes, context_bytes_per_block, context_size, output_compute_bytes
from hettui.domain.model import ModelShape
from hettui.domain.params import RuntimeParams
from hettui.domain.split import Split, proportional

_STEPS = 24
"""Of bisection: budgets are then met to better than one part in ten million."""


def propose(shape: ModelShape, params: RuntimeParams, devices: Sequence[Device]) -> Split:
    """The split with even headroom. Locked devices keep `layers`; without any budget the layers are shared evenly."""
    if not devices:
        return Split((), shape.layers)
    locked = {i: d.layers or 0 for i, d in enumerate(devices) if d.locked}
    free = [i for i in range(len(devices)) if i not in locked]
    if free and all(devices[i].budget_bytes is None for i in free):
        return _shared_evenly(shape, len(devices), locked, free)
    costs = _Costs(shape, params, devices)
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


class _Costs:
    """Bytes per layer and per device, read once from the memory model."""

    def __init__(self, shape: ModelShape, params: RuntimeParams, devices: Sequence[Device]) -> None:
        context = context_bytes_per_block(shape, params)
        layers = [w + c for w, c in zip(shape.block_bytes, context, strict=True)] + [shape.output_bytes]
        self.total_layers = len(layers)
        self._below = [0, *accumulate(layers)]
        self._with_blocks = compute_bytes(shape, params, context_size(shape, params))
        self._output_only = output_compute_bytes(shape, params)
        self._overhead = [d.overhead_bytes for d in devices]

    def held_bytes(self, device: int, first: int, last: int) -> int:
        """What a device needs for the layers first … last; the output layer has the highest number."""
        compute = self._with_blocks if first < self.total_layers - 1 else self._output_only
        return self._below[last + 1] - self._below[first] + compute + self._overhead[device]


def _place(costs: _Costs, devices: Sequence[Device], locked: dict[int, int], ratio: float) -> list[int]:
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
