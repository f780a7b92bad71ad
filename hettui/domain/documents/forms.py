"""How plain values are carried as JSON, each strictly: the leaves of `typed_json`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from math import isfinite
from typing import Any, TypeAlias

from hettui.domain.text import clean

Json: TypeAlias = Any
"""What json.loads gives and json.dumps takes."""

MAX_NUMBER = 1e18
NAMED_CHARS = 60
"""Of what was found, in a message."""
_MAX_WHOLE = 1 << 63


class Mismatch(ValueError):
    """What was found is not what the hint says. `str()` gives the way to it and what is wrong there."""

    def __init__(self, what: str, way: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.way = way

    def __str__(self) -> str:
        return f"{self.way}: {self.what}" if self.way else self.what

    def below(self, step: str) -> Mismatch:
        """The same, seen from one level further up."""
        return Mismatch(self.what, clean(f"{step}.{self.way}" if self.way else step)[:400])


@contextmanager
def at(step: str) -> Iterator[None]:
    try:
        yield
    except Mismatch as mismatch:
        raise mismatch.below(step) from None


class Form(ABC):
    """How one type is carried."""

    optional = False

    @abstractmethod
    def encode(self, value: Any) -> Json: ...

    @abstractmethod
    def decode(self, data: Json) -> Any: ...


def kind_of(data: Json) -> str:
    kinds = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return kinds.get(type(data), "nothing")


class Flag(Form):
    def encode(self, value: Any) -> Json:
        return bool(value)

    def decode(self, data: Json) -> Any:
        if type(data) is not bool:
            raise Mismatch(f"should be true or false, not {kind_of(data)}")
        return data


class Whole(Form):
    def encode(self, value: Any) -> Json:
        return int(value)

    def decode(self, data: Json) -> Any:
        if type(data) is not int:
            raise Mismatch(f"should be a whole number, not {'a fraction' if type(data) is float else kind_of(data)}")
        if not -_MAX_WHOLE <= data < _MAX_WHOLE:
            raise Mismatch("is a number that is too large")
        return data


class Member(Form):
    """By its name in the code: values are words for people, which may be worded better some day."""

    def __init__(self, members: type[Enum]) -> None:
        self._members = members

    def encode(self, value: Any) -> Json:
        return str(value.name)

    def decode(self, data: Json) -> Any:
        if type(data) is not str or data not in self._members.__members__:
            raise Mismatch(f"is no {self._members.__name__}: {clean(str(data))[:NAMED_CHARS]}")
        return self._members[data]


class Choice(Form):
    def __init__(self, choices: Sequence[Any]) -> None:
        self._choices = choices

    def encode(self, value: Any) -> Json:
        return value

    def decode(self, data: Json) -> Any:
        if not any(data == c and type(data) is type(c) for c in self._choices):
            known = ", ".join(map(str, self._choices))
            raise Mismatch(f"is none of {known}: {clean(str(data))[:NAMED_CHARS]}")
        return data


class Maybe(Form):
    optional = True

    def __init__(self, form: Form) -> None:
        self._form = form

    def encode(self, value: Any) -> Json:
        # A sensor's NaN is a reading that is not available.
        if value is None or (type(value) is float and not isfinite(value)):
            return None
        return self._form.encode(value)

    def decode(self, data: Json) -> Any:
        return None if data is None else self._form.decode(data)


class Exact(Form):
    def encode(self, value: Any) -> Json:
        if not isfinite(value):
            raise ValueError("not a finite number")
        return float(value)

    def decode(self, data: Json) -> Any:
        if type(data) is not float or not -MAX_NUMBER <= data <= MAX_NUMBER:
            raise Mismatch("is a number that is too large")
        return data
