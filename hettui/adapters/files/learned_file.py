"""Keeps what launches taught: one JSON file in the state folder, replaced atomically."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hettui.adapters.files.atomic import replace_file
from hettui.adapters.files.json_file import read_json_file
from hettui.domain.planner.learned import MAX_LAUNCHES, Learned, Slowness

_NAME = "measured.json"
_MAX_BYTES = 8 << 20
_ABSURD = 1 << 60
"""Bytes, or bytes a second, that no machine has: such a number is damage."""


def load_learned(folder: Path) -> Learned:
    """What is there. Nothing depends on it: a file that is missing or damaged counts as empty."""
    found = read_json_file(folder / _NAME, _MAX_BYTES)
    if not isinstance(found, dict):
        return Learned()
    compute = {k: row for k, v in _table(found.get("compute")) if (row := _numbers(v))}
    return Learned(
        dict(list(compute.items())[-MAX_LAUNCHES:]),
        _numbers(found.get("overhead")),
        {k: speed for k, v in _table(found.get("speeds")) if (speed := _slowness(v))},
        _positive(found.get("host_bytes_per_s")),
    )


def _table(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def _numbers(value: Any) -> dict[str, int]:
    return {k: v for k, v in _table(value) if isinstance(v, int) and not isinstance(v, bool) and 0 <= v < _ABSURD}


def _positive(value: Any) -> float | None:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else 0
    return float(number) if 0 < number < _ABSURD else None


def _slowness(value: Any) -> Slowness | None:
    row = value if isinstance(value, dict) else {}
    factor, doubt = _positive(row.get("factor")), _positive(row.get("doubt"))
    return Slowness(factor, doubt) if factor and doubt else None


def save_learned(folder: Path, learned: Learned) -> None:
    """A state folder that cannot be written is no error: then it is measured again next time."""
    # Copies first: the engine's thread may add something while this one writes.
    speeds = {key: asdict(speed) for key, speed in dict(learned.speeds).items()}
    said = {"compute": dict(learned.compute), "overhead": dict(learned.overhead), "speeds": speeds}
    text = json.dumps(said | {"host_bytes_per_s": learned.host_bytes_per_s}, indent=1)
    with contextlib.suppress(OSError):
        replace_file(folder / _NAME, text.encode(), 0o600)
