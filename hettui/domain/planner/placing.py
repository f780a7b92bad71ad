"""A workload's experts, or its FFN where it is dense, as a search: what every run of layers takes and costs, and the
plan that comes of it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from itertools import accumulate, pairwise

from hettui.domain.devices.device import Device, locked_layers
from hettui.domain.memory.context import context_bytes_per_block
from hettui.domain.memory.costs import LayerCosts
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.weights import model_buffers, reads_apart, tensor_bytes, tensors_on_host
from hettui.domain.memory.workload import Workload, remembered
from hettui.domain.model.weights import CPU
from hettui.domain.plan.experts import override
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.planner.experts import MOST_STEPS, Placed, Placing, Run, place
from hettui.domain.planner.least import Costs
from hettui.domain.planner.promise import CROSSING_S
from hettui.domain.planner.search import INFINITE
from hettui.domain.speed.pace import Pace, below_s, pace
from hettui.domain.units import MIB

_TRIES = 4
_HOST_SPARE_BYTES = 64 * MIB
"""Of this machine's memory, for its own compute buffer."""


def with_parts_in_ram(
    workload: Workload,
    devices: tuple[Device, ...],
    ram_bytes: int | None = None,
    host_bytes_per_s: float | None = None,
    most_steps: int = MOST_STEPS,
) -> tuple[Plan, Placed] | None:
    """The least time per token of one stream, with experts, or FFN, in the master's RAM as far as they must. None for a
    model without either, without a card of this machine's, or when nothing fits even so."""
    if not any(d.helps_host for d in devices) or not any(_part_bytes(workload)):
        return None
    table = _Table(workload, devices, host_bytes_per_s)
    left = INFINITE if ram_bytes is None else ram_bytes - workload.shape.host_bytes - _HOST_SPARE_BYTES
    found = _fitting(table, left, most_steps)
    if found is None or found[0].away or forecast(workload, found[0].split, found[0].devices).fits:
        return found
    # Nothing need leave but for the copies of inputs, which llama.cpp keeps only where nothing has left.
    best = None
    for device in (i for i, d in enumerate(devices) if d.helps_host):
        found = _fitting(table, left, most_steps, leaving=device)
        if found is not None and (best is None or found[1].value < best[1].value):
            best = found
    return best


def _fitting(
    table: _Table, ram_bytes: float, most_steps: int, leaving: int | None = None
) -> tuple[Plan, Placed] | None:
    """The card that helps the host computes for the others' blocks as well, and what that takes depends on how theirs
    are divided: a run alone does not say it. Where the whole does not fit, it is searched again with that much less."""
    table.unseen_bytes = [0] * len(table.devices)
    best = None
    for _ in range(_TRIES):
        found = place(table.problem(ram_bytes, leaving), most_steps)
        if found is None:
            return best
        best = table.plan(found), found
        if not best[0].away or not table.sees_more(best[0]):
            break
    return best


@remembered
def _all_away(workload: Workload) -> Workload:
    said = override(range(workload.shape.blocks), workload.shape.moves)
    params = workload.params
    return workload.having(replace(params, override_tensor=(*params.override_tensor, *said)))


@remembered
def _part_bytes(workload: Workload) -> tuple[int, ...]:
    """By block: of the experts, or FFN, that can still leave."""
    away, already = tensors_on_host(_all_away(workload)), tensors_on_host(workload)
    return tuple(sum(kept.values()) - sum(before.values()) for kept, before in zip(away, already, strict=True))


@remembered
def _penalties(workload: Workload, own: Pace, host: Pace) -> tuple[float, ...]:
    """Of the first n blocks: what a token takes longer with their parts in RAM. Nobody computes slower than the
    host."""
    found, (there, _) = [0.0], reads_apart(_all_away(workload))
    for size, reads in zip(_part_bytes(workload), there, strict=False):
        longer = max(0.0, host.layer_s(reads) - own.layer_s(reads) + own.seconds_per_layer)
        found.append(found[-1] + (longer + CROSSING_S if size else 0.0))
    return tuple(found)


@remembered
def _needed(workload: Workload) -> tuple[int, ...]:
    """By layer: the bytes that it takes at least, whatever kind of device has it."""
    held, kept, context = tensor_bytes(workload), tensors_on_host(workload), context_bytes_per_block(workload)
    blocks = zip(held, kept, context, strict=True)
    output = model_buffers(workload, CPU).output
    return (*(sum(all_.values()) - sum(there.values()) + c for all_, there, c in blocks), output)


