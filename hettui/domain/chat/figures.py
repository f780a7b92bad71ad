"""What is said under an answer: the server's figures, held against the client's own clock."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hettui.domain.chat.wire import Timings
from hettui.domain.records import dataclass
from hettui.domain.statistics import percentile
from hettui.domain.units import UNKNOWN, format_ms, format_rate

DISAGREEMENT = 0.05
"""From this part on a difference between the server's rate and ours is worth a line."""
_FEWEST_PIECES = 20
"""Below, a single hiccup decides the rate: no comparison then."""


@dataclass(frozen=True, slots=True)
class ClientClock:
    """One answer as it arrived here. None is "not known"."""

    first_token_s: float | None = None
    """From sending the request to the first text."""
    pieces: int = 0
    """Events with text: one per token with llama-server."""
    generating_s: float = 0.0
    """From the first piece to the last."""
    between_p50_s: float | None = None
    between_p99_s: float | None = None
    """Time between two pieces: median, and what 99 of 100 do not exceed."""

    @property
    def tokens_per_second(self) -> float | None:
        """The first piece only starts the clock."""
        return (self.pieces - 1) / self.generating_s if self.pieces > 1 and self.generating_s > 0 else None

    @classmethod
    def of(cls, asked_s: float, arrivals_s: Sequence[float]) -> ClientClock:
        """From the moment of asking and the moments of all pieces, by one clock."""
        if not arrivals_s:
            return cls()
        gaps = [b - a for a, b in pairwise(arrivals_s)]
        return cls(
            arrivals_s[0] - asked_s,
            len(arrivals_s),
            arrivals_s[-1] - arrivals_s[0],
            percentile(gaps, 50),
            percentile(gaps, 99),
        )


def disagreement(timings: Timings, clock: ClientClock) -> str | None:
    """A sentence when server and client differ by more than `DISAGREEMENT`; else None.

    The server divides all tokens by the time from the first to the last, of which the first took none: the same
    count is taken here, so that a short answer does not look like a difference.
    """
    ours, theirs, count = clock.tokens_per_second, timings.generated_per_second, timings.generated_tokens
    if ours is None or theirs is None or count is None or clock.pieces < _FEWEST_PIECES:
        return None
    theirs *= (count - 1) / count
    # Several tokens may share one event, and stop words or special tokens have none: count what the server counts.
    ours = (count - 1) / clock.generating_s
    part = ours / theirs - 1
    if abs(part) <= DISAGREEMENT:
        return None
    cause = "on the way here, or in this terminal" if part < 0 else "the server's figure may be another answer's"
    return f"by our clock {format_rate(ours)}: {abs(part):.0%} {'less' if part < 0 else 'more'} ({cause})"


def figure_lines(
    timings: Timings | None, clock: ClientClock | None, context_tokens: int | None = None
) -> tuple[str, ...]:
    """The lines under an answer; empty when nothing is known.

    `answer 23 tok, 141.3 tok/s · first token 164 ms · between tokens 7 ms, p99 9 ms`
    """
    if timings is None and (clock is None or clock.first_token_s is None):
        return ()
    timings = timings or Timings()
    clock = clock or ClientClock(first_token_s=timings.first_token_s)
    if timings.generated_tokens is None and clock.pieces:
        # Cut off: the server never came to tell its figures.
        answer = f"answer {clock.pieces} tok, {format_rate(clock.tokens_per_second)} by our clock"
    else:
        answer = f"answer {_count(timings.generated_tokens)} tok, {format_rate(timings.generated_per_second)}"
    answer += f" · first token {format_ms(clock.first_token_s)}"
    if clock.between_p50_s is not None:
        answer += f" · between tokens {_ms(clock.between_p50_s)}, p99 {_ms(clock.between_p99_s)}"
    if timings.prompt_tokens is None and clock.pieces:
        return (answer,)
    prompt = f"prompt {_count(timings.prompt_tokens)} tok, {format_rate(timings.prompt_per_second)}"
    if timings.cached_tokens:
        prompt += f", {timings.cached_tokens} more from the cache"
    if (draft := _draft(timings)) is not None:
        prompt += f" · {draft}"
    if (context := _context(timings, context_tokens)) is not None:
        prompt += f" · {context}"
    difference = disagreement(timings, clock)
    return (answer, prompt, difference) if difference else (answer, prompt)


def _count(tokens: int | None) -> str:
    return UNKNOWN if tokens is None else str(tokens)


def _ms(seconds: float | None) -> str:
    if seconds is None or seconds >= 0.02:
        return format_ms(seconds)
    return f"{seconds * 1000:.1f} ms"


def _draft(timings: Timings) -> str | None:
    if not timings.drafted_tokens or timings.accepted_tokens is None:
        return None
    part = timings.accepted_tokens / timings.drafted_tokens
    said = f"draft {timings.accepted_tokens} of {timings.drafted_tokens} accepted ({part:.0%})"
    steps = (timings.generated_tokens or 0) - timings.accepted_tokens
    return f"{said}, {(timings.generated_tokens or 0) / steps:.1f} tok a step" if steps > 0 else said


def _context(timings: Timings, size: int | None) -> str | None:
    parts = (timings.prompt_tokens, timings.cached_tokens, timings.generated_tokens)
    if size is None or all(part is None for part in parts):
        return None
    used = sum(part or 0 for part in parts)
    return f"context {used} of {size} ({used / size:.0%})" if size else f"context {used}"
