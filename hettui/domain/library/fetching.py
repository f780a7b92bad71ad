"""A fetch that can be broken off anywhere: which bytes are there, which come next, of which file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hettui.domain.records import dataclass

Range = tuple[int, int]
"""First byte, and the one behind the last."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes a file at a hub the same one as before."""

    size_bytes: int
    etag: str = ""
    """Empty: the server says none, and only the size counts."""

    def same_as(self, other: Identity) -> bool:
        both = self.etag and other.etag
        return self.size_bytes == other.size_bytes and (not both or self.etag == other.etag)


@dataclass(frozen=True, slots=True)
class Progress:
    """The part file's own record."""

    identity: Identity
    done: tuple[Range, ...] = ()
    """In order, apart from each other."""

    @property
    def done_bytes(self) -> int:
        return sum(end - begin for begin, end in self.done)

    @property
    def complete(self) -> bool:
        return self.done == ((0, self.identity.size_bytes),)

    def with_range(self, begin: int, end: int) -> Progress:
        return Progress(self.identity, joined((*self.done, (begin, end))))

    def missing(self, segment_bytes: int) -> list[Range]:
        """What is to be fetched, in pieces of at most so many bytes."""
        found, at = [], 0
        for begin, end in (*self.done, (self.identity.size_bytes, self.identity.size_bytes)):
            while at < begin:
                stop = min(begin, at + segment_bytes)
                found.append((at, stop))
                at = stop
            at = max(at, end)
        return found

    def as_json(self) -> dict[str, object]:
        return {"size": self.identity.size_bytes, "etag": self.identity.etag, "done": [list(r) for r in self.done]}


def joined(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """In order; what touches is one."""
    found: list[Range] = []
    for begin, end in sorted(r for r in ranges if r[0] < r[1]):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return tuple(found)


def read_progress(data: Any) -> Progress | None:
    """None for a damaged record: then all is fetched anew."""
    if not isinstance(data, dict):
        return None
    size, etag, done = data.get("size"), data.get("etag"), data.get("done")
    if type(size) is not int or size < 0 or not isinstance(etag, str) or not isinstance(done, list):
        return None
    ranges = []
    for one in done:
        if not isinstance(one, list) or len(one) != 2 or not all(type(n) is int for n in one):
            return None
        begin, end = one
        if not 0 <= begin < end <= size:
            return None
        ranges.append((begin, end))
    return Progress(Identity(size, etag), joined(ranges))


def content_range(text: str | None) -> tuple[int, int, int] | None:
    """First byte, the one behind the last, and the whole's size of `bytes 0-99/1000`; None for anything else."""
    unit, _, rest = (text or "").strip().partition(" ")
    span, _, total = rest.partition("/")
    first, _, last = span.partition("-")
    if unit != "bytes" or not all(word.isdecimal() and len(word) < 16 for word in (first, last, total)):
        return None
    begin, end, size = int(first), int(last) + 1, int(total)
    return (begin, end, size) if begin < end <= size else None


def retry_after_s(text: str | None, most_s: float) -> float | None:
    """Of a `Retry-After` in seconds; None for none and for a date, which would need a clock."""
    word = (text or "").strip()
    return min(float(word), most_s) if word.isdecimal() and len(word) < 9 else None
