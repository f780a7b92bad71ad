"""Sizes of files that somebody names, where they can be looked at."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable


def file_sizes(paths: Iterable[str]) -> dict[str, int]:
    """Bytes by name; what is no regular file, or cannot be looked at, is left out."""
    found: dict[str, int] = {}
    for path in paths:
        try:
            status = os.stat(path)  # noqa: PTH116 - names come from a command line and stay as they are
        except (OSError, ValueError):
            continue
        if stat.S_ISREG(status.st_mode):
            found[path] = status.st_size
    return found
