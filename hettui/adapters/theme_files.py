"""Theme files as data. What is wrong with one is a sentence and costs that one only."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hettui.domain.text import clean_line

_MAX_BYTES = 256 * 1024


def read_themes(folders: Sequence[Path]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Parsed files by path, and a sentence for each that cannot be read. A folder that is not there has none."""
    themes: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    for folder in folders:
        try:
            files = sorted(folder.glob("*.toml"))
        except OSError:
            continue
        for file in files:
            try:
                with file.open("rb") as stream:
                    themes[str(file)] = tomllib.loads(stream.read(_MAX_BYTES).decode("utf-8"))
            except (OSError, ValueError) as error:
                problems.append(f"theme {file}: {clean_line(str(error), 150)}")
    return themes, problems
