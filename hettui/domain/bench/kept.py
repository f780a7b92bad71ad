"""Runs as they are kept: JSON and back. A file of somebody else is checked, and its texts are cleaned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from hettui.domain.bench.run import (
    BenchDevice,
    BenchPlan,
    BenchResult,
    BenchRun,
    BenchSample,
    BenchTest,
    DeviceFigures,
    Setting,
)
from hettui.domain.text import clean_line

FORMAT = 1
_MAX_LINE_CHARS = 1 << 16
T = TypeVar("T")


def run_json(run: BenchRun) -> dict[str, Any]:
    """Everything in it, by the names of its attributes."""
    return {"format": FORMAT, **asdict(run)}


def run_from_json(key: str, data: Any) -> BenchRun | None:
    """A kept run; None for what is not one."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        return None
    try:
        cleaned = _cleaned(data)
        return BenchRun(
            key,
            str(cleaned.get("started", "")),
            _made(BenchPlan, cleaned["plan"], lists=True),
            _setting(cleaned["setting"]),
            tuple(_result(r) for r in cleaned["results"]),
            tuple(_made(DeviceFigures, d, lists=True) for d in cleaned.get("devices", [])),
            tuple(str(s) for s in cleaned.get("skipped", [])),
            cleaned.get("problem"),
            tuple(_result(r) for r in cleaned.get("second_opinion", [])),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _setting(data: Mapping[str, Any]) -> Setting:
    known = dict(data)
    known["devices"] = tuple(_made(BenchDevice, d) for d in data.get("devices", []))
    known["commands"] = tuple(str(c) for c in data.get("commands", []))
    known["split"] = tuple(int(n) for n in data["split"]) if data.get("split") else None
    return _made(Setting, known)


def _result(data: Mapping[str, Any]) -> BenchResult:
    samples = tuple(_made(BenchSample, s) for s in data["samples"])
    if not all(isinstance(s.tokens, int) and isinstance(s.seconds, int | float) for s in samples):
        raise ValueError
    return BenchResult(_made(BenchTest, data["test"]), samples, str(data.get("note", "")))


def _made(kind: type[T], data: Mapping[str, Any], *, lists: bool = False) -> T:
    """An object of the fields that it knows: a newer file may have more."""
    names = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    values = {name: value for name, value in data.items() if name in names}
    if lists:
        values = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return kind(**values)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean_line(value, _MAX_LINE_CHARS)
    if isinstance(value, list):
        return [_cleaned(v) for v in value]
    if isinstance(value, dict):
        return {clean_line(str(k), 200): _cleaned(v) for k, v in value.items()}
    return value
