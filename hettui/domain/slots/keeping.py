"""What of the slots' contexts outlives a restart, to which slot it comes, what that takes, and why the rest does not.

The rules were tried on b10068 and b11434. llama-server refuses most of what does not go with a 400; a context that was
read back and is of no use it takes without a word: those are known here as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hettui.domain.records import dataclass
from hettui.domain.slots.policy import KeepPolicy
from hettui.domain.slots.terms import Terms
from hettui.domain.units import format_bytes, format_seconds

USUAL_RATE = 1e9
"""Bytes a second to a file and back, where nothing was measured yet: 0.5 to 1.4 GB/s on loopback, b10068."""
REMOTE_RATE = 1.1e8
"""The same over a network of 1 Gbit/s."""


@dataclass(frozen=True, slots=True)
class Held:
    """What one slot holds, or what was saved of it."""

    slot: int
    tokens: int
    order: int = 0
    """The larger, the later it was used."""
    size_bytes: int | None = None
    """On disk; None: not saved yet."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One context, and where it goes."""

    held: Held
    to_slot: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Left:
    """One context that is not kept, and why."""

    held: Held
    reason: str


@dataclass(frozen=True, slots=True)
class KeepPlan:
    """What a restart does to the contexts."""

    kept: tuple[Kept, ...] = ()
    left: tuple[Left, ...] = ()
    only_extended: bool = False
    """Of a model with a recurrent state: of use only to a prompt that begins with all that was saved."""
    bytes_per_s: float = USUAL_RATE

    @property
    def tokens(self) -> int:
        return sum(k.held.tokens for k in self.kept)

    @property
    def all_tokens(self) -> int:
        return self.tokens + sum(one.held.tokens for one in self.left)

    @property
    def size_bytes(self) -> int:
        return sum(k.size_bytes for k in self.kept)

    @property
    def seconds(self) -> float:
        """There and back."""
        return 2 * self.size_bytes / self.bytes_per_s

    @property
    def words(self) -> str:
        """For the plan line; empty where no slot holds anything."""
        if not self.all_tokens:
            return ""
        reasons = "; ".join(dict.fromkeys(one.reason for one in self.left))
        if not self.kept:
            return f"{self.all_tokens:,} tokens re-read: {reasons}"
        of_all = f" of {self.all_tokens:,}" if self.left else ""
        cost = f"{format_bytes(self.size_bytes)}, about {format_seconds(max(1.0, round(self.seconds)))}"
        words = f"keeps {self.tokens:,}{of_all} tokens ({cost.replace('.0 s', ' s')})"
        return f"{words}: {reasons}" if self.left else words


@dataclass(frozen=True, slots=True)
class Came:
    """What a start brought back."""

    tokens: int
    slots: int
    seconds: float

    @property
    def words(self) -> str:
        """For whoever waited."""
        slots = "" if self.slots == 1 else f" in {self.slots} slots"
        return f"the context came back: {self.tokens:,} tokens{slots}, {format_seconds(self.seconds)}"


def refusal(before: Terms, after: Terms) -> str | None:
    """Why nothing that was computed under these terms is of use under those; None: it is."""
    if before.model != after.model or before.fingerprint != after.fingerprint:
        return "it is another model"
    if before.engine != after.engine:
        return "it is another llama.cpp build"
    if (before.cache_type_k, before.cache_type_v) != (after.cache_type_k, after.cache_type_v):
        return "the cache's type changes"
    if before.flash_attn != after.flash_attn:
        return f"flash attention goes {'on' if after.flash_attn else 'off'}"
    if before.streams != after.streams:
        return _streams(before, after)
    if before.windows and not (before.swa_full and after.swa_full):
        return "its sliding window needs swa-full"
    if before.long_rope != after.long_rope:
        return "ctx-size crosses the model's original context, which changes its positions"
    if before.altered != after.altered:
        changed = sorted(set(before.altered) ^ set(after.altered)) or list(after.altered)
        return f"{changed[0].split()[0]} changes what the context is"
    if any(word.startswith("--no-cache-prompt") for word in after.altered):
        return "--no-cache-prompt reads every prompt anew"
    return None


def _streams(before: Terms, after: Terms) -> str:
    if before.unified != after.unified:
        return f"kv-unified goes {'on' if after.unified else 'off'}"
    return f"parallel changes from {before.slots} to {after.slots} without kv-unified"


def plan_keeping(
    candidates: Iterable[tuple[Held, Terms]],
    after: Terms,
    policy: KeepPolicy,
    free_bytes: int | None = None,
    bytes_per_s: float = USUAL_RATE,
) -> KeepPlan:
    """The latest contexts first: as many as there are slots, cells, room on the disk and leave to use it.

    `free_bytes`: on the disk, for those that are not saved yet; None: not known.
    """
    kept: list[Kept] = []
    left: list[Left] = []
    room = _Room(after, policy.limit_bytes, free_bytes)
    by_use = sorted(candidates, key=lambda one: -one[0].order)
    for held, before in by_use:
        if held.tokens <= 0:
            continue
        if not policy.on:
            left.append(Left(held, 'context-keep is "off"'))
            continue
        size = before.saved_bytes(held.tokens) if held.size_bytes is None else held.size_bytes
        reason = refusal(before, after) or room.refusal(held, size, policy)
        if reason is not None:
            left.append(Left(held, reason))
        else:
            kept.append(Kept(held, room.take(held, size), size))
    kept.sort(key=lambda one: one.held.slot)
    return KeepPlan(tuple(kept), tuple(left), after.recurrent, bytes_per_s)


class _Room:
    """What is left of slots, cells and bytes."""

    def __init__(self, after: Terms, limit_bytes: int, free_bytes: int | None) -> None:
        self._after = after
        self._slots = set(range(after.slots))
        self._cells = after.slot_tokens
        self._limit = limit_bytes
        self._free = free_bytes

    def refusal(self, held: Held, size_bytes: int, policy: KeepPolicy) -> str | None:
        if not self._slots:
            return "there is one slot" if self._after.slots == 1 else f"there are {self._after.slots} slots"
        if held.tokens > self._cells:
            return (
                f"a slot holds {self._after.slot_tokens:,} tokens"
                if not self._after.unified
                else (f"all slots together hold {self._after.slot_tokens:,} tokens")
            )
        if size_bytes > self._limit:
            return f"it is over context-keep = {format_bytes(policy.limit_bytes)}"
        if held.size_bytes is None and self._free is not None and size_bytes > self._free:
            return f"the disk has {format_bytes(self._free)} left for it"
        return None

    def take(self, held: Held, size_bytes: int) -> int:
        """The slot that it comes to: its own where that is free."""
        slot = held.slot if held.slot in self._slots else min(self._slots)
        self._slots.discard(slot)
        self._limit -= size_bytes
        if self._after.unified:
            self._cells -= held.tokens
        if held.size_bytes is None and self._free is not None:
            self._free -= size_bytes
        return slot


def rate_of(hosts: Sequence[str], local: str) -> float:
    """A guess from where the context lies: as fast as its slowest way."""
    return USUAL_RATE if all(host == local for host in hosts) else REMOTE_RATE
