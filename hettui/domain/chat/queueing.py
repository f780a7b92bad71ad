"""What is said while a question waits: its place in the queue, and how far its prompt has been read."""

from __future__ import annotations

from collections.abc import Sequence

from hettui.domain.chat.wire import PromptProgress, Slot
from hettui.domain.units import format_rate, format_seconds


def reading_text(progress: PromptProgress) -> str:
    """`reading the prompt: 1024 of 4096 tokens, 142.0 tok/s, 22 s left`"""
    text = f"reading the prompt: {progress.done_tokens} of {progress.total_tokens} tokens"
    read = progress.done_tokens - progress.cached_tokens
    if read <= 0 or progress.elapsed_s <= 0:
        return text
    rate = read / progress.elapsed_s
    left = (progress.total_tokens - progress.done_tokens) / rate
    return f"{text}, {format_rate(rate)}, {format_seconds(left)} left"


def queue_text(slots: Sequence[Slot] | None, place: int | None, waited_s: float) -> str:
    """Why nothing has come yet. `place` is 1 for the next to be answered; None when the server does not say."""
    waited = f"for {format_seconds(waited_s)}"
    if slots is None:
        return f"waiting for the first token {waited}: the server does not say what it does"
    busy = [slot for slot in slots if slot.busy]
    if len(busy) < len(slots) or not slots:
        return f"waiting for the first token {waited}"
    what = "the only slot is busy" if len(slots) == 1 else f"all {len(slots)} slots are busy"
    queue = "" if place is None else f", place {place} in the queue"
    left = min((slot.tokens_left for slot in busy if slot.tokens_left is not None), default=None)
    soon = "" if left is None or (place or 1) > 1 else f", at most {left} tokens before one is free"
    return f"{what}{queue}{soon}; waiting {waited} · Esc gives up"
