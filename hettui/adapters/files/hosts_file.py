"""Keeps what hosts said of themselves: one JSON file in the state folder, replaced atomically."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from hettui.adapters.files.atomic import replace_file
from hettui.adapters.files.json_file import read_json_file
from hettui.domain.documents.plain import decode, encode
from hettui.domain.hosts.known import KnownHost

_NAME = "hosts.json"
_MAX_BYTES = 1 << 20
_MOST = 64
"""Hosts; those that were asked last are kept."""


def load_hosts(folder: Path) -> dict[str, KnownHost]:
    """By where ssh goes. Nothing depends on it: what is missing or damaged counts as not known."""
    found = read_json_file(folder / _NAME, _MAX_BYTES)
    known: dict[str, KnownHost] = {}
    for entry in found if isinstance(found, list) else []:
        with contextlib.suppress(ValueError):
            host = decode(KnownHost, entry)
            known[host.ssh] = host
    return known


def save_hosts(folder: Path, known: Mapping[str, KnownHost]) -> None:
    """A state folder that cannot be written is no error: then they are asked again."""
    newest = sorted(known.values(), key=lambda host: host.at_unix_s)[-_MOST:]
    with contextlib.suppress(OSError):
        replace_file(folder / _NAME, json.dumps([encode(host) for host in newest], indent=1).encode(), 0o600)
