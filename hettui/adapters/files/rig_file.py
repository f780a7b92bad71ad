"""Reads a page of `hettui report`, of this machine's or somebody else's."""

from __future__ import annotations

from typing import Any

from hettui.adapters.files.bounded import read_text_file
from hettui.domain.errors import UsageError
from hettui.domain.rig.page import block_of
from hettui.domain.text import clean_line

MAX_BYTES = 16 << 20


def rig_document(path: str) -> dict[str, Any]:
    """Its block of JSON. Raises UsageError."""
    try:
        return block_of(read_text_file(path, MAX_BYTES, "replace"), path)
    except OSError as error:
        raise UsageError(f"{clean_line(path, 200)} cannot be read: {error.strerror}") from None
