"""What was found at every reading, made steady: it must hold for a while before it shows, and before it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Generic, Protocol, TypeVar

from hettui.domain.records import dataclass


class Keyed(Protocol):
    """Something found. Of two with the same key the newer one is the same with other words."""

    @property
    def key(self) -> str: ...


F = TypeVar("F", bound=Keyed)


@dataclass(frozen=True, slots=True)
class _Held(Generic[F]):
    finding: F
    since_s: float
    """Found at every reading since then."""
    seen_s: float
    shown: bool = False


@dataclass(frozen=True)
class Steady(Generic[F]):
    """What was found of late, by its owner and key."""

    held: Mapping[str, Mapping[str, _Held[F]]] = field(default_factory=dict)
    now_s: float = float("-inf")

    def update(self, found: Mapping[str, Sequence[F]], now_s: float, hold_s: float) -> Steady[F]:
        """One more reading: what was found now, by owner. A clock that went back, as in a replay, begins anew."""
        before = self.held if now_s >= self.now_s else {}
        after: dict[str, Mapping[str, _Held[F]]] = {}
        for owner in {*before, *found}:
            old = before.get(owner, {})
            held = {key: h for key, h in old.items() if h.shown and now_s - h.seen_s < hold_s}
            for finding in found.get(owner, ()):
                known = old.get(finding.key) or _Held(finding, now_s, now_s)
                shown = known.shown or now_s - known.since_s >= hold_s
                held[finding.key] = replace(known, finding=finding, seen_s=now_s, shown=shown)
            if held:
                after[owner] = held
        return Steady(after, now_s)

    def shown(self, owner: str) -> list[F]:
        """What has held long enough and has not been gone for long."""
        return [h.finding for h in self.held.get(owner, {}).values() if h.shown]
