"""What every device and the host will hold: weights, context, compute buffer, overhead. Pure arithmetic.

Weights and context follow llama.cpp to the byte, the compute buffer follows a sketch of its graph (`compute`);
all of it was compared with real loads of b10068 and b11434, see tests/truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hettui.domain.devices.device import HOST_KEY, Device
from hettui.domain.llama.beside import offloads_operations
from hettui.domain.llama.params import DRAFT_MTP
from hettui.domain.memory import compute
from hettui.domain.memory.amount import Memory as Memory
from hettui.domain.memory.beside_model import Projecting, adapter_buffers, host_adapters, projecting
from hettui.domain.memory.context import context_bytes_per_block
from hettui.domain.memory.draft import draft_workload
from hettui.domain.memory.flash import attention
from hettui.domain.memory.layout import input_copies, layout_of
from hettui.domain.memory.weights import host_weights, model_buffers
from hettui.domain.memory.workload import Workload, remembered
from hettui.domain.model.weights import CPU, buffer_kind
from hettui.domain.plan.beside_place import draft_place
from hettui.domain.plan.split import HOST, Split
from hettui.domain.records import dataclass
from hettui.domain.text import clean_line
from hettui.domain.units import missing_mib


@dataclass(frozen=True, slots=True)
class Draft:
    """What a draft model takes."""

    device: int
    """Where its layers lie: a device, or `HOST`."""
    there: Memory
    """On that device; of a draft model on the host nothing."""
    host: Memory
    host_read_bytes: int = 0
    """Of its weights in the master's RAM what is really read."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """One `Memory` per device in device order, and the host's."""

    devices: tuple[Memory, ...]
    host: Memory
    budgets: tuple[int | None, ...]
    measured: frozenset[int] = frozenset()
    """Devices whose compute buffer is what an earlier launch reserved; one past the last stands for the host."""

    host_weights_bytes: int = 0
    """What is really read of the weights in the master's RAM; `host.weights_bytes` is the range that is mapped."""
    draft: Draft | None = None
    """The draft model's part in these numbers."""
    projecting: Projecting | None = None
    """The projector's part in them."""

    def short_bytes(self, device: int) -> int:
        """How much is missing on a device; 0 when it fits or no budget is known."""
        budget = self.budgets[device]
        memory = self.devices[device]
        # An empty device gets no buffer at all, so it fits any budget.
        if budget is None or memory.total_bytes == 0:
            return 0
        return max(0, memory.total_bytes - budget)

    @property
    def fits(self) -> bool:
        return not any(self.short_bytes(i) for i in range(len(self.devices)))


def shortage(outlook: Forecast, devices: Sequence[Device]) -> str:
    """`small is short by 222 MiB, big is short by 3 MiB`; empty when everything fits."""
    return ", ".join(
        f"{clean_line(device.name, 40)} is short by {missing_mib(outlook.short_bytes(i))}"
        for i, device in enumerate(devices)
        if outlook.short_bytes(i)
    )


def helping(devices: Sequence[Device], split: Split) -> int | None:
    """The device that computes large batches for the host: the first accelerator that the master drives itself.

    Workers never do (`ggml_backend_sched_backend_id_from_cur`: their backend has no `offload_op`; b10068, b11434).
    """
    return next((i for i in split.active if i < len(devices) and devices[i].helps_host), None)


def forecast(workload: Workload, split: Split, devices: Sequence[Device] | None = None) -> Forecast:
    """The memory of every device and of the host for one split, with that of the settings' draft model.

    `devices` is in the order of `split.layers`; without it the devices are anonymous: CPU workers without a budget
    and overhead.
    """
    outlook, draft = _with_beside(workload, split, devices), draft_of(workload, devices)
    if draft is None and (index := _of_last_block(split, workload.shape.blocks)) is not None:
        own, several = devices[index] if devices and index != HOST else None, len(split.active) > 1
        draft = mtp_of(workload, index, own, several=several and not split.host_layers)
    if draft is None:
        return outlook
    held, host = list(outlook.devices), outlook.host
    if draft.device != HOST:
        mine, overhead_bytes = held[draft.device], devices[draft.device].overhead_bytes if devices else 0
        there_bytes = draft.there.own_bytes
        held[draft.device] = replace(mine, overhead_bytes=overhead_bytes, draft_bytes=there_bytes)
    host = replace(host, draft_bytes=draft.host.own_bytes)
    return replace(outlook, devices=tuple(held), host=host, draft=draft)


def _with_beside(workload: Workload, split: Split, devices: Sequence[Device] | None) -> Forecast:
    """The model with the adapters, control vectors and the projector of the settings."""
    outlook, project = _of_model(workload, split, devices), projecting(workload, devices)
    if project is None and not (workload.companions.adapters or workload.params.control_vector):
        return outlook
    held, shared = list(outlook.devices), workload.params.shares_tensors
    for i in split.active:
        buffers = adapter_buffers(workload, buffer_kind(devices[i].backend) if devices else CPU)
        # Where tensors are shared out, each device has all of what control vectors add.
        blocks = split.block_range(i) if not shared else range(split.host_layers, workload.shape.blocks)
        adapted = sum(buffers.blocks[blocks.start : blocks.stop])
        adapted += buffers.output if split.output_device == i else 0
        held[i] = replace(held[i], beside_bytes=adapted)
    host = host_adapters(workload, len(split.block_range(HOST)), split.output_device == HOST)
    if project is not None:
        host += project.host.total
        if project.device != HOST:
            mine, overhead = held[project.device], devices[project.device].overhead_bytes if devices else 0
            more = mine.beside_bytes + project.there.total
            held[project.device] = replace(mine, overhead_bytes=overhead, beside_bytes=more)
    told = replace(outlook.host, beside_bytes=host)
    return replace(outlook, devices=tuple(held), host=told, projecting=project)


