"""A conversation, and llama-server's event stream as data."""

from __future__ import annotations

from collections.abc import Mapping

from hettui.domain.records import dataclass

_ABSURD = 1e15
"""No figure of a server reaches it. Infinity and NaN, which JSON may hold, are not below it."""


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """One message. `role` is `system`, `user` or `assistant`."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Timings:
    """llama-server's own figures of one answer, and the client's clock. None is "not said"."""

    prompt_tokens: int | None = None
    prompt_per_second: float | None = None
    generated_tokens: int | None = None
    generated_per_second: float | None = None
    first_token_s: float | None = None
    """From sending the request to the first text, by our clock."""
    cached_tokens: int | None = None
    prompt_s: float | None = None
    generated_s: float | None = None
    """From the first token to the last, by the server's clock: the first one takes no time of it."""
    drafted_tokens: int | None = None
    accepted_tokens: int | None = None
    """Of a draft model's tokens; None without one."""

    @classmethod
    def from_json(cls, data: Mapping[str, object], first_token_s: float | None = None) -> Timings:
        """Reads the `timings` object; any field may be missing or null (b10068, b11434)."""

        def number(key: str) -> float | None:
            value = data.get(key)
            sound = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _ABSURD
            return float(value) if sound and isinstance(value, int | float) else None

        def whole(key: str) -> int | None:
            value = number(key)
            return None if value is None else int(value)

        def seconds(key: str) -> float | None:
            value = number(key)
            return None if value is None else value / 1000

        return cls(
            prompt_tokens=whole("prompt_n"),
            prompt_per_second=number("prompt_per_second"),
            generated_tokens=whole("predicted_n"),
            generated_per_second=number("predicted_per_second"),
            first_token_s=first_token_s,
            cached_tokens=whole("cache_n"),
            prompt_s=seconds("prompt_ms"),
            generated_s=seconds("predicted_ms"),
            drafted_tokens=whole("draft_n"),
            accepted_tokens=whole("draft_n_accepted"),
        )


@dataclass(frozen=True, slots=True)
class PromptProgress:
    """How far the server is with reading a prompt."""

    total_tokens: int
    done_tokens: int
    """Those from the cache included."""
    elapsed_s: float
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Slot:
    """One place at the server in which a request is answered."""

    busy: bool
    tokens_left: int | None = None
    """Before its answer's limit; None when it has none or does not say."""
    number: int | None = None
    task: int | None = None
    """The request that it answers, or answered last; None before the first one."""
    held_tokens: int | None = None
    """What is in its cache (`n_prompt_tokens`), as far as a request of its own put it there."""
    generated_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the server says about itself. None is "not said"."""

    slots: int | None = None
    slot_context_tokens: int | None = None
    build: str | None = None
    model_path: str | None = None
    model_name: str | None = None
    model_type: str | None = None
    """`Q4_K_M` and the like."""
    model_bytes: int | None = None
    model_params: int | None = None
    vocabulary: int | None = None


@dataclass(frozen=True, slots=True)
class ChatDelta:
    """A piece of an answer. Text is raw here: it passes the stream cleaner before it leaves the engine."""

    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    timings: Timings | None = None
    progress: PromptProgress | None = None
