"""What a bench says of a plan beside one stream's token: how fast prompts are read, and several streams together."""

from __future__ import annotations

from collections.abc import Sequence

from hettui.domain.bench.run import BenchResult
from hettui.domain.planner.learned import PROMPT, streams_name

_LEAST_PROMPT = 256
"""Tokens: a shorter one is mostly its first batch."""


def rates_of(results: Sequence[BenchResult]) -> list[tuple[str, float]]:
    """What each is kept under (`Learned.add_rate`), and its tokens a second. Without anything in the context before:
    rates at a depth are others."""
    found = [(r.test, r.rate.mean) for r in results if r.rate is not None and not r.test.depth]
    prompts = [(PROMPT, rate) for test, rate in found if test.prompt >= _LEAST_PROMPT]
    return prompts[-1:] + [(streams_name(test.streams), rate) for test, rate in found if test.streams > 1]
