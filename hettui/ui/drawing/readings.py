"""Sensors' numbers as text of a steady width: nothing moves when a digit more is needed, and unknown is a dash."""

from __future__ import annotations

import re

from hettui.domain.telemetry.readings import DeviceSample, Link
from hettui.domain.units import UNKNOWN
from hettui.ui.drawing.gauges import Runs

NO_READINGS = DeviceSample()


def pieces(text: str) -> Runs:
    """Each number a piece of its own, so that only the one that changes is repainted."""
    return [(piece, "dim") for piece in re.findall(r"\s*\S+", text)]


def number(value: float | None, width: int, form: str = ".0f") -> str:
    """Right-aligned."""
    return f"{UNKNOWN if value is None else format(value, form):>{width}}"


def percent(value: float | None) -> str:
    return f"{number(value, 5)} %"


def celsius(sample: DeviceSample) -> str:
    return f"{number(sample.temperature_c, 3)} °C"


def watts(sample: DeviceSample) -> str:
    return f"{number(sample.power_w, 4)}/{number(sample.power_limit_w, 1):<3} W"


def heat_facts(sample: DeviceSample) -> str:
    """Of a roomy card."""
    of = "" if sample.slowdown_c is None else f" of {sample.slowdown_c:.0f}"
    memory = "" if sample.memory_temperature_c is None else f"  mem {sample.memory_temperature_c:>3.0f}"
    fan = "" if sample.fan_percent is None else f"  fan {sample.fan_percent:>3.0f} %"
    return f" {celsius(sample)}{of}{memory}{fan}"


def load_facts(sample: DeviceSample) -> str:
    """Of a roomy card."""
    clock = "" if sample.clock_mhz is None else f" {sample.clock_mhz / 1000:.2f} GHz"
    link = "" if sample.link_now is None else f" {_short(sample.link_now)}"
    return f"{number(sample.utilisation_percent, 4)} %{watts(sample)}{clock}{link}"


def all_facts(sample: DeviceSample) -> str:
    """Heat and load in one line."""
    of = "" if sample.slowdown_c is None else f"/{sample.slowdown_c:.0f}"
    link = "" if sample.link_now is None else f" {_short(sample.link_now)}"
    heat = f"{number(sample.temperature_c, 4)}{of} °C"
    return f"{heat}{number(sample.utilisation_percent, 4)} %{watts(sample)}{link}"


def limits(sample: DeviceSample) -> str:
    """What clock and link could be, to stand below `load_facts`."""
    clock = "" if sample.clock_max_mhz is None else f" {sample.clock_max_mhz / 1000:.2f} GHz"
    link = "" if sample.link_max is None else f" {_short(sample.link_max)}"
    return f"{'of':>16}{clock}{link}" if clock or link else ""


def _short(link: Link) -> str:
    return str(link).replace(" ", "")
