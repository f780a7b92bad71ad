"""What answers teach about devices: how fast each is, and apart from that how much slower it is just now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from hettui.domain.devices.device import Device
from hettui.domain.devices.speed import CONTEXT, HOP, LAYER, Speed
from hettui.domain.model.shape import ModelShape
from hettui.domain.records import dataclass
from hettui.domain.speed.evidence import KEEP_PER_WINDOW, LEAST_DOUBT, Evidence, speed_of
from hettui.domain.speed.pace import below_s, pace, runs, stage_doubt_s, work_of
from hettui.domain.speed.prior import hop_doubt_s, prior
from hettui.domain.speed.shares import Decode, Guess, Solved, solve

_USABLE_DOUBT = 1.0
"""Of a stage that was not measured by itself: with more than that what is left over says nothing."""
_EXCUSED_DOUBT = 3.0
"""How far a device that is shared or throttled may be off what it is."""
_MOST_SLOWER = 1000.0


def device_key(device: Device) -> str | None:
    """What identifies a card from one start to the next; None for a CPU."""
    return None if device.backend == "cpu" else device.uuid or device.pci_address


def speed_key(device: Device) -> str:
    """What decides how fast it is: the card, or the CPU with so many threads, and the way to it."""
    cpu = f"{device.backend} {device.threads or 0} threads"
    return f"{device.host} {cpu if device.backend == 'cpu' else device_key(device) or device.id} {device.via}"


@dataclass(frozen=True, slots=True)
class Now:
    """What a device does now, beside what it is: gone when the reason is."""

    slower: float
    why: str


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one answer adds, by `speed_key`."""

    evidence: dict[str, Evidence]
    now: dict[str, Now]


def lesson(
    shape: ModelShape, devices: Sequence[Device], layers: Sequence[int], decode: Decode, known: dict[str, Evidence]
) -> Lesson | None:
    """None where nothing can be learned: the host computes a part, or the time makes no sense. `devices` with what is
    known of them, whatever they do just now."""
    if sum(layers) != shape.layers or decode.token_s <= 0:
        return None
    held = runs(shape, layers)
    alone = {i: _by_itself(devices[i]) for i in held}
    stages, hops = {}, {}
    for i, run in held.items():
        own = pace(alone[i])
        below, context_gb = below_s(shape, own), decode.context_gb.get(i, 0.0)
        seconds = below[run.stop] - below[run.start] + own.read_s(CONTEXT, context_gb)
        doubt_s = _EXCUSED_DOUBT * seconds
        if i not in decode.excused:
            doubt_s = stage_doubt_s(shape, alone[i], run, hop=False, context_gb=context_gb)
        stages[i], hops[i] = Guess(seconds, doubt_s), Guess(own.hop_s, _hop_doubt_s(alone[i]))
    solved = solve(decode, stages, hops)
    found: dict[str, Evidence] = {}
    now: dict[str, Now] = {}
    for i, run in held.items():
        key = speed_key(devices[i])
        if i in decode.excused:
            slower = solved.stages[i].seconds / max(stages[i].seconds, 1e-9)
            now[key] = Now(min(max(slower, 1.0), _MOST_SLOWER), decode.excused[i])
            continue
        if _is_below_the_sensor(decode, i, stages[i]):
            # Expected is nearly nothing and seen is nearly nothing: that was not measured.
            continue
        before = found.get(key, known.get(key, Evidence()))
        work = work_of(shape, run, decode.context_gb.get(i, 0.0))
        found[key] = _taught(before, solved, i, work, decode, twice=key in found)
    return Lesson(found, now)


def _taught(
    before: Evidence, solved: Solved, device: int, work: dict[str, float], decode: Decode, *, twice: bool
) -> Evidence:
    stage, hop = solved.stages[device], solved.hops[device]
    after = before if twice else before.faded(decode.at_unix_s, KEEP_PER_WINDOW).counted()
    if device in decode.shares or stage.doubt_s < _USABLE_DOUBT * stage.seconds:
        doubt_s = max(stage.doubt_s, LEAST_DOUBT * stage.seconds)
        after = after.with_work(work, stage.seconds * 1e3, doubt_s * 1e3)
    return after.with_work({HOP: 1.0}, hop.seconds * 1e3, max(hop.doubt_s, LEAST_DOUBT * hop.seconds, 1e-6) * 1e3)


def _is_below_the_sensor(decode: Decode, device: int, guess: Guess) -> bool:
    """Whether its part is less than the share can be off, both by what was expected and by what was read: a card's
    figure is a whole percent. How fast it is stays as unknown as it was."""
    share = decode.shares.get(device)
    return share is not None and max(share.busy, guess.seconds / decode.token_s) < share.doubt


def _by_itself(device: Device) -> Device:
    """As it is, whatever slows it down just now."""
    speed = device.speed
    if speed is None or speed.slower_now == 1.0:
        return device
    return replace(device, speed=replace(speed, slower_now=1.0, why_now=""))


def _hop_doubt_s(device: Device) -> float:
    speed = device.speed
    if speed is not None and HOP in speed.names:
        return speed.doubt_ms({HOP: 1.0}) / 1e3
    return hop_doubt_s(prior(device))


@lru_cache(maxsize=256)
def known_speed(device: Device, evidence: Evidence | None, now: Now | None, at_unix_s: float) -> Speed | None:
    """Of a device, as it is now; None where nothing was ever measured of it and nothing is the matter."""
    if evidence is None and now is None:
        return None
    names = (LAYER, HOP)
    speed = speed_of(device, evidence or Evidence(names, ((0.0, 0.0), (0.0, 0.0)), (0.0, 0.0)), at_unix_s)
    return speed if now is None else replace(speed, slower_now=now.slower, why_now=now.why)
