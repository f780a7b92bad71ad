"""Contexts on disk: what each file holds, and which of them have had their time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

from hettui.domain.documents.plain import decode, encode
from hettui.domain.json_text import parse_json
from hettui.domain.records import dataclass
from hettui.domain.slots.keeping import Held
from hettui.domain.slots.terms import Terms

VERSION = 1
_MOST = 4096
"""Contexts that a list may name."""


@dataclass(frozen=True, slots=True)
class Saved:
    """One slot's context in one file."""

    file: str
    """Its name in the folder."""
    slot: int
    tokens: int
    size_bytes: int
    terms: Terms
    order: int
    """The larger, the later it was saved."""
    model_mark: str = ""
    """Which file the model was: another one may lie under its name now."""
    check: str = ""
    """A sum over parts of the file: whether it is what was written."""

    @property
    def held(self) -> Held:
        return Held(self.slot, self.tokens, self.order, self.size_bytes)


def to_text(saved: Iterable[Saved]) -> str:
    """As the list of them is kept."""
    return json.dumps({"version": VERSION, "contexts": [encode(one) for one in saved]}, indent=1) + "\n"


def from_text(text: str) -> tuple[Saved, ...]:
    """Raises ValueError for anything but a whole list of this version."""
    found = parse_json(text)
    rows = found.get("contexts") if isinstance(found, dict) and found.get("version") == VERSION else None
    if not isinstance(rows, list) or len(rows) > _MOST:
        raise ValueError("it is no list of contexts of this version of hettui")
    return tuple(decode(Saved, row) for row in rows)


def with_new(saved: Sequence[Saved], new: Saved, limit_bytes: int) -> tuple[Saved, ...]:
    """The list with one more: what was saved of that slot before has had its time, and the oldest make room."""
    rest = [one for one in saved if (one.terms.model, one.slot) != (new.terms.model, new.slot)]
    return within([*rest, new], limit_bytes)


def within(saved: Sequence[Saved], limit_bytes: int) -> tuple[Saved, ...]:
    """The newest that together are not larger than the limit."""
    found, left = [], limit_bytes
    for one in sorted(saved, key=lambda s: -s.order):
        if one.size_bytes <= left:
            found.append(one)
            left -= one.size_bytes
    return tuple(sorted(found, key=lambda s: s.order))


def of_model(saved: Iterable[Saved], model: str) -> tuple[Saved, ...]:
    return tuple(one for one in saved if one.terms.model == model)


def moved(saved: Sequence[Saved], file: str, slot: int) -> tuple[Saved, ...]:
    """The list after one was read back into another slot than its own."""
    return tuple(replace(one, slot=slot) if one.file == file else one for one in saved)
