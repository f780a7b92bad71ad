"""Reads the JSON files that we keep: a file that is missing, too large or damaged is as good as none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hettui.adapters.files.bounded import read_text_file
from hettui.domain.json_text import parse_json


def read_json_file(path: Path, most_bytes: int) -> Any:
    """The document, or None. The file is left as it is."""
    try:
        return parse_json(read_text_file(path, most_bytes))
    except (OSError, ValueError):
        return None
