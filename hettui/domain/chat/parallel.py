"""Several copies of one prompt at once: how each fares, and all together."""

from __future__ import annotations

from collections.abc import Sequence

from hettui.domain.records import dataclass
from hettui.domain.units import UNKNOWN, format_ms, format_rate

MAX_STREAMS = 64


@dataclass(frozen=True, slots=True)
class ParallelRow:
    """One stream. Times are by the client's clock, in seconds since all were sent."""

    tokens: int = 0
    """Pieces received."""
    first_s: float | None = None
    last_s: float | None = None
    ended: bool = False
    problem: str | None = None

    @property
    def tokens_per_second(self) -> float | None:
        if self.first_s is None or self.last_s is None or self.tokens < 2 or self.last_s <= self.first_s:
            return None
        return (self.tokens - 1) / (self.last_s - self.first_s)


def total_tokens_per_second(rows: Sequence[ParallelRow]) -> float | None:
    """All tokens of all streams after each one's first, over the time from the first token of any to the last."""
    firsts = [row.first_s for row in rows if row.first_s is not None]
    lasts = [row.last_s for row in rows if row.last_s is not None]
    if not firsts or max(lasts) <= min(firsts):
        return None
    return sum(max(0, row.tokens - 1) for row in rows) / (max(lasts) - min(firsts))


def parallel_lines(rows: Sequence[ParallelRow]) -> list[str]:
    """A line for each stream, and the sum below them."""
    cells = [("stream", "tokens", "tok/s", "first token", "")]
    for number, row in enumerate(rows, 1):
        rate = UNKNOWN if row.tokens_per_second is None else f"{row.tokens_per_second:.1f}"
        state = row.problem or ("" if row.ended else "running" if row.tokens else "waiting")
        cells.append((str(number), str(row.tokens), rate, format_ms(row.first_s), state))
    total = format_rate(total_tokens_per_second(rows))
    # Events name the rows above: whoever only hears events needs no report.
    from hettui.domain.tables import table

    return [*table(cells), f"{len(rows)} at once: {total} in all, {sum(r.tokens for r in rows)} tokens"]
