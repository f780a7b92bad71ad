"""Why a prompt was read again: pure, from what the slots held before and what llama-server says of the request.

llama-server knows which beginning two prompts share and says how much of it (`f_keep`, `sim`); whose prompt it was it
does not know. Where a context that was lost is about as long as the new prompt, it is taken for the same conversation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from hettui.domain.records import dataclass
from hettui.domain.slots.request import Cause, Choice, Reason

_LEAST_TOKENS = 64
"""Less than this is read again for reasons that are nobody's: a template's last words, whole batches."""
_LEAST_PART = 0.05
_GROWTH, _GROWTH_TOKENS = 1.1, 1024
"""What a conversation grows by from one request to the next, at most: an answer, and what a tool said to it."""
_GROWTH_IN_PLACE = 1.5
"""The same where its slot was chosen because the beginning is its own."""
_SHORTENED = 0.9
_SLACK = 4
_LEAST_CONVERSATION = 128
"""Tokens. Shorter ones are everybody's."""

Loss = Literal["taken", "purged", "restart"]


@dataclass(frozen=True, slots=True)
class Traits:
    """Of the model and its settings."""

    windows: bool = False
    """Some blocks see a sliding window, and the cache is no longer than that."""
    recurrent: bool = False


@dataclass(frozen=True, slots=True)
class Lost:
    """A context that a slot held and does not hold any more."""

    tokens: int
    how: Loss


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of one request when its prompt has been read."""

    prompt_tokens: int
    reused_tokens: int
    held_tokens: int
    """What its slot held before."""
    choice: Choice = ""
    shared_tokens: int | None = None
    """The beginning that the prompt shares with what the slot held; None: not said."""
    forced: bool = False
    """llama-server says that it cannot go on from the cache."""
    erased: bool = False
    """Checkpoints were erased before it: to make room, or by a request that went back further."""
    shifted: bool = False
    """The slot's context had been shifted: its beginning was thrown away."""
    elsewhere: tuple[int, ...] = ()
    """What the other slots hold."""
    swapped: bool = False
    """What the slot held was put aside, and what had been put aside before came back into it."""


@dataclass(frozen=True, slots=True)
class Found:
    """Why it was read again, and what became of what the slot held."""

    reason: Reason | None = None
    came_back: Lost | None = None
    """The lost context whose conversation this is."""
    displaces: bool = False
    """It is another conversation than the one that the slot held."""


def judge(reading: Reading, lost: Sequence[Lost], traits: Traits) -> Found:
    """What a request re-read. Of two explanations the one that leaves the least unexplained."""
    shared = _shared(reading)
    if _worth(shared - reading.reused_tokens, shared):
        return Found(_not_reused(reading, shared, traits), displaces=_other_conversation(reading, shared))
    gone = [one for one in lost if _continues(one.tokens, reading.prompt_tokens)]
    own = reading.choice != "longest unused"
    best = min(gone, key=lambda one: abs(reading.prompt_tokens - one.tokens), default=None)
    here = [reading.held_tokens, *(() if own else reading.elsewhere)]
    if reading.choice == "asked for" and not reading.reused_tokens:
        # The server does not say how much was alike: another prompt altogether, or one that may use no cache.
        here = []
    least, most = (_SHORTENED, _GROWTH_IN_PLACE) if own else (1.0, _GROWTH)
    changed = [n for n in here if _continues(n, reading.prompt_tokens, least, most)]
    nearest = min(changed, key=lambda n: abs(reading.prompt_tokens - n), default=None)
    displaces = _other_conversation(reading, shared)
    if best is not None and (nearest is None or _gap(reading, best.tokens) <= _gap(reading, nearest)):
        again = _again(reading, best.tokens)
        return Found(_lost(best, again) if _worth(again, best.tokens) else None, best, displaces)
    if nearest is not None and _worth(_again(reading, nearest), nearest):
        if reading.shifted:
            return Found(_overflow(_again(reading, nearest)))
        return Found(_changed(shared, nearest))
    return Found(displaces=displaces)


