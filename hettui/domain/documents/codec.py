"""Frozen data into JSON and back, by its type hints: what a dataclass gains later is carried without further code.

Written for files that come from elsewhere. Reading is strict: a field that is not known, a value of another type or a
number that no reading can have is a `Mismatch` that says where; every text passes the sanitiser. Absent is None: a
field that is None is left out, and so is one whose default is empty or zero and that has just this default.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hettui.domain.documents.forms import (
    MAX_NUMBER,
    NAMED_CHARS,
    Choice,
    Exact,
    Flag,
    Form,
    Json,
    Maybe,
    Member,
    Mismatch,
    Whole,
    at,
    kind_of,
)
from hettui.domain.records import dataclass
from hettui.domain.text import clean


@dataclass(frozen=True, slots=True)
class Given:
    """How a class is carried whose data follow from something smaller."""

    smaller: Any
    """The hint of what is written."""
    shrink: Callable[[Any], Any]
    restore: Callable[[Any], Any]
    """May raise ValueError."""


class Codec:
    """Knows how to carry every type that hints can name here. A hint that it does not know is a TypeError at once."""

    def __init__(
        self,
        texts: Callable[[str], str] = str,
        decimals: int | None = None,
        given: Mapping[Any, Given] | None = None,
    ) -> None:
        """`texts` is applied to every text that is written; floats are rounded to `decimals`."""
        self.texts = texts
        self.decimals = decimals
        self._given = given or {}
        self._forms: dict[Any, Form] = {}

    def encode(self, value: Any, hint: Any) -> Json:
        """JSON for a value of this type. Raises ValueError for a number that is not finite and may not be None."""
        return self.form(hint).encode(value)

    def decode(self, data: Json, hint: Any) -> Any:
        """The value. Raises Mismatch."""
        return self.form(hint).decode(data)

    def form(self, hint: Any) -> Form:
        if hint not in self._forms:
            self._forms[hint] = self._build(hint)
        return self._forms[hint]

    def _build(self, hint: Any) -> Form:
        origin, arguments = get_origin(hint), get_args(hint)
        if origin in (Union, types.UnionType):
            return self._union(arguments)
        if origin is Literal:
            return Choice(arguments)
        if origin is tuple and not (len(arguments) == 2 and arguments[1] is ...):
            return _Row([self.form(a) for a in arguments])
        if origin in (tuple, list, frozenset):
            return _Many(self.form(arguments[0]), origin)
        if origin is not None and issubclass(origin, Mapping):
            if arguments[0] is not str:
                raise TypeError(f"{hint}: JSON has no keys but texts")
            return _Table(self.form(arguments[1]), self)
        if isinstance(hint, type):
            return self._class(hint)
        raise TypeError(f"{hint} cannot be carried")

    def _class(self, hint: type) -> Form:
        if hint in self._given:
            return _Shrunk(self._given[hint], self)
        if hint in (str, Path):
            return _Text(self, hint)
        if hint is bool:
            return Flag()
        if hint is int:
            return Whole()
        if hint is float:
            return _Number(self)
        if issubclass(hint, Enum):
            return Member(hint)
        if is_dataclass(hint):
            return _Record(hint, self)
        raise TypeError(f"{hint} cannot be carried")

    def _union(self, members: Sequence[Any]) -> Form:
        rest = tuple(m for m in members if m is not type(None))
        if len(rest) < len(members):
            return Maybe(self.form(Union[rest]))  # noqa: UP007 - of a tuple
        if all(is_dataclass(m) for m in rest):
            return _OneOf({m.__name__: m for m in rest}, self)
        return _Scalar(rest, self)


class _Text(Form):
    def __init__(self, codec: Codec, kind: type) -> None:
        self._codec = codec
        self._kind = kind

    def encode(self, value: Any) -> Json:
        return self._codec.texts(str(value))

    def decode(self, data: Json) -> Any:
        if type(data) is not str:
            raise Mismatch(f"should be a text, not {kind_of(data)}")
        return self._kind(clean(data))


class _Number(Form):
    """Whole ones are written without their fraction: it is shorter."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    def encode(self, value: Any) -> Json:
        value = float(value)
        if not isfinite(value):
            raise ValueError("not a finite number")
        if self._codec.decimals is not None:
            value = round(value, self._codec.decimals)
        return int(value) if value.is_integer() and abs(value) < MAX_NUMBER else value

    def decode(self, data: Json) -> Any:
        if type(data) not in (int, float):
            raise Mismatch(f"should be a number, not {kind_of(data)}")
        if not -MAX_NUMBER <= data <= MAX_NUMBER:
            raise Mismatch("is a number that is too large")
        return float(data)


class _Scalar(Form):
    """One of several plain types, told apart by what JSON tells apart."""

    def __init__(self, members: Sequence[Any], codec: Codec) -> None:
        self._forms: dict[type, Form] = {}
        for member in members:
            kind = get_origin(member) or member
            json_kind = list if kind in (tuple, list, frozenset) else kind
            if json_kind not in (bool, int, float, str, list) or json_kind in self._forms:
                raise TypeError(f"{members}: JSON cannot tell them apart")
            # Not shortened: 2.0 must not come back as 2.
            self._forms[json_kind] = Exact() if kind is float else codec.form(member)

    def _of(self, kind: type) -> Form:
        if kind not in self._forms:
            raise Mismatch("is of a type that is not known here")
        return self._forms[kind]

    def encode(self, value: Any) -> Json:
        kind = type(value)
        return self._of(list if kind in (tuple, list, frozenset) else kind).encode(value)

    def decode(self, data: Json) -> Any:
        return self._of(type(data)).decode(data)


