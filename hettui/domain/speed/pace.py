"""How long a token takes on a device, from what is known about it: decoding reads every weight once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import accumulate
from math import sqrt

from hettui.domain.devices.device import Device
from hettui.domain.devices.speed import CONTEXT, HOP, LAYER, Speed
from hettui.domain.model.shape import ModelShape
from hettui.domain.records import dataclass
from hettui.domain.speed.prior import Prior, prior

_NEVER_READ_DOUBT = 0.25
"""Of the time for weights of a kind that was never read on a device, while others were."""
_LEAST_AT_BEST = 0.3
_BETWEEN_ANSWERS = 0.02
"""Of a token: two answers of one split differ by that."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What one token costs on a device."""

    seconds_per_byte: float
    """Of weights of any other kind than those below."""
    seconds_per_layer: float
    hop_s: float
    """Each token, for handing the activations to it and taking them back."""
    known: bool
    """Measured, or from the device's own data; else assumed."""
    kinds: tuple[tuple[str, float], ...] = ()
    """Seconds per GB of the kinds of weights that were read on it."""

    def read_s(self, kind: str, gb: float) -> float:
        """So much of one kind."""
        return dict(self.kinds).get(kind, self.seconds_per_byte * 1e9) * gb

    def layer_s(self, reads: Mapping[str, float]) -> float:
        """One layer, by the GB of each kind that it reads."""
        own, other = dict(self.kinds), self.seconds_per_byte * 1e9
        return self.seconds_per_layer + sum(own.get(kind, other) * size for kind, size in reads.items())


@lru_cache(maxsize=256)
def pace(device: Device) -> Pace:
    """By the memory's bandwidth and the way to the device, corrected by what was measured."""
    before, measured = prior(device), device.speed
    if measured is not None:
        return _measured(measured, before)
    slowness = device.measured_slowness
    if slowness is None:
        return Pace(before.seconds_per_byte, before.seconds_per_layer, before.hop_s, before.known)
    return Pace(
        before.seconds_per_byte * slowness, before.seconds_per_layer * slowness, before.hop_s * slowness, known=True
    )


def _measured(speed: Speed, before: Prior) -> Pace:
    slower, per_byte_s = speed.slower_now, before.seconds_per_byte
    kinds = [
        (name, ms / 1e3) for name, ms in zip(speed.names, speed.values_ms, strict=True) if name not in (LAYER, HOP)
    ]
    # A kind that was never read here: as far off its data as those that were.
    off = sum(s for _, s in kinds) / len(kinds) / (per_byte_s * 1e9) if kinds else 1.0
    layer_ms, hop_ms = speed.value_ms(LAYER), speed.value_ms(HOP)
    return Pace(
        per_byte_s * off * slower,
        (before.seconds_per_layer if layer_ms is None else layer_ms / 1e3) * slower,
        before.hop_s if hop_ms is None else hop_ms / 1e3,
        # What only is the matter with it just now says nothing of what it is.
        known=before.known or speed.windows > 0,
        kinds=tuple((kind, s * slower) for kind, s in kinds),
    )


def below_s(shape: ModelShape, own: Pace) -> Sequence[float]:
    """What the first n layers of the model take at this pace, without the hop; n from 0 to all."""
    known: Sequence[float] | None = shape.worked_out.get(own)
    if known is None:
        known = shape.worked_out[own] = [*accumulate((own.layer_s(reads) for reads in shape.layer_reads), initial=0.0)]
        while len(shape.worked_out) > _MOST_PACES:
            shape.worked_out.pop(next(iter(shape.worked_out)), None)
    return known


_MOST_PACES = 256


def runs(shape: ModelShape, layers: Sequence[int]) -> dict[int, range]:
    """By the number of every device that holds layers: which; the first ones are the host's when not all are held."""
    first, found = shape.layers - sum(layers), {}
    for i, count in enumerate(layers):
        if count:
            found[i] = range(first, first + count)
            first += count
    return found


