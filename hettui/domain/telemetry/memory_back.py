"""Whether the cards have their memory back after a stop, as far as their driver says."""

from __future__ import annotations

from collections.abc import Mapping

from hettui.domain.telemetry.readings import DeviceSample
from hettui.domain.text import clean_line
from hettui.domain.units import format_bytes

_PART = 0.9
"""Of what the processes held: others on the card may take or give some meanwhile."""


def worth_watching(samples: Mapping[str, DeviceSample], cards: frozenset[str]) -> dict[str, DeviceSample]:
    """The cards on which the cluster's processes hold memory. A CPU's is back with the end of its process."""
    return {name: s for name, s in samples.items() if name in cards and s.own_bytes and s.used_bytes is not None}


def not_back(before: Mapping[str, DeviceSample], now: Mapping[str, DeviceSample]) -> dict[str, int | None]:
    """Bytes that are not back yet, by card; None: the card cannot be read now."""
    missing: dict[str, int | None] = {}
    for name, then in before.items():
        sample = now.get(name)
        if sample is None or sample.used_bytes is None:
            missing[name] = None
            continue
        left = sample.used_bytes - ((then.used_bytes or 0) - (then.own_bytes or 0))
        if left > (1 - _PART) * (then.own_bytes or 0):
            missing[name] = left
    return missing


def in_words(before: Mapping[str, DeviceSample], missing: Mapping[str, int | None]) -> str:
    """One sentence about a stop that has ended."""
    if not missing:
        cards = ", ".join(f"{format_bytes(s.own_bytes or 0)} on {clean_line(n, 40)}" for n, s in before.items())
        return f"The memory is back: {cards}"
    held = [
        f"{clean_line(name, 40)} {'cannot be read' if size is None else f'still holds {format_bytes(size)}'}"
        for name, size in missing.items()
    ]
    return f"All processes have ended, but {', '.join(held)}: nvidia-smi says who uses it"
