"""Requests as lines for people and as JSON: the same figures on the screen and by `hettui requests`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hettui.domain.slots.request import Request
from hettui.domain.units import UNKNOWN, format_seconds

_HEADINGS = ("slot", "prompt", "reused", "read", "gen", "time", "tok/s", "ctx")
_WIDTHS = (4, 7, 7, 7, 5, 7, 5, 4)
_INDENT = "     "


def heading() -> str:
    """Of the columns of `line`; 53 cells, so many as the pane has beside the devices of a wide terminal."""
    return _row(_HEADINGS)


def line(request: Request) -> str:
    """One request's figures."""
    if request.refused and request.read_tokens is None:
        return f"{_row((str(request.slot), _count(request.prompt_tokens)))}  refused"
    counts = (request.prompt_tokens, request.reused_tokens, request.read_tokens, request.generated_tokens)
    rate, part = request.per_second, request.context_part
    return _row(
        (
            str(request.slot),
            *map(_count, counts),
            _time(request.seconds) if request.ended else "…",
            UNKNOWN if rate is None else f"{rate:.1f}" if rate < 1000 else f"{rate:.0f}",
            UNKNOWN if part is None else f"{part:.0%}",
        )
    )


def notes(request: Request) -> tuple[str, ...]:
    """What stands under it: why it was refused, why tokens were read again, and what helps."""
    found = [f"{_INDENT}{request.refused}"] if request.refused else []
    if request.reason is not None:
        found.append(f"{_INDENT}{request.reason.cause.value}: {request.reason.words}")
        found.append(f"{_INDENT}→ {request.reason.remedy}")
    return tuple(found)


def totals(requests: Sequence[Request]) -> str:
    """Of all of them in one line; empty when there is none."""
    ended = [r for r in requests if r.prompt_tokens is not None and r.reused_tokens is not None]
    prompt, reused = sum(r.prompt_tokens or 0 for r in ended), sum(r.reused_tokens or 0 for r in ended)
    if not requests:
        return ""
    share = f" · {reused / prompt:.0%} reused" if prompt else ""
    return f"{len(requests):,} request{'' if len(requests) == 1 else 's'}{share}"


def as_json(request: Request) -> dict[str, Any]:
    """One document; what is not known is null."""
    reason = request.reason
    return {
        "task": request.number,
        "slot": request.slot,
        "state": "running" if not request.ended else "refused" if request.refused else "done",
        "prompt_tokens": request.prompt_tokens,
        "reused_tokens": request.reused_tokens,
        "read_tokens": request.read_tokens,
        "generated_tokens": request.generated_tokens,
        "seconds": None if request.seconds is None else round(request.seconds, 3),
        "tokens_per_second": None if request.per_second is None else round(request.per_second, 2),
        "slot_context_tokens": request.slot_tokens,
        "used_tokens": request.used_tokens,
        "restored_tokens": request.restored_tokens or None,
        "refused": request.refused or None,
        "reread": None if reason is None else {
            "cause": reason.cause.value, "words": reason.words, "remedy": reason.remedy,
        },
    }  # fmt: skip


def _time(seconds: float | None) -> str:
    """`9.4 s`, `42 s`, `3:05`, `2:10 h`: at most seven cells."""
    if seconds is None or seconds < 59.5:
        return format_seconds(seconds)
    whole = int(seconds + 0.5)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"


def _count(number: int | None) -> str:
    return UNKNOWN if number is None else f"{number:,}"


def _row(cells: Sequence[str]) -> str:
    return " ".join(cell.rjust(width) for cell, width in zip(cells, _WIDTHS, strict=False))
