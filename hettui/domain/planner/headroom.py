"""A first split: every device filled to the same part of its budget.

For a fixed device order and contiguous blocks this is exact: dynamic programming over devices and layers, with what
the memory model says every run of layers needs. What no budget takes stays on the host, which holds the first layers.
"""

from __future__ import annotations

from collections.abc import Sequence

from hettui.domain.devices.device import Device, locked_layers
from hettui.domain.memory.costs import LayerCosts
from hettui.domain.memory.workload import Workload
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.split import Split, proportional


def propose(workload: Workload, devices: Sequence[Device]) -> Split:
    """The split with even headroom. Locked devices keep `layers`; without any budget the layers are shared evenly."""
    shape = workload.shape
    if not devices:
        return Split((), shape.layers)
    if workload.params.shares_tensors:
        from hettui.domain.planner.sharing import share_out

        return share_out(workload, devices)
    locked = locked_layers(devices)
    free = [i for i in range(len(devices)) if i not in locked]
    if free and all(devices[i].budget_bytes is None for i in free):
        return _shared_evenly(shape, len(devices), locked, free)
    # One device alone needs less than one of several, and a model that is partly on the host needs less again.
    single = LayerCosts(workload, devices, several=False)
    found = [
        (ratio, tuple(shape.layers * (i == index) for i in range(len(devices))))
        for index, ratio in alone(single, devices).items()
    ]
    if len(devices) > 1:
        costs = LayerCosts(workload, devices, several=True)
        whole = _Search(costs, devices, locked).whole()
        found += [whole] if whole is not None else []
    best = min(found, default=None)
    if best is not None:
        return Split(best[1], shape.layers)
    costs = LayerCosts(workload, devices, several=False, full_offload=False)
    return Split(_Search(costs, devices, locked, host_too=True).most(), shape.layers)


def alone(costs: LayerCosts, devices: Sequence[Device]) -> dict[int, float]:
    """The devices that can hold everything by themselves, and how full each is then as a part of its budget.

    `costs`: of one device alone, which needs less than one of several.
    """
    locked, layers = locked_layers(devices), costs.total_layers
    found = {}
    for i, device in enumerate(devices):
        if any(n for j, n in locked.items() if j != i) or locked.get(i, layers) != layers:
            continue
        budget, held = device.budget_bytes, costs.held_bytes(i, 0, layers - 1)
        ratio = 0.0 if budget is None else held / budget if budget else float("inf")
        if ratio <= 1:
            found[i] = ratio
    return found


def _shared_evenly(shape: ModelShape, count: int, locked: dict[int, int], free: list[int]) -> Split:
    layers = [locked.get(i, 0) for i in range(count)]
    left = max(0, shape.layers - sum(layers))
    for i, share in zip(free, proportional([1.0] * len(free), left), strict=True):
        layers[i] = share
    return Split(tuple(layers), shape.layers)


class _Search:
    """For every device and first layer: the least highest fill ratio with which the devices from here on take the
    rest, and how many layers the device takes then."""

    def __init__(
        self, costs: LayerCosts, devices: Sequence[Device], locked: dict[int, int], *, host_too: bool = False
    ) -> None:
        self._total = total = costs.total_layers
        self._best = [[float("inf")] * (total + 1) for _ in range(len(devices) + 1)]
        self._taken = [[0] * (total + 1) for _ in devices]
        self._best[-1][total] = 0.0
        for i in range(len(devices) - 1, -1, -1):
            # The first device begins with the first layer, unless the host may hold some before it.
            for first in range(total, -1, -1) if i or host_too else (0,):
                self._try(costs, i, first, devices[i].budget_bytes, locked.get(i))

    def _try(self, costs: LayerCosts, device: int, first: int, budget: int | None, locked: int | None) -> None:
        following, best = self._best[device + 1], self._best[device]
        counts = range(self._total - first + 1) if locked is None else range(locked, locked + 1)
        for count in counts:
            if first + count > self._total:
                return
            ratio = 0.0
            if count and budget is not None:
                held = costs.held_bytes(device, first, first + count - 1)
                ratio = held / budget if budget else float("inf")
                # Beyond its budget, or worse than what was found: more layers make it no better.
                if locked is None and (ratio > 1 or ratio > best[first]):
                    return
            found = max(ratio, following[first + count])
            if found < best[first]:
                best[first], self._taken[device][first] = found, count

    def whole(self) -> tuple[float, tuple[int, ...]] | None:
        """The highest fill ratio and the layers per device when nothing stays on the host."""
        return None if self._best[0][0] > 1 else (self._best[0][0], self._layers(0))

    def most(self) -> tuple[int, ...]:
        """As many layers as fit when the first stay on the host, at least one."""
        for first in range(1, self._total + 1):
            if self._best[0][first] <= 1:
                return self._layers(first)
        # Only locks can ask for the impossible: they are kept, the rest stays on the host.
        return tuple(0 for _ in self._taken)

    def _layers(self, first: int) -> tuple[int, ...]:
        layers = []
        for taken in self._taken:
            layers.append(taken[first])
            first += layers[-1]
        return tuple(layers)
