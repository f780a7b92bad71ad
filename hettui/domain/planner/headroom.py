"""A first split: every device filled to the same part of its budget.

For a fixed device order and contiguous blocks this is exact: dynamic programming over devices and layers, with what
the memory model says every run of layers needs. What no budget takes stays on the host, which holds the first layers.
"""

from __future__ import annotations

from collections.abc import Sequence

from hettui.domain.devices.device import Device, locked_layers
from hettui.domain.memory.costs import LayerCosts
from hettui.domain.memory.forecast import forecast
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
        whole = _Search(costs, [d.budget_bytes for d in devices], locked).whole()
        found += [whole] if whole is not None else []
    best = min(found, default=None)
    if best is not None:
        return Split(best[1], shape.layers)
    return _with_the_host(workload, devices, locked)


def _with_the_host(workload: Workload, devices: Sequence[Device], locked: dict[int, int]) -> Split:
    """As many layers as fit, the rest on the host. Which card computes for the host depends on which hold layers: what
    that takes is seen once a split stands, and where one does not fit it is searched again with that much less."""
    costs = LayerCosts(workload, devices, several=False, full_offload=False)
    unseen = [0] * len(devices)
    # Each time a card may turn out to be too small to be the one, and the next one is.
    for _ in range(len(devices) + 2):
        budgets = [
            None if d.budget_bytes is None else max(0, d.budget_bytes - u) for d, u in zip(devices, unseen, strict=True)
        ]
        split = Split(_Search(costs, budgets, locked).most(), workload.shape.layers)
        first, before = split.host_layers, list(unseen)
        for i, (device, memory) in enumerate(zip(devices, forecast(workload, split, devices).devices, strict=True)):
            count, budget = split.layers[i], device.budget_bytes
            if count and budget is not None and memory.total_bytes > budget and i not in locked:
                known = costs.held_bytes(i, first, first + count - 1)
                unseen[i] = max(unseen[i], memory.total_bytes - known)
            first += count
        if unseen == before:
            break
    return split


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
    """For a device and a first layer: the least highest fill ratio with which the devices from here on take the rest,
    and how many layers the device takes then. Only what the devices behind can hold at all is looked at."""

    def __init__(self, costs: LayerCosts, budgets: Sequence[int | None], locked: dict[int, int]) -> None:
        """`budgets` in bytes, by device; None: any."""
        self._costs, self._locked, self._total = costs, locked, costs.total_layers
        self._budgets, devices = budgets, range(len(budgets))
        self._ratio: list[list[float | None]] = [[None] * (self._total + 1) for _ in devices]
        self._ratio.append([*[float("inf")] * self._total, 0.0])
        self._taken = [[0] * (self._total + 1) for _ in devices]
        self._from = [0] * len(devices) + [self._total]
        """By device: the first layer from which it and those behind it can take everything."""
        for i in range(len(devices) - 1, -1, -1):
            self._from[i] = self._lowest(i, self._from[i + 1])

    def _lowest(self, device: int, end: int) -> int:
        """The lowest first layer of a run on a device that ends before a layer."""
        if device in self._locked:
            return max(0, end - self._locked[device])
        budget, low, high = self._budgets[device], 0, end
        while budget is not None and low < high:
            middle = (low + high) // 2
            if self._costs.held_bytes(device, middle, end - 1) <= budget:
                high = middle
            else:
                low = middle + 1
        return low

    def _best(self, device: int, first: int) -> float:
        ratio = self._ratio[device][first]
        if ratio is None:
            ratio = float("inf") if first < self._from[device] else self._try(device, first)
            self._ratio[device][first] = ratio
        return ratio

    def _try(self, device: int, first: int) -> float:
        budget, locked, best = self._budgets[device], self._locked.get(device), float("inf")
        following, held_bytes = self._ratio[device + 1], self._costs.held_bytes
        least = max(0, self._from[device + 1] - first)
        for count in range(least, self._total - first + 1) if locked is None else (locked,):
            if first + count > self._total:
                break
            ratio = 0.0
            if count and budget is not None:
                held = held_bytes(device, first, first + count - 1)
                ratio = held / budget if budget else float("inf")
                # Beyond its budget, or worse than what was found: more layers make it no better.
                if locked is None and (ratio > 1 or ratio > best):
                    break
            found = following[first + count]
            found = max(ratio, self._best(device + 1, first + count) if found is None else found)
            if found < best:
                best, self._taken[device][first] = found, count
        return best

    def whole(self) -> tuple[float, tuple[int, ...]] | None:
        """The highest fill ratio and the layers per device when nothing stays on the host."""
        ratio = self._best(0, 0)
        return None if ratio > 1 else (ratio, self._layers(0))

    def most(self) -> tuple[int, ...]:
        """As many layers as fit when the first stay on the host, at least one."""
        for first in range(max(1, self._from[0]), self._total + 1):
            if self._best(0, first) <= 1:
                return self._layers(first)
        # Only locks can ask for the impossible: they are kept, the rest stays on the host.
        return tuple(0 for _ in self._budgets)

    def _layers(self, first: int) -> tuple[int, ...]:
        layers = []
        for device in range(len(self._budgets)):
            layers.append(self._taken[device][first])
            first += layers[-1]
        return tuple(layers)
