"""What options say, checked and typed. Raises UsageError in the option's own words."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from typing import Any

from hettui.domain.errors import UsageError
from hettui.domain.llama.options import Option, memory_options
from hettui.domain.llama.params import RuntimeParams, override_pattern
from hettui.domain.session.asked import NamedDevice
from hettui.domain.text import free_name
from hettui.domain.units import parse_bytes


def overridden(params: RuntimeParams, options: Namespace) -> RuntimeParams:
    """llama.cpp's settings with what the command line says."""
    said: dict[str, Any] = {}
    for one in memory_options():
        value = getattr(options, one.attribute, None)
        if value is not None:
            said[one.attribute] = _checked(one, value)
    return replace(params, **said)


def _checked(one: Option, value: Any) -> Any:
    if one.kind == "overrides":
        return _overrides(value)
    if one.kind == "files":
        return tuple(part for part in value.split(",") if part)
    if one.kind == "slots":
        return _parallel(value)
    if one.kind == "integer" and one.least is not None and value < one.least:
        raise UsageError(f"--{one.name} {value}: it must be a whole number of at least {one.least}")
    return value


_BUILD_DIGITS = 6


def build_number(text: str | None) -> int | None:
    if text is None:
        return None
    number = text.removeprefix("b")
    if not number.isdigit() or len(number) > _BUILD_DIGITS:
        raise UsageError(f"--llama-build {text}: it must be a build number such as b11434")
    return int(number)


def _overrides(text: str) -> tuple[str, ...]:
    for one in text.split(","):
        try:
            override_pattern(one)
        except ValueError as error:
            raise UsageError(f"--override-tensor {one}: it {error}") from None
    return tuple(text.split(","))


def _parallel(text: str) -> int:
    if text == "auto" or text == "-1":
        return -1
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f'--parallel {text}: it must be "auto" or a whole number of at least 1')
    return int(text)


def device_budgets(text: str | None) -> list[NamedDevice] | None:
    if text is None:
        return None
    devices: list[NamedDevice] = []
    for part in text.split(","):
        if "=" not in part and part.strip():
            devices.append(_common(part.strip(), [known.name for known in devices]))
            continue
        name, separator, said = part.rpartition("=")
        budget, at, bandwidth = said.partition("@")
        try:
            size = parse_bytes(budget)
            speed = parse_bytes(bandwidth.removesuffix("/s")) if at else None
        except ValueError as error:
            raise UsageError(f"--devices {part}: {error}") from error
        if not separator or not name.strip():
            raise UsageError(f"--devices {part}: it must be NAME=BUDGET, such as big=16GiB, or big=16GiB@960GB")
        if at and not speed:
            raise UsageError(f"--devices {part}: what memory moves in a second is above 0, such as 960GB")
        if name.strip() in (known.name for known in devices):
            raise UsageError(f"--devices names {name.strip()} twice")
        devices.append(NamedDevice(name.strip(), size, None if speed is None else float(speed)))
    return devices


def _common(name: str, taken: list[str]) -> NamedDevice:
    """A card by its name alone; the same one again gets a number."""
    from hettui.domain.devices.common_cards import common_card, like

    card = common_card(name)
    if card is None:
        near = like(name)
        hint = f"did you mean {near}? Else " if near else ""
        raise UsageError(f"--devices {name}: {hint}it must be NAME=BUDGET, such as big=16GiB, or big=16GiB@960GB")
    return NamedDevice(free_name(card.name, taken), card.budget_bytes, card.bandwidth_bytes_per_s)


def weights(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        weights = [float(part) for part in text.replace("/", ",").split(",")]
    except ValueError:
        raise UsageError(f"--split {text}: it must be numbers such as 16,10,5") from None
    if not all(0 <= w < float("inf") for w in weights) or not any(weights):
        raise UsageError(f"--split {text}: weights are at least 0 and one is above 0")
    return weights
