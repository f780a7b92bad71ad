"""From sensor readings to each device's share of a token's time: which can be trusted, and which devices are not
themselves just now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt

from hettui.domain.devices.device import LOCAL, Device
from hettui.domain.plan.split import Split
from hettui.domain.records import dataclass
from hettui.domain.speed.shares import LEAST_WINDOW_S, Decode, Share
from hettui.domain.telemetry.readings import DeviceSample, TelemetrySnapshot, Throttle

SHARED, THROTTLED = "shared", "throttled"
OTHERS_PERCENT = 5.0
"""From so much on somebody else's work on a card tells (a desktop takes less)."""
_HELD_DOWN = frozenset({Throttle.HOT, Throttle.HOT_HARDWARE, Throttle.POWER_BRAKE, Throttle.SLOWDOWN})
"""What passes. At its power limit a card may always be: that is what it is."""
_ALWAYS_BUSY, _OTHERS_TURN = 0.97, 0.05
"""Of a token: who computes all the time while others have a turn does not do it for this token."""
_FREE_PERCENT = 50.0
"""Below, nobody keeps a card busy all the time."""
_READING_DOUBT, _PART_DOUBT = 0.01, 0.04
"""A card's figure is a whole percent, a mean over part of a second; and a counter counts kernels, not work."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One stream was decoded from `begin_s` to `end_s`, alone, by the clock of the readings."""

    begin_s: float
    end_s: float
    token_s: float


def why_slower_now(sample: DeviceSample | None) -> str:
    """Why a card is not what it is by itself; empty when nothing is the matter, or nobody knows."""
    if sample is None:
        return ""
    if (sample.others_busy_percent or 0.0) >= OTHERS_PERCENT:
        return SHARED
    return THROTTLED if _HELD_DOWN.intersection(sample.throttles or ()) else ""


def has_ended(why: str, sample: DeviceSample) -> bool:
    """Whether what made a card slower is over, as far as this reading tells."""
    if why == THROTTLED:
        return sample.throttles is not None and not _HELD_DOWN.intersection(sample.throttles)
    if sample.others_busy_percent is not None:
        return sample.others_busy_percent < OTHERS_PERCENT
    return sample.utilisation_percent is not None and sample.utilisation_percent < _FREE_PERCENT


def decode_of(
    answer: Answer,
    readings: Sequence[TelemetrySnapshot],
    devices: Sequence[Device],
    split: Split,
    cpu_threads: int | None,
    at_unix_s: float = 0.0,
) -> Decode | None:
    """None where the readings within the answer are too few to say anything. `cpu_threads`: of a CPU worker of this
    machine for which the configuration names none."""
    # A reading is a mean over the time before it: what began before the answer belongs to the prompt, or to nothing.
    inside = [
        r
        for r in readings
        if answer.begin_s <= r.monotonic_s - max(1.0, r.interval_s) and r.monotonic_s <= answer.end_s
    ]
    if not inside or sum(r.interval_s for r in inside) < LEAST_WINDOW_S:
        return None
    shares: dict[int, Share] = {}
    excused: dict[int, str] = {}
    for i in split.active:
        samples = [sample for r in inside if (sample := r.samples.get(devices[i].name)) is not None]
        reasons = [reason for sample in samples if (reason := why_slower_now(sample))]
        if reasons:
            excused[i] = SHARED if SHARED in reasons else reasons[0]
        if SHARED not in reasons and (share := _share(devices[i], samples, cpu_threads)) is not None:
            shares[i] = share
    for i in _never_waiting(shares):
        excused[i] = SHARED
        del shares[i]
    return Decode(answer.token_s, shares, excused, at_unix_s)


def _share(device: Device, samples: Sequence[DeviceSample], cpu_threads: int | None) -> Share | None:
    if device.host != LOCAL or not samples:
        return None
    spins = device.backend == "cpu"
    scale = 100.0 * ((device.threads or cpu_threads or 0) if spins else 1)
    found = [value for s in samples if (value := _busy_percent(s, spins=spins)) is not None]
    if not scale or len(found) < len(samples):
        return None
    mean = sum(found) / len(found) / scale
    spread = sqrt(sum((x / scale - mean) ** 2 for x in found) / len(found))
    # Whole percents are cut off the same way each time: more readings do not make that surer.
    doubt = sqrt(_READING_DOUBT**2 + spread**2 / len(found) + (_PART_DOUBT * mean) ** 2)
    return Share(min(mean, 1.0), doubt, spins)


def _busy_percent(sample: DeviceSample, *, spins: bool) -> float | None:
    return sample.utilisation_percent if spins or sample.own_busy_percent is None else sample.own_busy_percent


def _never_waiting(shares: Mapping[int, Share]) -> list[int]:
    """Cards that are busy all the time although others have their turn: somebody else is at work there, though the
    driver does not say who."""
    total = sum(s.busy for s in shares.values())
    return [i for i, s in shares.items() if not s.spins and s.busy >= _ALWAYS_BUSY and total - s.busy >= _OTHERS_TURN]
