"""Keeps what launches and answers taught: one JSON file in the state folder, replaced atomically."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from hettui.adapters.files.atomic import replace_file
from hettui.adapters.files.json_file import read_json_file
from hettui.domain.planner.learned import MAX_LAUNCHES, Learned
from hettui.domain.speed.evidence import Evidence

_NAME = "measured.json"
_MAX_BYTES = 8 << 20
_ABSURD = 1 << 60
"""Bytes, or bytes a second, that no machine has: such a number is damage."""
_MOST_NAME_CHARS = 40
_MOST_DEVICES = 500
_MOST_RATES = 70
"""Of one plan: the prompt, and each number of streams."""
_SPEEDS = "stages"
"""Of 2026-11 on. `speeds` before that held one factor a device, learned from sums alone: it blamed the wrong one."""
_MOST_ANSWERS, _SOUND_OFF = 1000, (0.01, 100.0)
_SET_ASIDE = (
    "speeds that an earlier hettui measured were set aside: it could not tell the devices apart. The next answer "
    "measures them anew"
)


def load_learned(folder: Path) -> Learned:
    """What is there. Nothing depends on it: a file that is missing or damaged counts as empty."""
    found = read_json_file(folder / _NAME, _MAX_BYTES)
    if not isinstance(found, dict):
        return Learned()
    compute = {k: row for k, v in _table(found.get("compute")) if (row := _numbers(v))}
    speeds = {k: known for k, v in _table(found.get(_SPEEDS))[-_MOST_DEVICES:] if (known := _evidence(v))}
    rates = {k: rows for k, v in _table(found.get("rates"))[-MAX_LAUNCHES:] if (rows := _rates(v))}
    off, answers = _host(found)
    return Learned(
        dict(list(compute.items())[-MAX_LAUNCHES:]),
        _numbers(found.get("overhead")),
        speeds,
        rates,
        host_bytes_per_s=_positive(found.get("host_bytes_per_s")),
        host_off=off,
        host_answers=answers,
        at_unix_s=time.time() if speeds else 0.0,
        set_aside=_SET_ASIDE if _table(found.get("speeds")) and not speeds else "",
    )


def _host(found: dict[str, Any]) -> tuple[float, int]:
    """How much slower than its memory the host was, and in how many answers; none for what is damaged."""
    off, answers = _positive(found.get("host_off")), found.get("host_answers")
    least, most = _SOUND_OFF
    sound = off is not None and least <= off <= most and type(answers) is int and 0 < answers <= _MOST_ANSWERS
    return (off, answers) if sound and off is not None and type(answers) is int else (1.0, 0)


def _table(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def _numbers(value: Any) -> dict[str, int]:
    return {k: v for k, v in _table(value) if isinstance(v, int) and not isinstance(v, bool) and 0 <= v < _ABSURD}


def _rates(value: Any) -> dict[str, float]:
    rows = _table(value)[:_MOST_RATES]
    return {k: rate for k, v in rows if len(k) <= _MOST_NAME_CHARS and (rate := _positive(v)) is not None}


def _number(value: Any) -> float | None:
    """None for what is no number, or none that a sum of measurements can be."""
    sound = isinstance(value, int | float) and not isinstance(value, bool) and -_ABSURD < value < _ABSURD
    return float(value) if sound and isfinite(value) else None


def _positive(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and number > 0 else None


def _row(value: Any) -> tuple[float, ...]:
    """Shorter than it was where something in it is no number."""
    return tuple(n for x in value if (n := _number(x)) is not None) if isinstance(value, list) else ()


def _evidence(value: Any) -> Evidence | None:
    """None for what is damaged."""
    table = value if isinstance(value, dict) else {}
    names, matrix, windows = table.get("names"), table.get("information"), table.get("windows")
    if not isinstance(names, list) or not isinstance(matrix, list) or type(windows) is not int:
        return None
    if not all(isinstance(name, str) and len(name) <= _MOST_NAME_CHARS for name in names):
        return None
    rows = tuple(_row(row) for row in matrix)
    found = Evidence(tuple(names), rows, _row(table.get("vector")), windows, _positive(table.get("at_unix_s")) or 0.0)
    return found if found.sound and found.names and found.at_unix_s > 0 else None


def save_learned(folder: Path, learned: Learned) -> None:
    """A state folder that cannot be written is no error: then it is measured again next time."""
    # Copies first: the engine's thread may add something while this one writes.
    speeds = {key: asdict(known) for key, known in dict(learned.speeds).items()}
    said = {"compute": dict(learned.compute), "overhead": dict(learned.overhead), _SPEEDS: speeds}
    said["rates"] = {key: dict(rates) for key, rates in dict(learned.rates).items()}
    host = {"host_off": learned.host_off, "host_answers": learned.host_answers}
    text = json.dumps(said | {"host_bytes_per_s": learned.host_bytes_per_s, **host}, indent=1)
    with contextlib.suppress(OSError):
        replace_file(folder / _NAME, text.encode(), 0o600)
