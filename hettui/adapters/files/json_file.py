"""Reads the JSON files that we keep: a file that is missing, too large or damaged is as good as none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hettui.domain.json_text import parse_json


def read_json_file(path: Path, most_bytes: int) -> Any:
    """The document, or None. The file is left as it is."""
    try:
        with path.open("rb") as file:
            data = file.read(most_bytes + 1)
        return parse_json(data.decode("utf-8")) if len(data) <= most_bytes else None
    except (OSError, ValueError):
        return None
