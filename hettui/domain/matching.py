"""Filters: what was typed against what stands there, and the cursor behind it."""

from __future__ import annotations

CURSOR = "▏"


def matches(text: str, *where: str) -> bool:
    """Every word of what was typed stands somewhere in it, in capitals or not."""
    found = " ".join(where).casefold()
    return all(word in found for word in text.casefold().split())
