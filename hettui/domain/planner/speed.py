"""How long a token takes on a device, from what is known about it: decoding reads every weight once.

The constants come from one H100 with a Llama 3.1 8B shape (b11434): 202 tokens/s attached, 121 to 135 through an rpc
server on loopback, 8.0 on a CPU worker with 8 threads, 4.5 with 4. They are a start; measured speeds replace them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hettui.domain.devices.device import LOCAL, Device
from hettui.domain.model.shape import ModelShape

_GPU_EFFICIENCY = 0.75
"""Of the memory's bandwidth, once enough is read at a time."""
_GPU_LAYER_S = 80e-6
"""Launching a layer's kernels."""
_UNKNOWN_GPU_BYTES_PER_S = 300e9
_CPU_THREAD_BYTES_PER_S = 5e9
_CPU_MOST_BYTES_PER_S = 40e9
_HOP_ATTACHED_S = 30e-6
_HOP_WORKER_S = 2e-3
_HOP_REMOTE_S = 4e-3


@dataclass(frozen=True, slots=True)
class Pace:
    """What one token costs on a device."""

    seconds_per_byte: float
    seconds_per_layer: float
    hop_s: float
    """Each token, for handing the activations to it and taking them back."""
    known: bool
    """Measured, or from the device's own data; else assumed."""

    def stage_s(self, layers: int, read_bytes: int) -> float:
        """One token's time on the device with so many layers of so many bytes."""
        return self.hop_s + self.seconds_per_layer * layers + self.seconds_per_byte * read_bytes


def pace(device: Device) -> Pace:
    """By the memory's bandwidth and the way to the device, corrected by what was measured."""
    said = _pace_by_data(device)
    slowness = device.measured_slowness
    if slowness is None:
        return said
    return Pace(said.seconds_per_byte * slowness, said.seconds_per_layer * slowness, said.hop_s * slowness, known=True)


def _pace_by_data(device: Device) -> Pace:
    remote = device.host != LOCAL
    hop_s = _HOP_REMOTE_S if remote else _HOP_WORKER_S if device.via == "worker" else _HOP_ATTACHED_S
    if device.backend == "cpu":
        # Unpacking quantised weights keeps a thread busy; together they are held up by the memory.
        most = device.bandwidth_bytes_per_s or _CPU_MOST_BYTES_PER_S
        speed = most if device.threads is None else min(most, device.threads * _CPU_THREAD_BYTES_PER_S)
        return Pace(1 / speed, 0.0, hop_s, known=False)
    bandwidth = device.bandwidth_bytes_per_s
    speed = (bandwidth or _UNKNOWN_GPU_BYTES_PER_S) * _GPU_EFFICIENCY
    return Pace(1 / speed, _GPU_LAYER_S, hop_s, bandwidth is not None)


def stages_s(shape: ModelShape, devices: Sequence[Device], layers: Sequence[int]) -> dict[int, float]:
    """By the number of every device that holds layers: its part of a token's time."""
    work, first, found = shape.layer_read_bytes, len(shape.layer_read_bytes) - sum(layers), {}
    for i, (device, count) in enumerate(zip(devices, layers, strict=True)):
        if count:
            found[i] = pace(device).stage_s(count, sum(work[first : first + count]))
            first += count
    return found


def seconds_per_token(shape: ModelShape, devices: Sequence[Device], layers: Sequence[int]) -> float | None:
    """One stream's time per token when nothing stays on the host; None when a device's speed is not known."""
    whole = sum(layers) == len(shape.layer_read_bytes) > 0
    known = all(pace(d).known for d, n in zip(devices, layers, strict=True) if n)
    return sum(stages_s(shape, devices, layers).values()) if whole and known else None
