"""Dataclasses that are cheap until they are used: in everything that hettui does with them as the library's."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, field, fields, is_dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.domain import records

NAMES = ("alpha", "beta", "gamma", "delta")
Make = Callable[..., Any]


def built(decorator: Make, options: dict[str, bool], defaults: list[Any]) -> type:
    """A class of as many fields as there are defaults: `...` for none, a list for a factory."""
    body: dict[str, Any] = {"__annotations__": dict.fromkeys(NAMES[: len(defaults)], "object"), "__doc__": "One."}
    for name, default in zip(NAMES, defaults, strict=False):
        if default is not ...:
            body[name] = field(default_factory=list) if isinstance(default, list) else default
    made: type = decorator(**options)(type("Made", (), body))
    return made


def outcome(do: Callable[[], Any]) -> Any:
    """What came of it, or which error with which words."""
    try:
        return do()
    except (TypeError, AttributeError, FrozenInstanceError) as error:
        return type(error), str(error)


options = st.fixed_dictionaries({"frozen": st.booleans(), "slots": st.booleans(), "eq": st.booleans()})
defaults = st.integers(0, 4).flatmap(
    lambda n: st.integers(0, n).map(lambda without: [...] * without + [7, [], "x", None][: n - without])
)
given_values = st.lists(st.integers(0, 3), max_size=5)


@given(options, defaults, given_values, st.dictionaries(st.sampled_from(NAMES), st.integers(0, 3), max_size=2))
def test_it_is_the_librarys(
    wanted: dict[str, bool], kinds: list[Any], values: list[int], named: dict[str, int]
) -> None:
    ours, theirs = built(records.dataclass, wanted, kinds), built(dataclasses.dataclass, wanted, kinds)
    mine, other = outcome(lambda: ours(*values, **named)), outcome(lambda: theirs(*values, **named))
    assert isinstance(mine, tuple) == isinstance(other, tuple)
    if isinstance(mine, tuple):
        assert mine == other
        return
    assert repr(mine) == repr(other)
    assert asdict(mine) == asdict(other)
    assert [f.name for f in fields(mine)] == [f.name for f in fields(other)]
    assert ours.__match_args__ == theirs.__match_args__  # type: ignore[attr-defined]
    assert inspect.signature(ours).parameters.keys() == inspect.signature(theirs).parameters.keys()
    assert outcome(lambda: hash(mine) == hash(ours(*values, **named))) == outcome(
        lambda: hash(other) == hash(theirs(*values, **named))
    )
    assert (mine == ours(*values, **named)) == (other == theirs(*values, **named))
    assert mine != other
    assert repr(copy.deepcopy(mine)) == repr(other)
    if kinds:
        changed, also = replace(mine, **{NAMES[0]: 99}), replace(other, **{NAMES[0]: 99})
        assert (repr(changed), mine == changed) == (repr(also), other == also)
        assert outcome(lambda: setattr(mine, NAMES[0], 1)) == outcome(lambda: setattr(other, NAMES[0], 1))
        assert outcome(lambda: delattr(mine, NAMES[0])) == outcome(lambda: delattr(other, NAMES[0]))


@records.dataclass(frozen=True, slots=True)
class Base:
    """With a check."""

    first: int
    more: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.first < 0:
            raise ValueError("below zero")


@records.dataclass(frozen=True, slots=True)
class Heir(Base):
    """With one more."""

    last: str = "z"

    def __repr__(self) -> str:
        return "an heir"


class Plain(Base):
    """Not a dataclass itself."""

    own = 0


def test_heirs_and_checks() -> None:
    one = Heir(1, last="y")
    assert (one.first, one.more, one.last, repr(one)) == (1, [], "y", "an heir")
    assert one == Heir(1, [], "y") != Heir(2)
    assert Base(1) != one
    with pytest.raises(ValueError, match="below zero"):
        Heir(-1)
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'first'"):
        one.first = 2  # type: ignore[misc]
    plain = Plain(3)
    plain.own = 5
    assert (plain.own, plain.first) == (5, 3)
    match one:
        case Heir(first, _, last):
            assert (first, last) == (1, "y")
    assert is_dataclass(Heir)
    assert copy.deepcopy(Base(1, [2])) == Base(1, [2])


def test_what_holds_itself_can_be_said() -> None:
    one = Base(1)
    one.more.append(one)  # type: ignore[arg-type]
    assert "..." in repr(one)
