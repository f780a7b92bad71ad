"""Frozen dataclasses to JSON values and back, by their annotations: nothing comes in that the types do not allow."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
_AS_IT_IS = frozenset({str, int, float, bool, type(None)})
"""Most of what stands in a document: asked first."""


def encode(value: Any) -> Any:
    """A JSON value. Paths become texts, tuples and sets lists (sets sorted), enumerations their value."""
    kind: Any = type(value)
    if kind in _AS_IT_IS:
        return value
    if (names := _names(kind)) is not None:
        return {name: encode(getattr(value, name)) for name in names}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): encode(entry) for key, entry in value.items()}
    if isinstance(value, frozenset):
        return sorted(encode(entry) for entry in value)
    if isinstance(value, list | tuple):
        return [encode(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value


def decode(kind: type[T], value: Any) -> T:
    """The value as `kind`. Raises ValueError with the place of the first thing that does not belong."""
    result: T = _decode(kind, value, kind.__name__)
    return result


def _decode(kind: Any, value: Any, where: str) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _decode_union(kind, value, where)
    if origin is Literal:
        if value in get_args(kind):
            return value
    elif is_dataclass(kind):
        return _decode_dataclass(kind, value, where)
    elif isinstance(kind, type) and issubclass(kind, Enum):
        if value in {member.value for member in kind}:
            return kind(value)
    elif origin in (tuple, frozenset):
        return _decode_row(kind, value, where)
    elif origin is not None and issubclass(origin, Mapping):
        if isinstance(value, dict):
            return {str(k): _decode(get_args(kind)[1], v, f"{where}.{k}") for k, v in value.items()}
    elif kind is Path:
        if isinstance(value, str):
            return Path(value)
    elif kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    elif type(value) is kind:
        return value
    raise ValueError(f"{where}: {type(value).__name__} does not belong there")


def _decode_union(kind: Any, value: Any, where: str) -> Any:
    for choice in get_args(kind):
        if choice is type(None):
            if value is None:
                return None
            continue
        try:
            return _decode(choice, value, where)
        except ValueError:
            continue
    raise ValueError(f"{where}: {type(value).__name__} does not belong there")


def _decode_dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: {type(value).__name__} does not belong there")  # noqa: TRY004 - one kind of error
    hints = _hints(kind)
    unknown = sorted(set(value) - set(hints))
    if unknown:
        raise ValueError(f"{where}: unknown {unknown[0]}")
    try:
        return kind(**{name: _decode(hints[name], value[name], f"{where}.{name}") for name in value})
    except TypeError as error:
        raise ValueError(f"{where}: {error}") from error


def _decode_row(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, list):
        raise ValueError(f"{where}: {type(value).__name__} does not belong there")  # noqa: TRY004 - one kind of error
    parts, origin = get_args(kind), get_origin(kind)
    if origin is frozenset:
        return frozenset(_decode(parts[0], entry, where) for entry in value)
    if parts[-1] is Ellipsis:
        return tuple(_decode(parts[0], entry, where) for entry in value)
    if len(parts) != len(value):
        raise ValueError(f"{where}: {len(value)} entries instead of {len(parts)}")
    return tuple(_decode(part, entry, where) for part, entry in zip(parts, value, strict=True))


@lru_cache(maxsize=256)
def _names(kind: type) -> tuple[str, ...] | None:
    """Of a dataclass's fields."""
    return tuple(f.name for f in fields(kind)) if is_dataclass(kind) else None


@lru_cache(maxsize=64)
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
