"""Frozen data as JSON: nothing is lost, nothing wrong comes in, and every message says where."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hettui.domain.documents.change import applied, change
from hettui.domain.documents.codec import Codec
from hettui.domain.documents.forms import Mismatch
from hettui.services.events import Recorded
from tests.forms import plain, values

CODEC = Codec()


class Colour(Enum):
    RED = "the colour of fire"
    BLUE = "the colour of the sky"


@dataclass(frozen=True)
class Inner:
    size_bytes: int
    ratio: float = 1.5
    note: str = ""


@dataclass(frozen=True)
class Outer:
    colour: Colour
    inner: Inner | None
    many: tuple[Inner, ...] = ()
    by_name: Mapping[str, Inner] = field(default_factory=dict)
    pair: tuple[str, int] = ("", 0)
    mode: Literal["on", "off"] = "on"
    mixed: int | float | str | bool | tuple[int | float, ...] | None = 5
    path: Path | None = None
    words: frozenset[str] = frozenset()
    either: Inner | Colours | None = None


@dataclass(frozen=True)
class Colours:
    all: tuple[Colour, ...]


def back(value: Any, hint: Any) -> Any:
    return CODEC.decode(json.loads(json.dumps(CODEC.encode(value, hint), allow_nan=False)), hint)


@settings(deadline=None)
@given(values(Outer))
def test_every_kind_of_hint_comes_back(value: Outer) -> None:
    assert plain(back(value, Outer)) == plain(value)


@pytest.mark.many
@pytest.mark.parametrize("kind", get_args(Recorded), ids=lambda k: str(k.__name__))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_recorded_event_comes_back(kind: type, data: st.DataObject) -> None:
    value = data.draw(values(kind))
    assert plain(back(value, kind)) == plain(value)


def test_what_says_nothing_takes_no_room() -> None:
    assert CODEC.encode(Outer(Colour.RED, None, mixed=None), Outer) == {
        "colour": "RED",
        "mode": "on",
        "pair": ["", 0],
    }
    assert CODEC.encode(Inner(3, 2.0), Inner) == {"size_bytes": 3, "ratio": 2}
    assert CODEC.encode(Inner(3, 0.0), Inner) == {"size_bytes": 3, "ratio": 0}, "a zero that is no default is written"


def test_a_reading_that_is_not_a_number_is_not_available() -> None:
    assert CODEC.encode(float("nan"), float | None) is None
    with pytest.raises(ValueError, match="finite"):
        CODEC.encode(Inner(1, float("inf")), Inner)


def test_decimals_and_texts_are_as_asked_for() -> None:
    codec = Codec(str.upper, decimals=2)
    assert codec.encode(Inner(1, 0.126, "me"), Inner) == {"size_bytes": 1, "ratio": 0.13, "note": "ME"}
    assert codec.encode({"a": Inner(1)}, Mapping[str, Inner]) == {"A": {"size_bytes": 1, "ratio": 1.5}}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"colour": "GREEN"}, "colour: is no Colour: GREEN"),
        ({"colour": "the colour of fire"}, "colour: is no Colour"),
        ({"colour": "RED", "many": [{"size_bytes": 1}, {"size_bytes": "1"}]}, "many.1.size_bytes: should be a whole"),
        ({"colour": "RED", "many": [{}]}, "many.0: Inner lacks its size_bytes"),
        ({"colour": "RED", "inner": {"size_bytes": 1.5}}, "a whole number, not a fraction"),
        ({"colour": "RED", "inner": {"size_bytes": True}}, "not true or false"),
        ({"colour": "RED", "inner": {"size_bytes": 1 << 64}}, "too large"),
        ({"colour": "RED", "inner": {"size_bytes": 1, "ratio": 1e300}}, "too large"),
        ({"colour": "RED", "inner": {"size_bytes": 1, "\x1b[31mnew": 1}}, "inner: Inner has no field new"),
        ({"colour": "RED", "by_name": {"x": []}}, "by_name.x: should be an object, not a list"),
        ({"colour": "RED", "pair": ["a"]}, "pair: should be a list of 2"),
        ({"colour": "RED", "mode": "auto"}, "is none of on, off: auto"),
        ({"colour": "RED", "mixed": {}}, "is of a type that is not known here"),
        ({"colour": "RED", "words": "abc"}, "words: should be a list, not a text"),
        ({"colour": "RED", "either": {"Nobody": {}}}, "is none of Inner, Colours: Nobody"),
        ({}, "Outer lacks its colour"),
        (None, "should be an object, not nothing"),
    ],
)
def test_what_does_not_belong_there_is_named_with_its_place(found: Any, said: str) -> None:
    with pytest.raises(Mismatch) as caught:
        CODEC.decode(found, Outer)
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


def test_texts_come_back_clean() -> None:
    found = CODEC.decode(
        {"by_name": {"a\x1b]0;x\x07": {"size_bytes": 1, "note": "b\x9b2J\u202e"}}, "colour": "RED"}, Outer
    )
    assert found.by_name == {"a": Inner(1, note="b")}


def test_a_rule_of_the_type_itself_is_a_mismatch() -> None:
    @dataclass(frozen=True)
    class Even:
        number: int

        def __post_init__(self) -> None:
            if self.number % 2:
                raise ValueError(f"{self.number} is odd")

    with pytest.raises(Mismatch, match="3 is odd"):
        CODEC.decode({"number": 3}, Even)


@pytest.mark.parametrize("hint", [bytes, dict[int, str], int | Colour, Any, complex])
def test_a_hint_that_cannot_be_carried_is_our_own_mistake(hint: Any) -> None:
    with pytest.raises(TypeError):
        CODEC.form(hint)


KEYS = st.text("ab=-", max_size=3)
OBJECTS = st.recursive(
    st.dictionaries(KEYS, st.one_of(st.none(), st.integers(0, 2), st.lists(st.integers(0, 1), max_size=2)), max_size=4),
    lambda inner: st.dictionaries(KEYS, st.one_of(inner, st.none(), st.integers(0, 2)), max_size=4),
)


@given(OBJECTS, OBJECTS)
def test_changes_lead_from_one_object_to_the_other(before: Any, after: Any) -> None:
    kept = json.dumps(before)
    assert applied(before, json.loads(json.dumps(change(before, after)))) == after
    assert json.dumps(before) == kept


def test_only_what_changed_is_in_a_change() -> None:
    before = {"a": {"x": 1, "y": 2}, "b": {"x": 1}, "c": 1}
    assert change(before, {"a": {"x": 1, "y": 3}, "b": {"x": 1}}) == {"a": {"y": 3}, "-c": 1}
    assert change(before, before) == {}


@pytest.mark.parametrize("changes", [[], 1, None, {"c": {"x": 1}}, {"new": {"x": 1}}])
def test_changes_of_what_is_not_there_are_refused(changes: Any) -> None:
    with pytest.raises(Mismatch):
        applied({"c": 1}, changes)
