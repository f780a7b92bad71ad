"""The history of readings, and what a link can carry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.telemetry.readings import Link, Series

readings = st.lists(st.tuples(st.floats(0.1, 5), st.none() | st.floats(0, 100)), max_size=100)


def filled(steps: list[tuple[float, float | None]], span_s: float = 60) -> tuple[Series, float]:
    series, now_s = Series(span_s), 1000.0
    for step_s, value in steps:
        now_s += step_s
        series.push(now_s, value)
    return series, now_s


@given(readings, st.integers(0, 80), st.floats(0, 10))
def test_the_parts_hold_nothing_but_readings_and_the_newest_is_last(
    steps: list[tuple[float, float | None]], count: int, hold_s: float
) -> None:
    series, now_s = filled(steps)
    bins = series.bins(now_s, count, hold_s)
    assert len(bins) == count
    assert {value for value in bins if value is not None} <= {value for _, value in steps}
    if steps and count and steps[-1][1] is not None:
        assert bins[-1] is not None
        assert bins[-1] >= steps[-1][1]


def test_the_highest_reading_of_each_part_at_steady_places() -> None:
    series, now_s = filled([(1.0, float(n % 10)) for n in range(60)])
    before = series.bins(now_s, 12)
    assert before[1:-1] == (9.0, 8.0) * 5
    series.push(now_s + 1, 0.0)
    after = series.bins(now_s + 1, 12)
    # The picture moves by a whole part or not at all.
    assert after[:-1] in (before[:-1], before[1:])


def test_a_reading_is_held_for_a_while_and_then_it_is_a_gap() -> None:
    series, now_s = filled([(1.0, 50.0), (20.0, 60.0)])
    assert series.bins(now_s + 4, 30, hold_s=4.0) == (None,) * 17 + (50.0,) * 3 + (None,) * 7 + (60.0,) * 3


def test_old_readings_are_forgotten() -> None:
    series, now_s = filled([(1.0, 1.0)] * 1000)
    assert len(series._readings) <= 130
    assert series.bins(now_s + 1000, 10) == (None,) * 10


@given(readings, st.lists(st.integers(1, 80), min_size=1, max_size=4), st.floats(0, 10))
def test_counted_one_by_one_the_parts_are_those_of_all_readings_at_once(
    steps: list[tuple[float, float | None]], counts: list[int], hold_s: float
) -> None:
    followed, now_s = Series(60), 1000.0
    for place, (step_s, value) in enumerate(steps):
        now_s += step_s
        followed.push(now_s, value)
        # Asked all the time, in whatever width.
        followed.bins(now_s, counts[place % len(counts)], hold_s)
    at_once, _ = filled(steps)
    assert followed.bins(now_s, counts[0], hold_s) == at_once.bins(now_s, counts[0], hold_s)


@pytest.mark.parametrize(("link", "gb_per_s"), [(Link(4, 16), 31.5), (Link(3, 4), 3.94), (Link(9, 16), None)])
def test_what_a_link_carries(link: Link, gb_per_s: float | None) -> None:
    carried = link.bytes_per_s
    assert (carried is None) == (gb_per_s is None)
    if carried is not None:
        assert carried / 1e9 == pytest.approx(gb_per_s, rel=0.01)
    assert str(Link(4, 8)) == "gen4 x8"
