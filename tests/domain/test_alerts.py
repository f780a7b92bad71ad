"""Alerts: each kind by a story, and the rules of hysteresis by property."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.telemetry.alerts import GONE_ROUNDS, QUIET_S, Alert, AlertState, update
from hettui.domain.telemetry.readings import DeviceSample, Link, TelemetrySnapshot
from hettui.domain.units import GIB, MIB

CARD = "RTX 5080"
FINE = DeviceSample(
    used_bytes=8 * GIB,
    total_bytes=16 * GIB,
    temperature_c=60.0,
    slowdown_c=93.0,
    memory_temperature_c=70.0,
    ecc_errors=3,
)


def told(
    rounds: Iterable[DeviceSample | str | None], *, interval_s: float = 1.0, name: str = CARD
) -> list[tuple[int, Alert]]:
    """What is told at which round. None: no sample; a text: no sample, and why."""
    state, found = AlertState().watching([name]), []
    for n, sample in enumerate(rounds):
        samples = {name: sample} if isinstance(sample, DeviceSample) else {}
        errors = {name: sample} if isinstance(sample, str) else {}
        now_s = 100 + n * interval_s
        state, alerts = update(state, TelemetrySnapshot(now_s, interval_s, samples, errors), now_s)
        found += [(n, alert) for alert in alerts]
    return found


def hot(*degrees: float | None) -> list[DeviceSample]:
    return [replace(FINE, temperature_c=c) for c in degrees]


def left(*mib: int | None) -> list[DeviceSample]:
    return [replace(FINE, used_bytes=None if m is None else 16 * GIB - m * MIB) for m in mib]


def errors(*counts: int | None) -> list[DeviceSample]:
    return [replace(FINE, ecc_errors=n) for n in counts]


def test_a_card_that_is_well_says_nothing() -> None:
    assert told([FINE] * 20) == []


def test_heat_is_told_once_and_ends_well_below_its_threshold() -> None:
    story = told(hot(80, 89, 90, 92, 89, 84, 90, None, 83, 82, 90))
    assert [(n, a.raised) for n, a in story] == [(2, True), (8, False), (10, True)]
    assert story[0][1] == Alert(CARD, "heat", "RTX 5080 is hot: 90 °C, slows down at 93", "warning")
    assert story[1][1] == Alert(CARD, "heat", "RTX 5080 has cooled down: 83 °C", "information", raised=False)


def test_a_card_without_a_threshold_is_held_against_the_usual_one() -> None:
    (story,) = told([replace(FINE, slowdown_c=None, temperature_c=c) for c in (86.0, 87.0)])
    assert story[1].text == "RTX 5080 is hot: 87 °C, usually cards slow down at 90"


def test_a_threshold_that_is_missing_for_once_is_remembered() -> None:
    own = replace(FINE, slowdown_c=99.0, temperature_c=80.0)
    assert told([own, replace(own, slowdown_c=None, temperature_c=92.0)]) == []


@pytest.mark.parametrize(("degrees", "raised"), [((94, 99, 100, 95, 101, 94), [2, 5]), ((99, 99), [])])
def test_hot_memory(degrees: tuple[float, ...], raised: list[int]) -> None:
    story = told([replace(FINE, memory_temperature_c=c) for c in degrees])
    assert [n for n, _ in story] == raised
    assert all(a.kind == "memory-heat" and "memory of RTX 5080" in a.text for _, a in story)


def test_memory_is_told_by_what_is_left() -> None:
    story = told(left(600, 300, 255, 300, 200, None, 383, 384))
    assert [(n, a.raised) for n, a in story] == [(2, True), (7, False)]
    assert story[0][1].text == "RTX 5080 is nearly full: 255 MiB of 16.0 GiB left"
    assert story[1][1].text == "RTX 5080 has room again: 384 MiB"


def test_memory_that_others_took_is_said() -> None:
    (story,) = told([replace(left(100)[0], own_bytes=12 * GIB)])
    assert story[1].text.endswith("; others hold 3.9 GiB")


def test_errors_from_before_are_no_news_new_ones_are_once_until_it_is_quiet() -> None:
    assert told(errors(7, 7, None, 7)) == []
    ((n, alert),) = told(errors(7, 8, 8, 12, None, 13))
    assert (n, alert.severity) == (1, "error")
    assert alert.text.startswith("RTX 5080: 1 new uncorrected memory error, 8 since its driver was loaded.")
    rounds = int(QUIET_S) + 5
    story = told(errors(7, 9, *([9] * rounds)))
    assert [(n, a.raised) for n, a in story] == [(1, True), (1 + int(QUIET_S), False)]
    assert "2 new uncorrected memory errors" in story[0][1].text


def test_a_driver_that_counts_anew_has_no_new_errors() -> None:
    assert told(errors(9, 0, 0)) == []
    assert [n for n, _ in told(errors(9, 0, 1))] == [2]


def test_a_lost_card_is_told_at_once_and_back_only_when_it_stays() -> None:
    lost = DeviceSample(lost="it fell off the bus (Xid 79)")
    story = told([FINE, lost, lost, FINE, FINE, lost, FINE, FINE, FINE])
    assert [(n, a.raised) for n, a in story] == [(1, True), (8, False)]
    assert story[0][1] == Alert(CARD, "lost", "RTX 5080 is gone: it fell off the bus (Xid 79)", "error")
    assert story[1][1] == Alert(CARD, "lost", "RTX 5080 is back", "information", raised=False)


def test_a_card_whose_samples_stop_is_gone_after_some_rounds() -> None:
    assert told([FINE, *[None] * (GONE_ROUNDS - 1), FINE]) == []
    ((n, alert),) = told([FINE, *["its sensors do not answer"] * 9])
    assert (n, alert.text) == (GONE_ROUNDS, "RTX 5080 is gone: its sensors do not answer")
    ((n, alert),) = told([FINE, *[None] * 9], interval_s=10.0)
    assert (n, alert.text) == (GONE_ROUNDS, "RTX 5080 is gone: no reading for 50 s")
    assert [n for n, _ in told([FINE, *[None] * 60], interval_s=0.1)] == [50]


def test_a_card_that_was_never_there_is_not_gone() -> None:
    assert told([None] * 30) == []
    assert told([DeviceSample()] * 30) == []


def test_an_empty_sample_is_no_sign_of_life_and_none_of_death() -> None:
    empty = DeviceSample(slowdown_c=93.0, link_max=Link(4, 16))
    assert told([FINE, *[empty] * 30]) == []
    story = told([FINE, *[None] * 9, *[empty] * 9, FINE, FINE, FINE])
    assert [(n, a.raised) for n, a in story] == [(GONE_ROUNDS, True), (21, False)]


def test_a_card_that_is_no_longer_watched_is_forgotten() -> None:
    state = AlertState().watching(["a", "b"])
    both = {"a": hot(95)[0], "b": hot(95)[0]}
    state, alerts = update(state, TelemetrySnapshot(1.0, 1.0, both), 1.0)
    assert [a.device for a in alerts] == ["a", "b"]
    state = state.watching(["b", "c"])
    state, alerts = update(state, TelemetrySnapshot(2.0, 1.0, both), 2.0)
    assert alerts == ()
    _, alerts = update(state, TelemetrySnapshot(9.0, 1.0, {}), 9.0)
    assert alerts == ()


def test_hostile_names_stay_one_clean_line() -> None:
    (story,) = told(hot(95), name="[/]\x1b]0;owned\x07card\n" + "x" * 100)
    assert story[1].text.startswith("[/]card x")
    assert story[1].text.isprintable()
    assert len(story[1].text) < 90


def maybe(values: st.SearchStrategy[float]) -> st.SearchStrategy[float | None]:
    return st.none() | values


SAMPLES = st.builds(
    DeviceSample,
    used_bytes=st.none() | st.integers(0, 1000).map(lambda n: n * MIB),
    total_bytes=st.none() | st.just(1000 * MIB),
    temperature_c=maybe(st.floats(60, 100)),
    slowdown_c=maybe(st.just(93.0)),
    memory_temperature_c=maybe(st.floats(80, 120)),
    ecc_errors=st.none() | st.integers(0, 3),
    lost=st.none() | st.none() | st.just("gone"),
)
ROUNDS = st.lists(st.none() | SAMPLES, max_size=80)


@given(rounds=ROUNDS, interval_s=st.sampled_from((0.1, 1.0, 60.0)))
def test_raises_and_ends_take_turns(rounds: list[DeviceSample | None], interval_s: float) -> None:
    raised: set[str] = set()
    for _, alert in told(rounds, interval_s=interval_s):
        assert alert.raised is (alert.kind not in raised)
        raised ^= {alert.kind}


@given(before=ROUNDS, quiet=st.integers(1, 60), after=ROUNDS)
def test_rounds_that_say_nothing_tell_nothing_and_change_nothing(
    before: list[DeviceSample | None], quiet: int, after: list[DeviceSample | None]
) -> None:
    with_gap = told([*before, *[DeviceSample()] * quiet, *after], interval_s=0.0)
    without = told([*before, *after], interval_s=0.0)
    assert [a for _, a in with_gap] == [a for _, a in without]
    assert not [n for n, _ in with_gap if len(before) <= n < len(before) + quiet]


def test_a_card_that_sleeps_is_not_gone() -> None:
    state = AlertState().watching(["card"])
    for now_s in range(30):
        sample = DeviceSample(asleep=True) if now_s > 2 else DeviceSample(temperature_c=40)
        state, alerts = update(state, TelemetrySnapshot(float(now_s), 1.0, {"card": sample}), float(now_s))
        assert not alerts
