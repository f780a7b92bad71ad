"""A plan under one's hands: steps, selection, typed numbers, finding, undo, and the planner's proposals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.devices.device import Device
from hettui.domain.plan.aim import Objective
from hettui.domain.plan.editor import MOST_DIGITS, PlanEditor
from hettui.domain.plan.plan import History, Plan
from hettui.domain.plan.split import HOST, Split

NAMES = ("RTX 5080", "RTX 3060", "GTX 1660 SUPER", "RTX 3060 Ti")


def plan(*layers: int, host: int = 0, locked: tuple[int, ...] = ()) -> Plan:
    devices = tuple(Device(NAMES[i], locked=i in locked) for i in range(len(layers)))
    return Plan(devices, Split(layers, sum(layers) + host))


def editor(*layers: int, host: int = 0, locked: tuple[int, ...] = ()) -> PlanEditor:
    return PlanEditor.of(plan(*layers, host=host, locked=locked))


def names(made: PlanEditor) -> list[str]:
    return [d.name for d in made.plan.devices]


# -- anything that hands can do ------------------------------------------------------------------------------------


def backwards(given_plan: Plan, objective: Objective) -> Plan:
    """A planner that turns the order round for all aims but `balanced`."""
    if objective == "balanced":
        return given_plan.evened()
    order = range(len(given_plan.devices) - 1, -1, -1)
    layers = tuple(given_plan.split.layers[i] for i in order)
    return Plan(tuple(given_plan.devices[i] for i in order), Split(layers, given_plan.split.total_layers))


Step = Callable[[PlanEditor], PlanEditor]


def _slider(args: tuple[int, int]) -> Step:
    return lambda e: e.with_layers(e.rows[args[0] % len(e.rows)], args[1])


def _boundary(args: tuple[int, int]) -> Step:
    """As the layer bar has it: the host is at its left end."""
    return lambda e: e.with_boundary(args[0] % len(e.plan.devices) - 1, args[0] % len(e.plan.devices), args[1])


NUMBERS = st.tuples(st.integers(0, 9), st.integers(-5, 60))
SLIDERS: st.SearchStrategy[Step] = st.one_of(
    NUMBERS.map(_slider),
    NUMBERS.map(_boundary),
    st.integers(-40, 40).map(lambda n: lambda e: e.shifted(n)),
    st.integers(-1, 40).map(lambda n: lambda e: e.filled(n)),
    st.just(PlanEditor.evened),
    st.just(PlanEditor.entered),
    st.sampled_from("0123456789").map(lambda digit: lambda e: e.with_digit(digit)),
    st.just(PlanEditor.without_digit),
    st.integers(-3, 9).map(lambda place: lambda e: e.choosing(place)),
    st.integers(-3, 9).map(lambda device: lambda e: e.selecting(device)),
    st.just(PlanEditor.finding_begun),
    st.text("RTX 30cpu", max_size=6).map(lambda text: lambda e: e.sought(text)),
    st.sampled_from((-1, 1)).map(lambda step: lambda e: e.found_next(step)),
    st.booleans().map(lambda stay: lambda e: e.finding_ended(stay=stay)),
)
STEPS: st.SearchStrategy[Step] = st.one_of(
    SLIDERS,
    st.just(PlanEditor.with_lock_toggled),
    st.sampled_from((-1, 1)).map(lambda direction: lambda e: e.moved(direction)),
    st.just(lambda e: e.taking(backwards(e.plan, "latency"), "a plan", "latency")),
    st.just(lambda e: e.undone()[0]),
    st.just(lambda e: e.redone()[0]),
)
EDITORS = st.builds(
    lambda layers, host, locked: editor(*layers, host=host, locked=tuple(locked)),
    st.lists(st.integers(0, 20), min_size=1, max_size=4),
    st.integers(0, 8),
    st.sets(st.integers(0, 3)),
)


@given(EDITORS, st.lists(STEPS, max_size=30))
def test_no_layer_is_lost_and_something_is_always_selected(made: PlanEditor, steps: list[Step]) -> None:
    total, devices = made.plan.split.total_layers, sorted(names(made))
    for step in steps:
        made = step(made)
        split = made.plan.split
        assert split.total_layers == total == sum(split.layers) + split.host_layers
        assert split.host_layers >= 0
        assert sorted(names(made)) == devices
        assert made.selected in made.rows
        assert made.rows[made.place] == made.selected
        assert made.typed == "" or (made.typed.isdigit() and len(made.typed) <= MOST_DIGITS)
        assert made.name(made.selected)
        assert made.finding_words is None or made.finding is not None


@given(EDITORS, st.lists(SLIDERS, max_size=30))
def test_a_locked_device_keeps_its_layers(made: PlanEditor, steps: list[Step]) -> None:
    held = {i: made.plan.split.layers[i] for i in made.plan.locked}
    for step in steps:
        made = step(made)
        assert {i: made.plan.split.layers[i] for i in made.plan.locked} == held


@given(EDITORS, st.lists(STEPS, max_size=30))
def test_undo_takes_every_step_back_and_redo_does_it_again(made: PlanEditor, steps: list[Step]) -> None:
    made = replace(made, history=History(limit=1000))
    first = made.plan
    for step in steps:
        made = step(made)
    while made.history.future:
        made, _ = made.redone()
    last, seen = made.plan, [made.plan]
    while made.history.past:
        words = made.history.undo_words
        made, said = made.undone()
        assert said.startswith(f"undone: {words}")
        seen.append(made.plan)
    assert made.plan == first
    assert made.undone() == (made, "")
    for expected in reversed(seen[:-1]):
        made, _ = made.redone()
        assert made.plan == expected
    assert made.plan == last
    assert made.redone() == (made, "")


@given(EDITORS, STEPS, st.lists(STEPS, max_size=10))
def test_a_step_that_changes_nothing_is_no_step(made: PlanEditor, step: Step, before: list[Step]) -> None:
    for earlier in before:
        made = earlier(made)
    after = step(made)
    if after.plan == made.plan:
        assert after.history == made.history


@given(EDITORS, st.integers(0, 999), st.integers(0, 9))
def test_a_typed_number_is_what_the_slider_would_be_set_to(made: PlanEditor, number: int, place: int) -> None:
    made = made.choosing(place)
    typed = made
    for digit in str(number):
        typed = typed.with_digit(digit)
    assert typed.entered().plan == made.with_layers(made.selected, number).plan
    assert typed.entered().typed == ""


# -- steps ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "layers", "host", "words"),
    [
        (lambda e: e.shifted(1), (17, 9, 5), 0, "RTX 5080 16 → 17 layers"),
        (lambda e: e.shifted(-4), (12, 14, 5), 0, "RTX 5080 16 → 12 layers"),
        (lambda e: e.filled(0), (0, 26, 5), 0, "RTX 5080 16 → 0 layers"),
        (lambda e: e.filled(-1), (31, 0, 0), 0, "RTX 5080 16 → 31 layers"),
        (lambda e: e.filled(500), (31, 0, 0), 0, "RTX 5080 16 → 31 layers"),
        (lambda e: e.choosing(3).filled(4), (12, 10, 5), 4, "the CPU 0 → 4 layers"),
        (lambda e: e.with_layers(2, 7), (16, 8, 7), 0, "GTX 1660 SUPER 5 → 7 layers"),
        (lambda e: e.with_boundary(0, 1, 20), (20, 6, 5), 0, "the boundary of RTX 5080 and RTX 3060"),
        (lambda e: e.with_boundary(HOST, 0, 3), (13, 10, 5), 3, "the boundary of the CPU and RTX 5080"),
        (lambda e: e.evened(), (11, 10, 10), 0, "the even split"),
        (lambda e: e.with_lock_toggled(), (16, 10, 5), 0, "locking RTX 5080"),
        (lambda e: e.with_lock_toggled().with_lock_toggled(), (16, 10, 5), 0, "unlocking RTX 5080"),
        (lambda e: e.moved(1), (10, 16, 5), 0, "moving RTX 5080 down"),
        (lambda e: e.moved(1).moved(-1), (16, 10, 5), 0, "moving RTX 5080 up"),
    ],
)
def test_a_step_and_what_undo_calls_it(step: Step, layers: tuple[int, ...], host: int, words: str) -> None:
    made = step(editor(16, 10, 5))
    assert made.plan.split == Split(layers, 31)
    assert made.plan.split.host_layers == host
    assert made.history.undo_words == words


def test_the_words_tell_what_became_of_a_slider() -> None:
    made = editor(16, 10, 5, locked=(1,)).filled(500)
    assert made.plan.split.layers == (21, 10, 0)
    assert made.history.undo_words == "RTX 5080 16 → 21 layers"


def test_what_is_locked_or_has_no_lock_or_place_stays() -> None:
    locked = editor(16, 10, 5, locked=(0,))
    assert locked.shifted(3) == locked
    host = editor(16, 10, 5).choosing(3)
    assert host.with_lock_toggled() is host
    assert host.moved(-1) is host
    assert not host.can_move(-1)
    first = editor(16, 10)
    assert first.moved(-1) is first
    assert first.moved(1).moved(1).selected == 1


def test_a_moved_device_stays_selected() -> None:
    made = editor(16, 10, 5).moved(1)
    assert names(made) == ["RTX 3060", "RTX 5080", "GTX 1660 SUPER"]
    assert (made.selected, made.name(made.selected)) == (1, "RTX 5080")


def test_a_step_drops_what_is_typed() -> None:
    assert editor(16, 10).with_digit("7").shifted(1).typed == ""
    assert editor(16, 10, locked=(0,)).with_digit("7").shifted(1).typed == "", "also one that changes nothing"


def test_a_hostile_name_is_clean_in_words() -> None:
    evil = Plan((Device("a\x1b]0;x\x07b\n" + "c" * 90), Device("d")), Split((3, 4), 7))
    words = PlanEditor.of(evil).shifted(1).history.undo_words
    assert words.isprintable()
    assert len(words) < 70


def test_without_devices_the_host_is_selected() -> None:
    bare = PlanEditor.of(Plan((), Split((), 7)))
    assert (bare.selected, bare.rows, bare.place) == (HOST, (HOST,), 0)
    assert bare.shifted(1).evened().moved(1).with_lock_toggled().choosing(5) == bare
    assert bare.found == [HOST]


def test_another_plan_keeps_the_steps_and_another_model_does_not() -> None:
    made = editor(16, 10, 5).choosing(2).shifted(1)
    other = plan(4, 4)
    assert made.with_plan(other).history == made.history
    assert made.with_plan(other).selected == 1, "there is no third device"
    assert made.with_other_model(other).history == History()


def test_undo_and_redo_say_how_much_there_is() -> None:
    made = editor(16, 10, 5).shifted(1).evened()
    made, said = made.undone()
    assert said == "undone: the even split (1 more)"
    made, said = made.with_digit("3").undone()
    assert (said, made.typed) == ("undone: RTX 5080 16 → 17 layers, there is no more", "")
    made, said = made.redone()
    assert said == "done again: RTX 5080 16 → 17 layers (1 more)"
    made, said = made.redone()
    assert said == "done again: the even split, there is no more"


# -- selection and digits ------------------------------------------------------------------------------------------


def test_the_selection_stops_at_the_first_device_and_at_the_cpu() -> None:
    made = editor(16, 10).with_digit("1")
    assert made.choosing(made.place - 1).selected == 0
    assert made.choosing(-5).typed == "", "what was typed was for another device"
    assert [made.choosing(place).selected for place in (1, 2, 3)] == [1, HOST, HOST]


def test_digits() -> None:
    made = editor(16, 10, 5).with_digit("1").with_digit("0")
    assert made.typed == "10", "a zero behind a digit is a digit"
    assert made.with_digit("2").with_digit("3").typed == "102", "no model has so many layers"
    assert made.without_digit().typed == "1"
    assert made.without_digits().without_digit().typed == ""
    assert made.entered().plan.split.layers == (10, 16, 5)
    assert editor(16, 10, 5).with_digit("0").plan.split.layers == (0, 26, 5)
    fresh = editor(16, 10, 5)
    assert fresh.entered() is fresh


# -- finding -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [("", [0, 1, 2, 3, HOST]), ("rtx", [0, 1, 3]), ("3060 ti", [3]), ("ti 30", [3]), ("cpu", [HOST]), ("x9", [])],
)
def test_what_is_found(text: str, found: list[int]) -> None:
    assert editor(4, 4, 4, 4).finding_begun().sought(text).found == found


def test_finding_goes_to_the_first_stays_where_it_fits_and_goes_round() -> None:
    made = editor(4, 4, 4, 4).choosing(2).with_digit("1").finding_begun()
    assert (made.typed, made.finding_words) == ("", "/▏  3 of 5 · ⏎ stays, esc goes back · ↓ the next")
    made = made.sought("3060")
    assert (made.selected, made.finding_words) == (1, "/3060▏  1 of 2 · ⏎ stays, esc goes back · ↓ the next")
    assert made.sought("30").selected == 1
    assert [made.found_next(1).selected, made.found_next(1).found_next(1).selected] == [3, 1]
    assert made.found_next(-1).selected == 3
    nothing = made.sought("radeon")
    assert (nothing.selected, nothing.finding_words) == (1, "/radeon▏  none · ⏎ stays, esc goes back")
    assert nothing.found_next(1) is nothing
    assert replace(made, selected=0).found_next(1).selected == 1, "from elsewhere: the first"
    assert made.finding_ended(stay=True).selected == 1
    back = made.finding_ended(stay=False)
    assert (back.selected, back.finding, back.finding_words) == (2, None, None)


# -- the planner ---------------------------------------------------------------------------------------------------


def test_a_plan_that_is_looked_at_is_no_step_and_the_same_place_is_selected() -> None:
    before = editor(20, 8, 3).selecting(2)
    shown = before.shown_as(backwards(before.plan, "latency"), "latency")
    assert (names(shown), shown.selected, shown.history) == (names(before)[::-1], 2, before.history)


def test_a_plan_that_is_taken_is_a_step_and_the_same_device_is_selected() -> None:
    before = editor(20, 8, 3).selecting(2)
    taken = before.taking(backwards(before.plan, "throughput"), "the plan “best”", "throughput")
    assert (names(taken), taken.selected, taken.objective) == (names(before)[::-1], 0, "throughput")
    assert taken.history.undo_words == "the plan “best”"
    assert taken.undone()[0].plan == before.plan
