"""What is wrong with a configuration, and where."""

from __future__ import annotations

from hettui.domain.records import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong and where: section, number of the table in an array (from 0), key."""

    section: str
    index: int | None
    key: str | None
    message: str