def stages_s(shape: ModelShape, devices: Sequence[Device], layers: Sequence[int]) -> dict[int, float]:
    """By the number of every device that holds layers: its part of a token's time, the hop included."""
    found = {}
    for i, run in runs(shape, layers).items():
        own = pace(devices[i])
        below = below_s(shape, own)
        found[i] = own.hop_s + below[run.stop] - below[run.start]
    return found


def work_of(shape: ModelShape, run: range, context_gb: float = 0.0) -> dict[str, float]:
    """What a run of layers is: GB by kind, and how many layers."""
    found: dict[str, float] = {LAYER: float(len(run))}
    if context_gb:
        found[CONTEXT] = context_gb
    for layer in run:
        for kind, size in shape.layer_reads[layer].items():
            found[kind] = found.get(kind, 0.0) + size
    return found


def stage_doubt_s(shape: ModelShape, device: Device, run: range, *, hop: bool = True, context_gb: float = 0.0) -> float:
    """The standard deviation of one device's part of a token."""
    work, speed, own = work_of(shape, run, context_gb), device.speed, pace(device)
    if speed is None:
        below = below_s(shape, own)
        return prior(device).doubt * (below[run.stop] - below[run.start] + (own.hop_s if hop else 0.0))
    never = sum(size for kind, size in work.items() if kind not in speed.names)
    known_s = speed.doubt_ms(work | ({HOP: 1.0} if hop else {})) / 1e3
    return sqrt(known_s**2 + (_NEVER_READ_DOUBT * own.seconds_per_byte * 1e9 * never) ** 2)


def seconds_per_token(shape: ModelShape, devices: Sequence[Device], layers: Sequence[int]) -> float | None:
    """One stream's time per token when nothing stays on the host; None when a device's speed is not known."""
    whole = sum(layers) == shape.layers > 0 and any(shape.layer_reads)
    known = all(pace(d).known for d, n in zip(devices, layers, strict=True) if n)
    return sum(stages_s(shape, devices, layers).values()) if whole and known else None


def at_best(device: Device, deviations: float = 1.0) -> Device:
    """As fast as it may be after all: what it takes is so many standard deviations less."""
    speed = device.speed
    if speed is None:
        off = 1 - prior(device).doubt * min(deviations, 2.0) / 3
        return replace(device, measured_slowness=(device.measured_slowness or 1.0) * off)
    values = tuple(
        max(ms - deviations * row[i] ** 0.5, _LEAST_AT_BEST * ms)
        for i, (ms, row) in enumerate(zip(speed.values_ms, speed.covariance, strict=True))
    )
    return replace(device, speed=replace(speed, values_ms=values))


@dataclass(frozen=True, slots=True)
class Expected:
    """What one stream will decode, and how sure that is."""

    token_s: float
    doubt_s: float
    """A standard deviation."""
    stages_s: Mapping[int, float]
    """By number of every device that holds layers."""
    measured: bool
    """By answers on these devices; else by their data."""

    @property
    def per_second(self) -> float:
        return 1 / self.token_s

    @property
    def off_per_second(self) -> float:
        """Half of what is between low and high."""
        return (self.high_per_second - self.low_per_second) / 2

    @property
    def low_per_second(self) -> float:
        """Between this and the next it will be in two of three cases."""
        return 1 / (self.token_s + self.doubt_s)

    @property
    def high_per_second(self) -> float:
        return 1 / max(self.token_s - self.doubt_s, self.token_s / 3)


def expected(shape: ModelShape, devices: Sequence[Device], layers: Sequence[int]) -> Expected | None:
    """None where a speed is not known or the host computes a part."""
    token_s = seconds_per_token(shape, devices, layers)
    if not token_s:
        return None
    stages = stages_s(shape, devices, layers)
    spread = sum(stage_doubt_s(shape, devices[i], run) ** 2 for i, run in runs(shape, layers).items())
    measured = all(speed is not None and speed.windows > 0 for speed in (devices[i].speed for i in stages))
    return Expected(token_s, sqrt(spread + (_BETWEEN_ANSWERS * token_s) ** 2), stages, measured)
