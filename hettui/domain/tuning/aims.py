"""What is known of one stream's token, carried over to what else shall be fast: prompts, or several streams at once.

The devices take turns there too, but each takes another multiple of its time for a token: a batch is computed with the
weights read once, so that a card hardly notices what keeps a CPU busy. The multiples are found from the launches: each
gives one sum. Before there are enough of them, what is not known is taken for alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hettui.domain.devices.device import Device
from hettui.domain.speed.linear import inverse, times

_RATE_DOUBT = 0.04
"""Of a measured time."""
_APART = 0.7
"""So much the multiples of two devices may differ, as a part of both."""
_LEAST = 0.05
_BOLD = 1.5
"""Standard deviations."""


def multiples(sums: Sequence[tuple[Mapping[str, float], float]]) -> dict[str, tuple[float, float]]:
    """By device: how many times its part of one token it takes, likely and at least. `sums`: of each launch, the parts
    of a token in seconds by device, and the seconds that were measured. Empty where nothing can be said."""
    usable = [(parts, took_s) for parts, took_s in sums if took_s > 0 and sum(parts.values()) > 0]
    names = sorted({name for parts, _ in usable for name in parts})
    if not names:
        return {}
    alike = sorted(took_s / sum(parts.values()) for parts, took_s in usable)[len(usable) // 2]
    # Least squares around "all alike", in units of that.
    known = [[(i == j) / _APART**2 for j in range(len(names))] for i in range(len(names))]
    told = [1 / _APART**2] * len(names)
    for parts, took_s in usable:
        row = [parts.get(name, 0.0) * alike / took_s / _RATE_DOUBT for name in names]
        known = [[x + row[i] * row[j] for j, x in enumerate(line)] for i, line in enumerate(known)]
        told = [x + row[i] / _RATE_DOUBT for i, x in enumerate(told)]
    spread = inverse(known)
    found = {}
    for i, (name, value) in enumerate(zip(names, times(spread, told), strict=True)):
        likely = max(value, _LEAST)
        found[name] = (alike * likely, alike * max(likely - _BOLD * spread[i][i] ** 0.5, _LEAST * likely))
    return found


def taking(device: Device, multiple: float) -> Device:
    """One that takes so many times as long for everything."""
    speed = device.speed
    if speed is None:
        return replace(device, measured_slowness=(device.measured_slowness or 1.0) * multiple)
    return replace(
        device,
        speed=replace(
            speed,
            values_ms=tuple(multiple * ms for ms in speed.values_ms),
            covariance=tuple(tuple(multiple**2 * x for x in row) for row in speed.covariance),
        ),
    )
