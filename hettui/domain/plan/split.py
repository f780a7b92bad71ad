"""How layers lie on devices: llama.cpp's own rounding, and the rules of the sliders.

A model with n blocks has n + 1 layers for llama.cpp: the output layer counts as the last one. Devices hold
contiguous ranges in device order; what no device takes are the FIRST layers, and they stay on the host's CPU.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Sequence

from hettui.domain.records import dataclass

HOST = -1
"""In `assign` and in the slider rules: the master's CPU."""


def f32(x: float) -> float:
    """As near as a float of four bytes comes."""
    return float(struct.unpack("f", struct.pack("f", x))[0])


def assign(total_layers: int, n_gpu_layers: int, weights: Sequence[float]) -> list[int]:
    """The device index of every layer, `HOST` for those that stay on the CPU; the last is the output layer.

    `total_layers` counts the output layer. Mirrors llama-model.cpp of b10068 and b11434 in float32:
    the cumulated and normalised weights are compared with (layer - first) / n_gpu_layers by upper bound.
    A negative `n_gpu_layers` means all. Raises ValueError when no weight is positive though layers are offloaded.
    """
    active = total_layers if n_gpu_layers < 0 else min(n_gpu_layers, total_layers)
    if active == 0:
        return [HOST] * total_layers
    if any(w < 0 for w in weights) or not any(w > 0 for w in weights):
        raise ValueError("tensor-split weights must be numbers of at least 0 with one above 0")
    cumulated: list[float] = []
    total = 0.0
    for weight in weights:
        total = f32(total + f32(weight))
        cumulated.append(total)
    cumulated = [f32(c / total) for c in cumulated]
    first = total_layers - active
    last = len(weights) - 1
    return [
        HOST if layer < first else min(bisect_right(cumulated, f32((layer - first) / active)), last)
        for layer in range(total_layers)
    ]


@dataclass(frozen=True, slots=True)
class Split:
    """Layers per device in device order. The rest, `host_layers`, stays on the master's CPU."""

    layers: tuple[int, ...]
    total_layers: int
    """Blocks + 1, the output layer included."""

    def __post_init__(self) -> None:
        if any(n < 0 for n in self.layers) or sum(self.layers) > self.total_layers:
            raise ValueError(f"layers {self.layers} do not fit a model of {self.total_layers} layers")

    @classmethod
    def from_weights(cls, weights: Sequence[float], total_layers: int, n_gpu_layers: int = -1) -> Split:
        """What llama.cpp makes of tensor-split weights: integers summing to the layers come out exactly."""
        places = assign(total_layers, n_gpu_layers, weights)
        return cls(tuple(places.count(i) for i in range(len(weights))), total_layers)

    @property
    def n_gpu_layers(self) -> int:
        """llama.cpp's `-ngl` for this split."""
        return sum(self.layers)

    @property
    def host_layers(self) -> int:
        return self.total_layers - self.n_gpu_layers

    @property
    def active(self) -> tuple[int, ...]:
        """Indices of the devices that hold anything, in device order."""
        return tuple(i for i, n in enumerate(self.layers) if n)

    @property
    def output_device(self) -> int:
        """The device with the output layer: the last that holds anything; `HOST` when none does."""
        return self.active[-1] if self.active else HOST

    def layer_range(self, device: int) -> range:
        """The layer numbers that a device (or `HOST`) holds, the output layer's number included."""
        if device == HOST:
            return range(self.host_layers)
        start = self.host_layers + sum(self.layers[:device])
        return range(start, start + self.layers[device])

    def block_range(self, device: int) -> range:
        """As `layer_range`, without the output layer."""
        layers = self.layer_range(device)
        return range(layers.start, min(layers.stop, self.total_layers - 1))


def set_layers(split: Split, device: int, wanted: int, locked: frozenset[int] = frozenset()) -> Split:
    """Sets one slider; the nearest unlocked neighbours in device order give or take the difference.

    `device` may be `HOST`. Of two neighbours at the same distance the one behind comes first; the host gives
    and takes last, so that no layer falls to the CPU while a device could take it. A locked device keeps its
    count, as neighbour and as the one asked for. What nobody can give or take is not moved.
    """
    if device in locked:
        return split
    count = len(split.layers)
    holds = {HOST: split.host_layers} | dict(enumerate(split.layers))
    wanted = max(0, min(wanted, split.total_layers))
    difference = wanted - holds[device]
    others = sorted(
        (i for i in range(count) if i != device and i not in locked),
        key=lambda i: (abs(i - device), i < device),
    )
    if device != HOST and HOST not in locked:
        others.append(HOST)
    if difference < 0 and others:
        # Giving: the first neighbour takes all; a slider has no upper end but the model's layers.
        holds[others[0]] -= difference
        holds[device] += difference
    for other in others if difference > 0 else ():
        taken = min(holds[other], difference)
        holds[other] -= taken
        holds[device] += taken
        difference -= taken
    return Split(tuple(holds[i] for i in range(count)), split.total_layers)


def move_boundary(split: Split, left: int, right: int, layers: int, locked: frozenset[int] = frozenset()) -> Split:
    """Layers go between two devices only, as when a boundary of the bar is dragged; a lock on either side holds."""
    if left in locked or right in locked:
        return split
    holds = {HOST: split.host_layers} | dict(enumerate(split.layers))
    both = holds[left] + holds[right]
    holds[left] = max(0, min(layers, both))
    holds[right] = both - holds[left]
    return Split(tuple(holds[i] for i in range(len(split.layers))), split.total_layers)


def even(split: Split, locked: frozenset[int] = frozenset()) -> Split:
    """The same number for every unlocked device, earlier devices take the remainder; locked ones keep theirs."""
    free = [i for i in range(len(split.layers)) if i not in locked]
    if not free:
        return split
    host = split.host_layers if HOST in locked else 0
    left = split.total_layers - host - sum(n for i, n in enumerate(split.layers) if i in locked)
    share, rest = divmod(left, len(free))
    layers = list(split.layers)
    for rank, i in enumerate(free):
        layers[i] = share + (rank < rest)
    return Split(tuple(layers), split.total_layers)


def proportional(weights: Sequence[float], total: int) -> tuple[int, ...]:
    """`total` layers in proportion to `weights` by largest remainder; integers that sum exactly to `total`.

    Used to scale somebody else's split (an article's 18/12/8) to this model's layer count.
    """
    scale = sum(weights)
    if scale <= 0:
        raise ValueError("no positive weight to share layers by")
    exact = [total * w / scale for w in weights]
    counts = [int(x) for x in exact]
    by_remainder = sorted(range(len(weights)), key=lambda i: (counts[i] - exact[i], i))
    for i in by_remainder[: total - sum(counts)]:
        counts[i] += 1
    return tuple(counts)
