"""What the forms of a device have in common: the slider, what changed, readings that are not too old."""

from __future__ import annotations

from hettui.domain.telemetry.readings import DeviceSample
from hettui.ui.drawing import gauges, readings
from hettui.ui.drawing.gauges import Runs
from hettui.ui.drawing.readings import NO_READINGS
from hettui.ui.presenting.views import CardView

LABEL_CELLS = 8
"""What stands before a card's bars."""
STATES = {
    "starting": ("◐", "starting", "warn"),
    "ready": ("●", "up", "ok"),
    "stopping": ("◒", "stopping", "warn"),
    "failed": ("✗", "ended", "crit"),
    "waiting": ("◌", "waits", "warn"),
    "stopped": ("○", "stopped", "dim"),
    "silent": ("◌", "silent", "warn"),
    "lost": ("◌", "line lost", "crit"),
}
"""Sign, word and role of a process's state: readable without colours."""

_USUAL_SLOWDOWN_C = 90.0
"""Of cards that do not tell theirs."""
WARM_C = 10.0
"""So near to its limit a card is warm."""


def track(view: CardView, cells: int) -> Runs:
    """The slider itself."""
    over = view.short_bytes > 0
    return gauges.slider(
        cells, view.layers, view.maximum, running=view.running, ghost=view.ghost, locked=view.locked, over=over
    )


def layers_change(view: CardView) -> str:
    """Against what runs: `+3`; empty where nothing runs or the same."""
    return "" if view.running in (None, view.layers) else f"{view.layers - view.running:+d}"


def fresh(view: CardView) -> DeviceSample:
    """What is not too old to be told."""
    return view.sample if view.sample is not None and view.stale_s is None else NO_READINGS


def silent(since_s: float) -> Runs:
    """In the place of readings that are too old."""
    return [("sensor".ljust(LABEL_CELLS), "label"), (f"no reading for {since_s:.0f} s", "warn")]


def cpu_facts(sample: DeviceSample) -> str:
    return f"{readings.percent(sample.utilisation_percent)}  {readings.celsius(sample)}"


def memory_scale(view: CardView) -> gauges.MemoryScale:
    return gauges.MemoryScale(view.budget_bytes, view.card_bytes, view.own_bytes, view.foreign_bytes)


def limit_c(view: CardView) -> float:
    return (view.sample.slowdown_c if view.sample else None) or _USUAL_SLOWDOWN_C
