"""Sizes, rates and durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.units import (
    GIB,
    MIB,
    figures,
    format_bytes,
    format_ms,
    format_rate,
    format_seconds,
    mib,
    parse_bytes,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("512MiB", 512 * MIB),
        ("512 mib", 512 * MIB),
        ("8G", 8 * GIB),
        ("8GiB", 8 * GIB),
        ("10GB", 10_000_000_000),
        ("1.5GiB", 3 * GIB // 2),
        ("4096", 4096),
        ("4096B", 4096),
        ("0", 0),
    ],
)
def test_sizes_are_read(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "GiB", "-5MiB", "five", "5 MiB extra", "1e9", "5PiB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a size"):
        parse_bytes(text)


@given(st.integers(0, 10**15))
def test_printed_sizes_are_short(size: int) -> None:
    assert len(format_bytes(size)) <= 11


def test_unknown_is_never_zero() -> None:
    assert format_bytes(None) == "–"
    assert mib(None) == "–"
    assert format_rate(None) == "– tok/s"
    assert format_seconds(None) == "–"
    assert format_ms(None) == "–"


def test_durations() -> None:
    assert [format_seconds(s) for s in (0.44, 12, 59.7, 185, 7800)] == [
        "0.4 s",
        "12 s",
        "1 min 00 s",
        "3 min 05 s",
        "2 h 10 min",
    ]
    assert format_ms(0.2404) == "240 ms"


def test_figures_have_no_exponent() -> None:
    assert [figures(x) for x in (0, 0.0456, 7.125, 62.04, 999.6, 1234.5)] == [
        "0",
        "0.0456",
        "7.12",
        "62",
        "1000",
        "1230",
    ]
    assert [figures(x, 2) for x in (3.44, 120.7, 4000)] == ["3.4", "120", "4000"]
