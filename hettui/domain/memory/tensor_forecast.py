"""What devices and host hold with `--split-mode tensor`.

Weights and context are shared out (`tensor_shares`). The graph is laid out once, for all devices as if they were one,
and each of them takes a compute buffer for the whole of it (`ggml_backend_meta_buffer_type_alloc_buffer` of
ggml-backend-meta.cpp, b11434; the same sizes in b10068). That one device overlaps no micro-batches, helps no host and
fuses nothing; flash attention is on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hettui.domain.devices.device import Device
from hettui.domain.memory import compute
from hettui.domain.memory.amount import Memory
from hettui.domain.memory.context import context_bytes_per_block
from hettui.domain.memory.flash import attention
from hettui.domain.memory.layout import layout_of
from hettui.domain.memory.tensor_shares import exchange_bytes, shares
from hettui.domain.memory.weights import host_weights
from hettui.domain.memory.workload import Workload
from hettui.domain.model.weights import CPU, buffer_kind
from hettui.domain.plan.split import HOST, Split
from hettui.domain.records import dataclass
from hettui.domain.units import MIB

_CUDA_TOGETHER_BYTES = 816 * MIB
"""What CUDA takes on each card that works with another one, beside what one takes by itself: two H200, b11434,
1,396 to 1,417 MiB beside llama.cpp's buffers (34 loads, tests/truth/tensor.jsonl)."""
_WITH_EXPERTS_BYTES = 96 * MIB
"""And so much more with some models of experts there: up to 1,516 MiB."""


@dataclass(frozen=True, slots=True)
class Held:
    """By device, and what the host holds."""

    devices: tuple[Memory, ...]
    host: Memory
    host_read_bytes: int
    """Of its weights what is really read."""


def held_as_one(
    workload: Workload, proportions: Sequence[int], host_layers: int, devices: Sequence[Device] | None = None
) -> Held:
    """By the devices that get something. What adds up their results is counted with the overhead: the log does not tell
    of it. `host_layers`: the first ones, which stay on the host."""
    workload = workload.having(replace(workload.params, flash_attn="on"))
    first, count = min(host_layers, workload.shape.blocks), len(proportions)
    kinds = tuple(buffer_kind(d.backend) for d in devices) if devices else (CPU,) * count
    given = shares(workload, tuple(proportions), kinds, first)
    backends = {d.backend for d in devices} if devices else {"cpu"}
    work = max(_work(workload, host_layers, backend, 0, devices or ()) for backend in backends)
    exchange = exchange_bytes(workload, count)
    held = tuple(
        Memory(weights, context, work, exchange + (_beside(workload, devices[i], count) if devices else 0))
        for i, (weights, context) in enumerate(zip(given.weights, given.context, strict=True))
    )
    helped = any(d.helps_host for d in devices or ())
    kept = host_weights(workload, first, False, not helped)
    context = sum(context_bytes_per_block(workload)[:first])
    host = Memory(kept.buffers_bytes, context, _work(workload, host_layers, "cpu", HOST, devices or ()))
    return Held(held, host, kept.read_bytes)


def _beside(workload: Workload, device: Device, count: int) -> int:
    """What its backend takes of it where so many share tensors."""
    if count < 2 or device.backend != "cuda":
        return device.overhead_bytes
    experts = _WITH_EXPERTS_BYTES if workload.shape.mixtures else 0
    return device.overhead_bytes + _CUDA_TOGETHER_BYTES + experts


def _work(workload: Workload, host_layers: int, backend: str, device: int, devices: Sequence[Device]) -> int:
    """The compute buffer of a device (0) or of the host."""
    blocks, layers = workload.shape.blocks, workload.shape.layers
    first = min(host_layers, blocks)
    attends = attention(workload, Split((layers - host_layers,), layers), devices[:1])
    layout = layout_of(workload, not host_layers, backend, False, attends)
    return compute.device_bytes(layout, device, [HOST] * first + [0] * (blocks - first), 0, 1)