class _Table:
    def __init__(self, workload: Workload, devices: tuple[Device, ...], host_bytes_per_s: float | None) -> None:
        self.workload, self.devices, self.shape = workload, devices, workload.shape
        away = _all_away(workload)
        self.part_bytes = _part_bytes(workload)
        self.here = LayerCosts(workload, devices, several=False)
        self.away = LayerCosts(away, devices, several=False, helps=True)
        self.beside = LayerCosts(away, devices, several=False, helps=False)
        """Of cards that do not help: another one comes first."""
        self.parts = [*accumulate(self.part_bytes, initial=0)]
        self.last_block = self.shape.blocks - 1
        self.paces = [pace(d) for d in devices]
        self.below = [below_s(self.shape, p) for p in self.paces]
        """By device: what the first n layers cost there."""
        host = pace(Device("host", bandwidth_bytes_per_s=host_bytes_per_s))
        self.penalties = [_penalties(workload, p, host) for p in self.paces]
        self.leaving: int | None = None
        self.unseen_bytes = [0] * len(devices)
        """By device: what it needs of its budget beyond what is known of a run alone."""

    def budget_bytes(self, device: int) -> int | None:
        budget = self.devices[device].budget_bytes
        return None if budget is None else max(0, budget - self.unseen_bytes[device])

    def sees_more(self, plan: Plan) -> bool:
        """Whether some device is short with the plan, and is known now to need more than was thought."""
        whole = forecast(self.workload.having(plan.settings(self.workload.params)), plan.split, plan.devices)
        places = {d.name: i for i, d in enumerate(self.devices)}
        first, before = 0, list(self.unseen_bytes)
        for d, memory, count, away in zip(plan.devices, whole.devices, plan.split.layers, plan.away, strict=True):
            if count and d.budget_bytes is not None and memory.total_bytes > d.budget_bytes:
                device = places[d.name]
                unseen = memory.total_bytes - self.needed_bytes(device, first, first + count - 1, away)
                self.unseen_bytes[device] = max(unseen, self.unseen_bytes[device])
            first += count
        return self.unseen_bytes != before

    def needed_bytes(self, device: int, first: int, last: int, away: int) -> int:
        """Of a run with the parts of so many blocks in RAM, as the search reckons."""
        held = self.here.held_bytes(device, first, last)
        if not self.devices[device].helps_host:
            return held
        stop = min(last, self.last_block) + 1
        start, stay = self.parts[min(first, stop)], self.parts[stop - away]
        return max(self.without_bytes(device, first, last), held - self.parts[stop] + start) + stay - start

    def problem(self, ram_bytes: float, leaving: int | None = None) -> Placing:
        """`leaving`: a device that holds something, of which something leaves whether it must or not."""
        shape, devices, self.leaving = self.shape, self.devices, leaving
        budgets = [self.budget_bytes(i) for i in range(len(devices))]
        rooms = [INFINITE if b is None else max(0, b - self._besides_bytes(i)) for i, b in enumerate(budgets)]
        away = [
            [b - a for a, b in pairwise(table)] if d.helps_host else [INFINITE] * self.shape.blocks
            for table, d in zip(self.penalties, devices, strict=True)
        ]
        costs = Costs(
            [[b - a for a, b in pairwise(row)] for row in self.below],
            _needed(self.workload),
            (*self.part_bytes, 0),
            [[*row, INFINITE] for row in away],
            rooms,
        )
        return Placing(
            shape.layers,
            len(devices),
            self.run,
            costs,
            [p.hop_s for p in self.paces],
            ram_bytes,
            locked_layers(devices),
            frozenset() if leaving is None else frozenset({leaving}),
        )

    def _besides_bytes(self, device: int) -> int:
        """What a device needs beside its layers, at least."""
        costs = self.away if self.devices[device].helps_host else self.here
        return costs.besides_bytes(device) + costs.least_work_bytes(device)

    def run(self, device: int, first: int, last: int) -> Run | None:
        """With the parts of as few blocks in RAM as make it fit."""
        own, d, below = self.paces[device], self.devices[device], self.below[device]
        cost = own.hop_s + below[last + 1] - below[first]
        away = self.fewest_away(device, first, last, self.without_bytes(device, first, last) if d.helps_host else None)
        stop = min(last, self.last_block) + 1
        if device == self.leaving and away == 0:
            away = 1 if first < stop and self.part_bytes[stop - 1] else None
        if away is None:
            return None
        table = self.penalties[device]
        return Run(cost + table[stop] - table[stop - away], away, self.parts[stop] - self.parts[stop - away])

    def without_bytes(self, device: int, first: int, last: int) -> int:
        """Of a run of an attached card with all parts in RAM: whether it is the one that helps is not known yet."""
        return max(costs.held_bytes(device, first, last) for costs in (self.away, self.beside))

    def fewest_away(self, device: int, first: int, last: int, without: int | None) -> int | None:
        """The parts of so many of the run's last blocks leave; None: it does not even fit without all of them.

        `without`: bytes with all of them in RAM; None where none may leave.
        """
        budget = self.budget_bytes(device)
        held = self.here.held_bytes(device, first, last)
        if without is None:
            return 0 if budget is None or held <= budget else None
        stop = min(last, self.last_block) + 1
        parts, start = self.parts, min(first, stop)
        whole = parts[stop] - parts[start]
        if budget is None or max(held, without + whole) <= budget:
            return 0
        if without > budget:
            return None
        # Up to where the parts of the first blocks find room beside the rest.
        room = budget - max(without, held - whole) + parts[start]
        stay = max(start, min(stop, bisect_right(parts, room, start, stop + 1) - 1))
        return stop - stay

    def plan(self, found: Placed) -> Plan:
        """With devices that hold nothing behind the others. Only the first card helps the host: others have more room
        than the search gave them."""
        order, away, first, helper = list(found.order), list[int](), 0, False
        for device, count, said in zip(found.order, found.counts, found.away, strict=True):
            attached = self.devices[device].helps_host
            if said and attached and helper:
                last = first + count - 1
                fewer = self.fewest_away(device, first, last, self.beside.held_bytes(device, first, last))
                fewer = max(fewer, 1) if fewer is not None and device == self.leaving else fewer
                said = said if fewer is None else min(said, fewer)
            helper, first = helper or attached, first + count
            away.append(said)
        idle = [i for i in range(len(self.devices)) if i not in order]
        counts = (*found.counts, *(0 for _ in idle))
        plan = Plan(tuple(self.devices[i] for i in (*order, *idle)), Split(counts, self.shape.layers))
        return plan.with_all_away((*away, *(0 for _ in idle)), self.shape.moves)
