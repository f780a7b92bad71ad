"""A hypothesis strategy for any type that can be carried as JSON, made from its hints."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from hettui.domain.plan.split import Split
from hettui.domain.text import clean

TEXTS = st.text(max_size=12).map(clean)
WHOLE = st.integers(-(1 << 62), 1 << 62)
NUMBERS = st.floats(-1e12, 1e12).map(lambda x: round(x, 3))
SPLITS = st.lists(st.integers(0, 20), max_size=4).flatmap(
    lambda layers: st.integers(0, 5).map(lambda rest: Split(tuple(layers), sum(layers) + rest))
)

_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXTS,
    int: WHOLE,
    float: NUMBERS,
    bool: st.booleans(),
    type(None): st.none(),
    Path: st.text("abc/.", min_size=1, max_size=8).map(Path),
    Split: SPLITS,
}


@cache
def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of this type, nested ones included. Made once: that takes longer than to draw one."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if origin in (Union, types.UnionType):
        return st.one_of([values(a) for a in arguments])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple and len(arguments) == 2 and arguments[1] is ...:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*(values(a) for a in arguments))
    if origin in (list, frozenset):
        return st.lists(values(arguments[0]), max_size=3).map(origin)
    if origin is not None and issubclass(origin, Mapping):
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=3)
    if issubclass(hint, Enum):
        return st.sampled_from(list(hint))
    assert is_dataclass(hint)
    assert isinstance(hint, type)
    hints = get_type_hints(hint)
    return st.builds(hint, **{f.name: values(hints[f.name]) for f in fields(hint) if f.init})


def plain(value: Any) -> Any:
    """Compares also what is compared by identity."""
    if is_dataclass(value):
        return type(value).__name__, {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    return value
