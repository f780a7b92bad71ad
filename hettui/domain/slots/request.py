"""One request to llama-server as its own log tells it: counts and times, and never a word of what was asked."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from hettui.domain.records import dataclass

Choice = Literal["", "same beginning", "longest unused", "asked for"]


class Cause(Enum):
    """Why a prompt was read that had been read before."""

    BEGINNING = "changed beginning"
    TAKEN = "slot taken by another client"
    WINDOW = "sliding window"
    STATE = "hybrid state"
    OVERFLOW = "context overflow"
    CHECKPOINT = "checkpoint erased"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why, in words, and what helps."""

    cause: Cause
    words: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Request:
    """None is "not said"."""

    number: int
    """llama-server's task."""
    slot: int
    prompt_tokens: int | None = None
    reused_tokens: int | None = None
    read_tokens: int | None = None
    generated_tokens: int | None = None
    read_s: float | None = None
    generated_s: float | None = None
    slot_tokens: int | None = None
    """What the slot's share of the context holds."""
    used_tokens: int | None = None
    """What it held of it at the end."""
    restored_tokens: int = 0
    """What had been read back into its slot, and was not asked for before."""
    ended: bool = False
    refused: str = ""
    """Why there was no answer."""
    reason: Reason | None = None
    """Why tokens were read again; None: none that mattered, or nobody can tell."""

    @property
    def seconds(self) -> float | None:
        parts = [s for s in (self.read_s, self.generated_s) if s is not None]
        return sum(parts) if parts else None

    @property
    def per_second(self) -> float | None:
        """Generated tokens; the first one takes no time of it."""
        if not self.generated_s or not self.generated_tokens or self.generated_tokens < 2:
            return None
        return (self.generated_tokens - 1) / self.generated_s

    @property
    def context_part(self) -> float | None:
        """How much of the slot's share is used."""
        used = self.used_tokens if self.used_tokens is not None else self.prompt_tokens
        return used / self.slot_tokens if used is not None and self.slot_tokens else None
