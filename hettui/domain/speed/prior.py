"""What a device's data say of its speed before anything was measured on it, and how far that may be off.

The constants come from one H100 with a Llama 3.1 8B shape (b11434): 202 tokens/s attached, 121 to 135 through an rpc
server on loopback, 8.0 on a CPU worker with 8 threads, 4.5 with 4. They are a start; measured speeds replace them.
"""

from __future__ import annotations

from collections.abc import Sequence

from hettui.domain.devices.device import LOCAL, Device
from hettui.domain.devices.speed import HOP, LAYER
from hettui.domain.records import dataclass

_GPU_EFFICIENCY = 0.75
"""Of the memory's bandwidth, once enough is read at a time."""
_GPU_LAYER_S = 80e-6
"""Launching a layer's kernels."""
_UNKNOWN_GPU_BYTES_PER_S = 300e9
_CPU_THREAD_BYTES_PER_S = 5e9
_CPU_MOST_BYTES_PER_S = 40e9
_HOP_ATTACHED_S = 30e-6
_HOP_WORKER_S = 2e-3
_USUAL_ROUND_TRIP_S = 2e-3
"""To another host, where it was not measured. A token goes there and back once for each worker (b10068: 44, 78 to 89
and 141 to 149 ms a token over two workers at 0, 20 and 50 ms)."""

_USUAL_ACTIVATIONS_BYTES = 2 * 4096 * 4
"""Of one token, there and back: of a model 4,096 wide. What answers show replaces the whole hop."""

DOUBT_BY_DATA, DOUBT_CPU, DOUBT_UNKNOWN = 0.3, 0.5, 0.8
"""Standard deviation as a part of the value: of a card whose bandwidth is known, of a CPU, of a card without data."""
_LAYER_DOUBT_S = 30e-6
"""At least, of what a layer costs beside its bytes."""
_HOP_DOUBT, _LEAST_HOP_DOUBT_S = 0.7, 0.3e-3
_APART = 0.5
"""How far one kind of work may be off its data beside what all of a device is off: kernels are one thing, memory is
another."""
_ALIKE, _ALIKE_LAYER = 0.8, 0.3
"""Correlations: a device that is slow with one kind of weights is slow with the others, and with its kernels."""


@dataclass(frozen=True, slots=True)
class Prior:
    """Seconds, and whether they follow from the device's own data."""

    seconds_per_byte: float
    seconds_per_layer: float
    hop_s: float
    known: bool
    doubt: float
    """Of the seconds per byte, as a part."""


def prior(device: Device) -> Prior:
    """By the memory's bandwidth and the way to the device."""
    hop_s = _HOP_WORKER_S if device.via == "worker" else _HOP_ATTACHED_S
    if device.host != LOCAL:
        hop_s += _USUAL_ROUND_TRIP_S if device.round_trip_s is None else device.round_trip_s
        if device.line_bytes_per_s:
            hop_s += _USUAL_ACTIVATIONS_BYTES / device.line_bytes_per_s
    if device.backend == "cpu":
        # Unpacking quantised weights keeps a thread busy; together they are held up by the memory.
        most = device.bandwidth_bytes_per_s or _CPU_MOST_BYTES_PER_S
        speed = most if device.threads is None else min(most, device.threads * _CPU_THREAD_BYTES_PER_S)
        return Prior(1 / speed, 0.0, hop_s, False, DOUBT_CPU)
    bandwidth = device.bandwidth_bytes_per_s
    speed = (bandwidth or _UNKNOWN_GPU_BYTES_PER_S) * _GPU_EFFICIENCY
    doubt = DOUBT_BY_DATA if bandwidth is not None else DOUBT_UNKNOWN
    return Prior(1 / speed, _GPU_LAYER_S, hop_s, bandwidth is not None, doubt)


def hop_doubt_s(before: Prior) -> float:
    """In it is also what the master does for a token: sampling, sending it out."""
    return max(_HOP_DOUBT * before.hop_s, _LEAST_HOP_DOUBT_S)


def means_ms(before: Prior, names: Sequence[str]) -> list[float]:
    """Milliseconds by name, in the units of `Speed`."""
    per_gb = before.seconds_per_byte * 1e12
    own = {LAYER: before.seconds_per_layer * 1e3, HOP: before.hop_s * 1e3}
    return [own.get(name, per_gb) for name in names]


def covariance_ms(before: Prior, names: Sequence[str]) -> list[list[float]]:
    """Of `means_ms`."""
    doubt = max(before.doubt, _APART)
    layer_ms = max(doubt * before.seconds_per_layer, _LAYER_DOUBT_S) * 1e3
    own = {LAYER: layer_ms, HOP: hop_doubt_s(before) * 1e3}
    spread = [own.get(name, doubt * before.seconds_per_byte * 1e12) for name in names]

    def alike(a: str, b: str) -> float:
        if a == b:
            return 1.0
        return 0.0 if HOP in (a, b) else _ALIKE_LAYER if LAYER in (a, b) else _ALIKE

    return [
        [alike(a, b) * x * y for b, y in zip(names, spread, strict=True)] for a, x in zip(names, spread, strict=True)
    ]
