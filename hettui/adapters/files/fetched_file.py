"""Which models hettui has fetched itself, with their sums: `fetched.json` in the state folder, mode 0600."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from hettui.adapters.files.atomic import replace_file
from hettui.adapters.files.json_file import read_json_file
from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass

_NAME = "fetched.json"
_MOST_BYTES = 16 << 20
_SHA256 = late_pattern(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Fetched:
    """One file."""

    source: str
    """`user/repo`, or a URL."""
    size_bytes: int
    sha256: str | None


def load_fetched(folder: Path) -> dict[str, Fetched]:
    """By absolute path; what is damaged is as good as not there."""
    data = read_json_file(folder / _NAME, _MOST_BYTES)
    found = {}
    for path, said in data.items() if isinstance(data, dict) else ():
        if isinstance(said, dict) and type(said.get("size_bytes")) is int and isinstance(said.get("source"), str):
            digest = said.get("sha256")
            known = digest if isinstance(digest, str) and _SHA256.fullmatch(digest) else None
            found[str(path)] = Fetched(said["source"], said["size_bytes"], known)
    return found


def save_fetched(folder: Path, fetched: Mapping[str, Fetched]) -> None:
    """Raises OSError."""
    text = json.dumps({path: asdict(one) for path, one in fetched.items()}, indent=1)
    replace_file(folder / _NAME, text.encode("utf-8", "replace"), 0o600)