class _Many(Form):
    def __init__(self, form: Form, kind: Any) -> None:
        self._form = form
        self._kind = kind

    def encode(self, value: Any) -> Json:
        found = [self._form.encode(v) for v in value]
        return sorted(found) if self._kind is frozenset else found

    def decode(self, data: Json) -> Any:
        if type(data) is not list:
            raise Mismatch(f"should be a list, not {kind_of(data)}")
        found = []
        for i, one in enumerate(data):
            with at(str(i)):
                found.append(self._form.decode(one))
        return self._kind(found)


class _Row(Form):
    def __init__(self, forms: Sequence[Form]) -> None:
        self._forms = forms

    def encode(self, value: Any) -> Json:
        return [form.encode(v) for form, v in zip(self._forms, value, strict=True)]

    def decode(self, data: Json) -> Any:
        if type(data) is not list or len(data) != len(self._forms):
            raise Mismatch(f"should be a list of {len(self._forms)}")
        found = []
        for i, (form, one) in enumerate(zip(self._forms, data, strict=True)):
            with at(str(i)):
                found.append(form.decode(one))
        return tuple(found)


class _Table(Form):
    def __init__(self, form: Form, codec: Codec) -> None:
        self._form = form
        self._codec = codec

    def encode(self, value: Any) -> Json:
        return {self._codec.texts(key): self._form.encode(v) for key, v in value.items()}

    def decode(self, data: Json) -> Any:
        if type(data) is not dict:
            raise Mismatch(f"should be an object, not {kind_of(data)}")
        found = {}
        for key, one in data.items():
            with at(key):
                found[clean(key)] = self._form.decode(one)
        return found


class _Shrunk(Form):
    def __init__(self, given: Given, codec: Codec) -> None:
        self._given = given
        self._form = codec.form(given.smaller)

    def encode(self, value: Any) -> Json:
        return self._form.encode(self._given.shrink(value))

    def decode(self, data: Json) -> Any:
        smaller = self._form.decode(data)
        try:
            return self._given.restore(smaller)
        except ValueError as error:
            raise Mismatch(clean(str(error))[:400]) from None


class _OneOf(Form):
    """One of several dataclasses: an object with its name as the only key."""

    def __init__(self, members: Mapping[str, type], codec: Codec) -> None:
        self._forms = {name: codec.form(member) for name, member in members.items()}

    def encode(self, value: Any) -> Json:
        name = type(value).__name__
        return {name: self._forms[name].encode(value)}

    def decode(self, data: Json) -> Any:
        if type(data) is not dict or len(data) != 1:
            raise Mismatch(f"should be one of {', '.join(self._forms)}")
        ((name, one),) = data.items()
        if name not in self._forms:
            raise Mismatch(f"is none of {', '.join(self._forms)}: {clean(name)[:NAMED_CHARS]}")
        with at(name):
            return self._forms[name].decode(one)


@cache
def _hints(kind: type) -> dict[str, Any]:
    """Read once for all codecs: each has to evaluate the text of every annotation."""
    return get_type_hints(kind)


class _Record(Form):
    """A dataclass: an object with its fields."""

    def __init__(self, kind: type, codec: Codec) -> None:
        hints = _hints(kind)
        self._kind: Any = kind
        self._fields: list[tuple[str, Form, Any]] = []
        """Name, form, and the default that is left out; MISSING where none is."""
        self._needed: set[str] = set()
        for field in fields(kind):
            if not field.init:
                continue
            form = codec.form(hints[field.name])
            default = field.default_factory() if field.default_factory is not MISSING else field.default
            empty = not form.optional and default is not MISSING and not isinstance(default, Enum) and not default
            self._fields.append((field.name, form, default if empty else MISSING))
            if default is MISSING and not form.optional:
                self._needed.add(field.name)
        self._forms = {name: form for name, form, _ in self._fields}
        self._optional = {name for name, form, _ in self._fields if form.optional}

    def encode(self, value: Any) -> Json:
        found: dict[str, Json] = {}
        for name, form, empty in self._fields:
            held = getattr(value, name)
            if held is None or (empty is not MISSING and held == empty):
                continue
            data = form.encode(held)
            if data is not None:
                found[name] = data
        return found

    def decode(self, data: Json) -> Any:
        if type(data) is not dict:
            raise Mismatch(f"should be an object, not {kind_of(data)}")
        given: dict[str, Any] = dict.fromkeys(self._optional)
        for name, one in data.items():
            form = self._forms.get(name)
            if form is None:
                raise Mismatch(f"{self._kind.__name__} has no field {clean(name)[:NAMED_CHARS]}")
            try:
                given[name] = form.decode(one)
            except Mismatch as mismatch:
                raise mismatch.below(name) from None
        if lacking := sorted(self._needed - given.keys()):
            raise Mismatch(f"{self._kind.__name__} lacks its {', '.join(lacking)}")
        try:
            return self._kind(**given)
        except (ValueError, TypeError) as error:
            raise Mismatch(clean(str(error))[:400]) from None
