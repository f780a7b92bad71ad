"""What any run of layers needs on a device, for searching splits."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from hettui.domain.devices.device import Device
from hettui.domain.llama.beside import offloads_operations
from hettui.domain.memory import compute
from hettui.domain.memory.beside_model import adapter_buffers, projecting
from hettui.domain.memory.context import context_bytes_per_block
from hettui.domain.memory.forecast import draft_of, mtp_of
from hettui.domain.memory.layout import input_copies, layout_of
from hettui.domain.memory.weights import model_buffers
from hettui.domain.memory.workload import Workload, remembered
from hettui.domain.model.weights import buffer_kind
from hettui.domain.plan.split import HOST


def _runs(ends: Sequence[int]) -> list[tuple[int, int, int]]:
    """Per block: the number, the first block and the end of its run of equal blocks."""
    found: list[tuple[int, int, int]] = []
    for i, end in enumerate(ends):
        same = i > 0 and ends[i - 1] == end
        found.append((found[-1][0], found[-1][1], end) if same else (len(found), i, end))
    return found


@remembered
def _known_work(
    workload: Workload, full_offload: bool, backend: str, attached: bool, copies: int, helps: bool
) -> dict[tuple[int, ...], int]:
    """What `LayerCosts` found out about a kind of device, so that the next search need not: by a run's two ends, and by
    what it is like."""
    return {}


_OTHER = -2
"""Any other device."""


_HOLES = 0.9


class LayerCosts:
    """What any run of layers needs on a device, for searching splits."""

    def __init__(
        self,
        workload: Workload,
        devices: Sequence[Device],
        *,
        several: bool,
        full_offload: bool = True,
        helps: bool | None = None,
    ) -> None:
        """`several`: more than one device holds layers. `full_offload`: nothing stays on the host. `helps`: whether the
        cards of this machine compute large batches for it; None: the first of them does where there is something."""
        context = context_bytes_per_block(workload)
        self.total_layers = workload.shape.layers
        self._layouts = [layout_of(workload, full_offload, d.backend, d.helps_host) for d in devices]
        self._copies = input_copies(workload, several=several, full_offload=full_offload)
        # Whoever stands before a run of layers, or the host where that can be: it may hand over work, too.
        self._before = (_OTHER,) if full_offload else (_OTHER, HOST)
        draft, project = draft_of(workload, devices), projecting(workload, devices)
        self._besides = [
            d.overhead_bytes
            + (draft.there.own_bytes if draft is not None and draft.device == i else 0)
            + (project.there.total if project is not None and project.device == i else 0)
            for i, d in enumerate(devices)
        ]
        # Of several the first that holds layers: one that is passed over is thought to help as well.
        first = next((i for i, d in enumerate(devices) if d.helps_host), None)
        needed = (workload.params.overrides or not full_offload) and offloads_operations(workload.extra_args)
        self._helps = [
            bool(needed and (i == first if helps is None else helps and d.helps_host)) for i, d in enumerate(devices)
        ]
        mtp = [mtp_of(workload, i, d, several=several and full_offload) for i, d in enumerate(devices)]
        self._with_last = [0 if one is None else one.there.own_bytes for one in mtp]
        """What the last block brings along: the context of an MTP block at work."""
        self._work = [
            _known_work(workload, full_offload, d.backend, d.helps_host, self._copies, helps)
            for d, helps in zip(devices, self._helps, strict=True)
        ]
        self._runs = _runs(self._layouts[0].run_ends) if devices else []
        self._below: list[list[int]] = []
        self._rope: list[int] = []
        for device in devices:
            weights = model_buffers(workload, buffer_kind(device.backend))
            adapters = adapter_buffers(workload, buffer_kind(device.backend))
            below = [0]
            for w, a, c in zip(weights.blocks, adapters.blocks, context, strict=True):
                below.append(below[-1] + w + a + c)
            self._below.append([*below, below[-1] + weights.output + adapters.output])
            self._rope.append(weights.rope)

    def held_bytes(self, device: int, first: int, last: int) -> int:
        """What a device needs for the layers first … last; the output layer has the highest number."""
        below, blocks = self._below[device], self.total_layers - 1
        # By its ends at once: a search asks for the same runs thousands of times.
        work = self._work[device].get((first, last))
        work = self.work_bytes(device, first, last) if work is None else work
        rope = self._rope[device] if first < blocks else 0
        work += self._with_last[device] if first < blocks <= last + 1 else 0
        return below[last + 1] - below[first] + rope + work + self._besides[device]

    def work_bytes(self, device: int, first: int, last: int) -> int:
        """Its compute buffer for these layers."""
        ends, known = (first, last), self._work[device]
        if ends not in known:
            key = self._likeness(first, last)
            if key not in known:
                known[key] = self._work_bytes(device, first, last)
            known[ends] = known[key]
        return known[ends]

    def least_work_bytes(self, device: int) -> int:
        """Of any run. One of more layers computes what each of these does, but may find better holes for it: of 7,448
        runs of 44 models 8 needed less than any single layer, at worst 0.95 of that (jamba)."""
        least = min(self.work_bytes(device, layer, layer) for layer in range(self.total_layers))
        return int(_HOLES * least)

    def besides_bytes(self, device: int) -> int:
        """What a device holds whatever its layers are: its backend's own, and a draft model."""
        return self._besides[device]

    def reach(self, device: int, budget_bytes: int | None) -> list[int]:
        """For every last layer the smallest first one with which the run fits; last + 1 when not even one does."""
        if budget_bytes is None:
            return [0] * self.total_layers
        found, below, more = [0] * self.total_layers, self._below[device], 0
        for last in range(self.total_layers - 1, -1, -1):
            # A guess by what the run before needed beside its weights and context; then it is walked to the truth.
            first = min(max(bisect_left(below, below[last + 1] + more - budget_bytes), 0), last)
            held = self.held_bytes(device, first, last)
            while held > budget_bytes and first <= last:
                first += 1
                held = self.held_bytes(device, first, last) if first <= last else 0
            while first and first <= last and (next_held := self.held_bytes(device, first - 1, last)) <= budget_bytes:
                first, held = first - 1, next_held
            more = held - (below[last + 1] - below[first]) if first <= last else more
            found[last] = first
        return found

    def _likeness(self, first: int, last: int) -> tuple[int, ...]:
        """Equal for runs of layers that need the same compute buffer: they meet the same kinds of blocks, and of
        equal blocks no more than a few are laid out."""
        blocks, runs = self.total_layers - 1, self._runs
        stop = last + 1 if last < blocks else blocks
        if first >= stop:
            return (-1,)
        first_run, first_start, _ = runs[first]
        last_run, last_start, last_end = runs[stop - 1]
        most = compute.REPEATS
        if first_run == last_run:
            inside, outside = min(stop - first, most), 0
        else:
            inside, outside = min(runs[first][2] - first, most), min(stop - last_start, most)
        edges = (first == 0) * 8 + (first == first_start) * 4 + (stop == last_end) * 2 + (last == blocks)
        return first_run, last_run, inside, outside, edges

    def _work_bytes(self, device: int, first: int, last: int) -> int:
        blocks, layout = self.total_layers - 1, self._layouts[device]
        return max(
            compute.range_bytes(
                layout,
                first,
                min(last + 1, blocks),
                before,
                output=last == blocks,
                copies=self._copies,
                helps=self._helps[device],
            )
            for before in self._before
        )