def _shared(reading: Reading) -> int:
    """The beginning that is alike, as far as the server says it."""
    if reading.shared_tokens is not None:
        return reading.shared_tokens
    if reading.choice == "longest unused":
        return 0
    return min(reading.held_tokens, reading.prompt_tokens) if reading.forced else reading.reused_tokens


def _gap(reading: Reading, tokens: int) -> int:
    return abs(reading.prompt_tokens - tokens)


def _again(reading: Reading, tokens: int) -> int:
    """How much of a conversation of that length was read again."""
    return min(tokens, reading.prompt_tokens) - reading.reused_tokens


def _worth(tokens: int, of_tokens: int) -> bool:
    return tokens >= _LEAST_TOKENS and tokens >= _LEAST_PART * of_tokens


def _continues(before_tokens: int, prompt_tokens: int, least: float = 1.0, most: float = _GROWTH) -> bool:
    """Whether a prompt of that length may be the next one of a conversation of this length, its last answer included.

    `least`: a part of it; a template may leave thoughts of the last answer out.
    """
    longest = before_tokens * most + _GROWTH_TOKENS
    return before_tokens >= _LEAST_CONVERSATION and least * before_tokens - _SLACK <= prompt_tokens <= longest


def _other_conversation(reading: Reading, shared: int) -> bool:
    """It shares little with what the slot held, and is no later state of it."""
    lost = reading.held_tokens - (0 if reading.swapped else shared)
    return _worth(lost, reading.held_tokens) and reading.held_tokens >= _LEAST_CONVERSATION


def _not_reused(reading: Reading, shared: int, traits: Traits) -> Reason:
    """The beginning was the same, and the cache was of no use for it."""
    again = shared - reading.reused_tokens
    if reading.shifted:
        return _overflow(again)
    if reading.erased and (traits.windows or traits.recurrent):
        return Reason(
            Cause.CHECKPOINT,
            f"{again:,} tokens before the last checkpoint that was left were read again",
            "more of them: --ctx-checkpoints in extra-args" + (", or swa-full = true" if traits.windows else ""),
        )
    if traits.recurrent:
        return Reason(
            Cause.STATE,
            f"{again:,} tokens: a recurrent state goes on only from where it was left, not from before",
            "let the prompt only grow; --ctx-checkpoints in extra-args keeps more places to go on from",
        )
    if traits.windows:
        return Reason(
            Cause.WINDOW,
            f"{again:,} tokens: blocks with a sliding window keep the last tokens only",
            "swa-full = true in [serving] keeps all of them, and takes more memory",
        )
    return Reason(
        Cause.BEGINNING, f"{again:,} tokens that the slot held were read again", "see the master's log for this task"
    )


def _lost(one: Lost, again: int) -> Reason:
    if one.how == "restart":
        return Reason(
            Cause.RESTART,
            f"{again:,} tokens were in the context when llama-server ended",
            "context-keep in [serving] saves them over a restart",
        )
    if one.how == "purged":
        return Reason(
            Cause.OVERFLOW,
            f"{again:,} tokens were thrown out: all slots together had no room left",
            "a larger ctx-size, or fewer conversations at once",
        )
    return Reason(
        Cause.TAKEN,
        f"{again:,} tokens: its slot was given to another conversation meanwhile",
        "more slots: parallel in [serving]; or id_slot in the client's requests",
    )


def _overflow(again: int) -> Reason:
    return Reason(
        Cause.OVERFLOW,
        f"{again:,} tokens: the context was full, and its beginning was thrown away",
        "a larger ctx-size, fewer slots, or a client that shortens its history by itself",
    )


def _changed(shared: int, held: int) -> Reason:
    where = f"after token {shared:,} of {held:,}" if shared else "at its very beginning"
    return Reason(
        Cause.BEGINNING,
        f"the prompt differs {where} from the one before",
        "keep system prompt, tools and history byte for byte; times and changing facts belong at the end",
    )
