"""llama-server's settings as they are changed by hand: the next value, a typed one, and how each is spelled."""

from __future__ import annotations

from dataclasses import replace

from hettui.domain.llama.options import Option, memory_options
from hettui.domain.llama.params import RuntimeParams

Value = int | str | bool
_DOUBLED = ("ctx-size", "batch-size", "ubatch-size", "predict")
"""Of these the half and the double are what one tries next; of others one more or less."""
_LEAST_DOUBLED = {"ctx-size": 256, "batch-size": 32, "ubatch-size": 32, "predict": 16}
_MOST_DOUBLED = {"ctx-size": 1 << 20, "batch-size": 1 << 14, "ubatch-size": 1 << 13, "predict": 1 << 20}
_NOT_BY_HAND = (
    "override-tensor", "n-cpu-moe", "n-cpu-ffn", "mmproj", "mmproj-device", "lora", "control-vector",
    "ctx-checkpoints", "cache-ram",
)  # fmt: skip
"""Whose experts or FFN leave is the plan's own; files are named, and what the host keeps is said once, in a
configuration."""
_LEFT_OUT = {"parallel": "auto", "threads": "auto", "predict": "no limit"}
"""What -1 means."""
_ORDER = (
    "ctx-size", "parallel", "kv-unified", "cache-type-k", "cache-type-v", "flash-attn", "batch-size", "ubatch-size",
    "split-mode", "threads", "predict",
)  # fmt: skip


def by_hand() -> tuple[Option, ...]:
    """Those that can be changed on the screen, in the order in which they matter."""
    known = [one for one in memory_options() if one.name not in _NOT_BY_HAND]
    return tuple(sorted(known, key=lambda one: _ORDER.index(one.name) if one.name in _ORDER else len(_ORDER)))


def value_of(params: RuntimeParams, option: Option) -> Value:
    value: Value = getattr(params, option.attribute)
    return value


def shown(option: Option, value: Value) -> str:
    """For people."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return _LEFT_OUT.get(option.name, str(value)) if value == -1 else str(value)


def ranges(option: Option) -> str:
    """What it may be, for people."""
    if option.kind == "boolean":
        return "on, off"
    if option.choices:
        return ", ".join(option.choices)
    least = max(0, option.least or 0) or (1 if option.name in _LEFT_OUT else 0)
    left_out = f"{_LEFT_OUT[option.name]}, " if option.name in _LEFT_OUT else ""
    return f"{left_out}{least}{f' to {option.most}' if option.most is not None else ' or more'}"


def stepped(option: Option, value: Value, direction: int) -> Value:
    """The next value up (1) or down (-1); the last one stays."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        place = option.choices.index(value) + direction if value in option.choices else 0
        return option.choices[min(max(place, 0), len(option.choices) - 1)]
    least = -1 if option.kind == "slots" else option.least if option.least is not None else 0
    if option.name in _DOUBLED:
        return _doubled(option.name, value, direction, least)
    after = value + direction
    # Between auto and one there is nothing.
    after = after + direction if after == 0 and least < 0 else after
    return max(least, min(after, option.most if option.most is not None else after))


def _doubled(name: str, value: int, direction: int, least: int) -> int:
    low, high = _LEAST_DOUBLED[name], _MOST_DOUBLED[name]
    if direction > 0:
        return low if value < low else min(max(high, value), 1 << value.bit_length())
    if value <= low:
        return least if least < low and least <= 0 else min(value, low)
    return max(low, 1 << (value - 1).bit_length() - 1)


def typed(option: Option, text: str) -> Value | None:
    """A number that was typed; None where the option takes none, or not this one."""
    if option.kind not in ("integer", "slots") or not text.isdecimal():
        return None
    value, least = int(text), max(option.least or 0, 1 if option.name in _LEFT_OUT else 0)
    return value if value >= least and (option.most is None or value <= option.most) else None


def with_value(params: RuntimeParams, option: Option, value: Value) -> RuntimeParams:
    return replace(params, **{option.attribute: value})  # type: ignore[arg-type]
