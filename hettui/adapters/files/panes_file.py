"""Keeps how the screen was left: one small JSON file in the state folder, replaced atomically."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from pathlib import Path

from hettui.adapters.files.atomic import replace_file
from hettui.adapters.files.json_file import read_json_file
from hettui.domain.screen.panes import PanesState

_NAME = "screen.json"
_MAX_BYTES = 64 << 10


def load_panes(folder: Path) -> PanesState:
    """What was kept. Nothing depends on it: a file that is missing or damaged counts as none."""
    found = read_json_file(folder / _NAME, _MAX_BYTES)
    if not isinstance(found, dict):
        return PanesState()
    words = {key: str(found[key]) for key in ("front", "side", "second") if isinstance(found.get(key), str)}
    return PanesState(**words, zoomed=found.get("zoomed") is True).known()


def save_panes(folder: Path, state: PanesState) -> None:
    """A state folder that cannot be written is no error: then the screen begins as usual next time."""
    with contextlib.suppress(OSError):
        replace_file(folder / _NAME, json.dumps(asdict(state)).encode(), 0o600)
