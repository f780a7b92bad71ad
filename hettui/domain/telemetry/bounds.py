"""What a reading can be at all, once for every source. Drivers answer with success and nonsense: after suspend, in
containers, from mismatched libraries. What is out of bounds is unknown: it is drawn as `–` and raises no alert.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import Any

from hettui.domain.telemetry.readings import DeviceSample, Holder, Link

_MOST_BYTES = float(1 << 50)
_HEAT_C = (-60.0, 150.0)
"""Outside of that silicon does not work: 511 is what a sensor's register says when nothing is in it."""
_THRESHOLD_C = (40.0, 150.0)
"""0 is how a driver says that there is none; nothing lowers its clocks at the warmth of a hand."""
_CLOCK_MHZ = (0.0, 20_000.0)
_FLOW_BYTES_PER_S = (0.0, 1e12)

BOUNDS: Mapping[str, tuple[float, float]] = {
    "used_bytes": (0.0, _MOST_BYTES),
    "total_bytes": (1.0, _MOST_BYTES),
    "own_bytes": (0.0, _MOST_BYTES),
    "utilisation_percent": (0.0, 100.0),
    "own_busy_percent": (0.0, 100.0),
    "others_busy_percent": (0.0, 100.0),
    "temperature_c": _HEAT_C,
    "memory_temperature_c": _HEAT_C,
    "slowdown_c": _THRESHOLD_C,
    "shutdown_c": _THRESHOLD_C,
    "fan_percent": (0.0, 200.0),  # of the speed that was meant: some turn faster than that
    "power_w": (0.0, 5000.0),
    "power_limit_w": (0.001, 5000.0),  # 0: the limit is off
    "clock_mhz": _CLOCK_MHZ,
    "clock_max_mhz": (1.0, _CLOCK_MHZ[1]),
    "received_bytes_per_s": _FLOW_BYTES_PER_S,
    "sent_bytes_per_s": _FLOW_BYTES_PER_S,
    "ecc_errors": (0.0, float(1 << 40)),
    "energy_j": (0.0, 1e15),
    "bandwidth_bytes_per_s": (1e8, 1e14),
}
"""By name of the reading: the lowest and the highest value that is believed."""
_MOST_CORES = 4096
"""A CPU's load is 100 for each core."""
_GENERATIONS = range(1, 9)
_WIDTHS = frozenset({1, 2, 4, 8, 12, 16, 32})


def within(reading: str, value: Any) -> Any:
    """The value, None when it is no number or out of the reading's bounds."""
    lowest, highest = BOUNDS[reading]
    if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
        return None
    return value if lowest <= value <= highest else None


def believed_link(link: Link | None) -> Link | None:
    """The link, None when there is no such generation or width."""
    return link if link is not None and link.generation in _GENERATIONS and link.width in _WIDTHS else None


def believed_memory(total: Any, free: Any) -> tuple[int | None, int | None]:
    """Total and free bytes, bounded by each other: a card has no more free than it has.

    A little more is taken for all of it (a driver's budget may be above the heap); more than twice is nonsense.
    """
    total, free = within("total_bytes", total), within("used_bytes", free)
    if total is None or free is None:
        return total, None if total is None and free == 0 else free
    return total, min(total, free) if free <= 2 * total else None


def plausible(sample: DeviceSample, *, cpu: bool = False) -> DeviceSample:
    """The sample with what can be true in it."""
    changes: dict[str, Any] = {}
    for name in BOUNDS:
        value = getattr(sample, name, None)
        if value is None:
            continue
        if cpu and name == "utilisation_percent":
            if within(name, value / _MOST_CORES) is None:
                changes[name] = None
        elif within(name, value) is None:
            changes[name] = None
    for name in ("link_now", "link_max"):
        if (link := getattr(sample, name)) is not None and believed_link(link) is None:
            changes[name] = None
    if not cpu:
        changes |= _bounded_by_total(sample, changes)
    if any(_is_odd(holder) for holder in sample.holders or ()):
        changes["holders"] = tuple(replace(h, used_bytes=None) if _is_odd(h) else h for h in sample.holders or ())
    return replace(sample, **changes) if changes else sample


def _bounded_by_total(sample: DeviceSample, changes: Mapping[str, Any]) -> dict[str, None]:
    """Of a card nobody can use more than it has. A CPU worker may well be larger than what it was given."""
    total = sample.total_bytes
    if total is None:
        return {}
    if "total_bytes" in changes:
        return {"used_bytes": None}
    return {n: None for n in ("used_bytes", "own_bytes") if (getattr(sample, n) or 0) > total}


def _is_odd(holder: Holder) -> bool:
    return holder.used_bytes is not None and within("own_bytes", holder.used_bytes) is None
