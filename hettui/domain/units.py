"""Bytes, rates and durations: one way to read them and one way to print them.

Unknown is printed as `–` everywhere, never as 0.
"""

from __future__ import annotations

import re

from hettui.domain.patterns import late_pattern

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

UNKNOWN = "–"

_BYTES = late_pattern(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)
_FACTOR = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_bytes(text: str) -> int:
    """Bytes of `512MiB`, `10 GB`, `1.5g` or a plain number. `M`, `MB` and `MiB` differ: B alone is decimal.

    A bare suffix letter (`8G`) is binary, as memory sizes are everywhere in llama.cpp.
    Raises ValueError when the text is not a size.
    """
    match = _BYTES.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a size such as 512MiB or 10GiB")
    number, prefix, binary = match.groups()
    power = _FACTOR[prefix.lower()]
    decimal = power > 0 and not binary and text.strip().lower().endswith("b")
    return int(float(number) * (1000 if decimal else 1024) ** power)


def mib(size_bytes: int | float | None) -> str:
    """`1234` for MiB columns whose header names the unit."""
    return UNKNOWN if size_bytes is None else f"{size_bytes / MIB:.0f}"


def format_bytes(size_bytes: int | float | None) -> str:
    """`96 MiB`, `1.4 GiB`, `15.9 GiB`, `120 GiB`: three significant digits, never more than eight characters."""
    if size_bytes is None:
        return UNKNOWN
    sign = "-" if size_bytes < 0 else ""
    size = abs(size_bytes)
    if size < 1000 * MIB:
        return f"{sign}{size / MIB:.0f} MiB"
    value = size / GIB
    return f"{sign}{value:.1f} GiB" if value < 99.95 else f"{sign}{value:.0f} GiB"


def missing_mib(size_bytes: int) -> str:
    """`222 MiB`, rounded up: that much more would be enough."""
    return f"{-(-size_bytes // MIB)} MiB"


def figures(value: float, digits: int = 3) -> str:
    """So many significant digits, never with an exponent: `120`, where Python's `g` says `1.2e+02`."""
    text = f"{value:.{digits}g}"
    return f"{float(text):.0f}" if "e+" in text else text


def format_rate(per_second: float | None, unit: str = "tok/s") -> str:
    """`41.2 tok/s`, `8713 tok/s`, `– tok/s`."""
    if per_second is None:
        return f"{UNKNOWN} {unit}"
    return f"{per_second:.1f} {unit}" if per_second < 1000 else f"{per_second:.0f} {unit}"


def format_seconds(seconds: float | None) -> str:
    """`0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds is None:
        return UNKNOWN
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def format_ms(seconds: float | None) -> str:
    """`240 ms` below ten seconds, else as `format_seconds`."""
    if seconds is None:
        return UNKNOWN
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else format_seconds(seconds)


def format_tokens(count: int | None) -> str:
    """A context's size in at most five characters, rounded down: `512`, `4k`, `40k`, `128k`, `1M`; k is 1024."""
    if count is None:
        return UNKNOWN
    if count < 1024:
        return str(count)
    return f"{count // KIB}k" if count < MIB else f"{count // MIB}M"