def draft_of(workload: Workload, devices: Sequence[Device] | None = None) -> Draft | None:
    """What the draft model of the settings takes; None without one, or where nobody has read it."""
    place = draft_place(workload.params, devices)
    if place is None:
        return None
    device = devices[place] if devices and place != HOST else None
    backend, attached = (device.backend, device.via == "master") if device is not None else (HOST_KEY, False)
    found = _draft_in(workload, backend, attached)
    return None if found is None else replace(found, device=place)


def _of_last_block(split: Split, blocks: int) -> int | None:
    """Who holds it: a device or the host."""
    last = blocks - 1
    return next((i for i in (HOST, *split.active) if last in split.block_range(i)), None)


def mtp_of(workload: Workload, place: int, device: Device | None = None, *, several: bool = False) -> Draft | None:
    """The second context of the model's own MTP block, which lies with it; None where nobody asks for it. Its weights
    are counted with the model's blocks. `several`: more than one device holds the model's layers, and the host none:
    newer builds overlap this context's micro-batches, too."""
    draft = workload.params.draft
    if draft is None or draft.type != DRAFT_MTP:
        return None
    backend, attached = (device.backend, device.via == "master") if device is not None else ("cpu", False)
    found = _draft_in(workload, HOST_KEY if place == HOST else backend, attached, several)
    if found is None:
        return None
    there, host = replace(found.there, weights_bytes=0), replace(found.host, weights_bytes=0)
    return Draft(place, there, host)


@remembered
def _draft_in(workload: Workload, backend: str, attached: bool, several: bool = False) -> Draft | None:
    """On a device of that kind, or on the host."""
    own = draft_workload(workload)
    if own is None:
        return None
    if backend == HOST_KEY:
        outlook = _of_model(own, Split((), own.shape.layers), ())
        return Draft(HOST, Memory(), outlook.host, outlook.host_weights_bytes)
    device = Device("draft", backend=backend, via="master" if attached else "worker")
    outlook = _of_model(own, Split((own.shape.layers,), own.shape.layers), (device,), several=several)
    return Draft(0, outlook.devices[0], outlook.host, outlook.host_weights_bytes)


def _of_model(workload: Workload, split: Split, devices: Sequence[Device] | None, *, several: bool = False) -> Forecast:
    budgets = tuple(d.budget_bytes for d in devices) if devices else (None,) * len(split.layers)
    if workload.params.shares_tensors and split.active:
        return _shared_out(workload, split, devices, budgets)
    context, several = context_bytes_per_block(workload), several or len(split.active) > 1
    copies = input_copies(workload, several=several, full_offload=not split.host_layers)
    beside = helping(devices or (), split)
    helper = beside if offloads_operations(workload.extra_args) else None
    attends = attention(workload, split, devices or ())
    output_device = split.output_device
    places = [HOST] * min(split.host_layers, workload.shape.blocks)
    for i in range(len(split.layers)):
        places += [i] * len(split.block_range(i))

    def work(index: int, device: Device | None) -> int:
        backend, attached = (device.backend, device.helps_host) if device else ("cpu", False)
        layout = layout_of(workload, not split.host_layers, backend, attached, attends)
        return compute.device_bytes(layout, index, places, output_device, copies, helper)

    def held(index: int) -> Memory:
        if not split.layers[index]:
            return Memory()
        device = devices[index] if devices else None
        blocks = split.block_range(index)
        weights = model_buffers(workload, buffer_kind(device.backend) if device else CPU)
        output = output_device == index
        return Memory(
            sum(weights.blocks[blocks.start : blocks.stop])
            + (weights.rope if blocks else 0)
            + (weights.output if output else 0),
            sum(context[blocks.start : blocks.stop]),
            work(index, device),
            device.overhead_bytes if device else 0,
        )

    host_blocks = split.block_range(HOST)
    kept = host_weights(workload, len(host_blocks), output_device == HOST, beside is None)
    host = Memory(
        kept.buffers_bytes,
        sum(context[host_blocks.start : host_blocks.stop]),
        work(HOST, None),
    )
    return Forecast(tuple(held(i) for i in range(len(split.layers))), host, budgets, host_weights_bytes=kept.read_bytes)


def _shared_out(
    workload: Workload, split: Split, devices: Sequence[Device] | None, budgets: tuple[int | None, ...]
) -> Forecast:
    """With `--split-mode tensor`: the layers are proportions."""
    from hettui.domain.memory.tensor_forecast import held_as_one

    own = [devices[i] for i in split.active] if devices else None
    one = held_as_one(workload, [split.layers[i] for i in split.active], split.host_layers, own)
    held = [Memory()] * len(split.layers)
    for i, memory in zip(split.active, one.devices, strict=True):
        held[i] = memory
    return Forecast(tuple(held), one.host, budgets, host_weights_bytes=one.host_read_bytes)
