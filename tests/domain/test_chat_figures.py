"""Figures under an answer, and when the two clocks disagree."""

from __future__ import annotations

import pytest

from hettui.domain.chat.figures import ClientClock, disagreement, figure_lines
from hettui.domain.chat.parallel import ParallelRow, parallel_lines, total_tokens_per_second
from hettui.domain.chat.queueing import queue_text, reading_text
from hettui.domain.chat.wire import PromptProgress, Slot, Timings
from hettui.domain.statistics import Spread, percentile, spread

SERVER = Timings(
    prompt_tokens=32, prompt_per_second=200.7, generated_tokens=101, generated_per_second=101.0, cached_tokens=8
)


def clock(rate: float, pieces: int = 101, first_s: float = 0.2) -> ClientClock:
    return ClientClock.of(10.0, [10.0 + first_s + i / rate for i in range(pieces)])


def test_all_figures() -> None:
    timings = Timings(
        prompt_tokens=32, prompt_per_second=200.7, generated_tokens=101, generated_per_second=101.0, cached_tokens=8,
        drafted_tokens=60, accepted_tokens=45,
    )  # fmt: skip
    lines = figure_lines(timings, clock(100.0), 4096)
    assert lines == (
        "answer 101 tok, 101.0 tok/s · first token 200 ms · between tokens 10.0 ms, p99 10.0 ms",
        "prompt 32 tok, 200.7 tok/s, 8 more from the cache · draft 45 of 60 accepted (75%), 1.8 tok a step"
        " · context 141 of 4096 (3%)",
    )


def test_what_is_unknown_is_a_dash() -> None:
    assert figure_lines(None, None) == ()
    assert figure_lines(Timings(), None)[0] == "answer – tok, – tok/s · first token –"


@pytest.mark.parametrize(("rate", "says"), [(100.0, None), (96.0, None), (80.0, "20% less"), (120.0, "20% more")])
def test_the_clocks_are_held_against_each_other(rate: float, says: str | None) -> None:
    # 101 tokens at "101 a second" took one second from the first to the last: 100 a second.
    found = disagreement(SERVER, clock(rate))
    assert (found is None) if says is None else (found is not None and says in found)


def test_a_short_answer_is_not_compared() -> None:
    assert disagreement(SERVER, clock(10.0, pieces=5)) is None


def test_percentiles_are_ranks() -> None:
    assert percentile([], 50) is None
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile(list(range(1, 101)), 99) == 99
    assert percentile([5.0], 99) == 5.0


def test_spread_and_ties() -> None:
    assert spread([]) is None
    found = spread([10.0, 11.0, 12.0])
    assert found == Spread(11.0, 1.0, 3)
    assert found.half_interval == pytest.approx(4.303 / 3**0.5)
    assert found.overlaps(Spread(14.0, 1.0, 3)) is True
    assert found.overlaps(Spread(17.0, 1.0, 3)) is False
    assert found.overlaps(Spread(11.0, None, 1)) is None


def test_the_queue_in_words() -> None:
    busy, free = Slot(True, 40), Slot(False)
    assert "the only slot is busy, place 1 in the queue, at most 40 tokens" in queue_text([busy], 1, 3.0)
    assert "all 2 slots are busy, place 2 in the queue; waiting for 3.0 s" in queue_text([busy, busy], 2, 3.0)
    assert queue_text([busy, free], None, 3.0) == "waiting for the first token for 3.0 s"
    assert "does not say" in queue_text(None, None, 3.0)


def test_reading_a_prompt_in_words() -> None:
    assert reading_text(PromptProgress(4096, 0, 0.0)) == "reading the prompt: 0 of 4096 tokens"
    text = reading_text(PromptProgress(4096, 1024, 4.0, 24))
    assert text == "reading the prompt: 1024 of 4096 tokens, 250.0 tok/s, 12 s left"


def test_parallel_streams() -> None:
    rows = [ParallelRow(11, 0.5, 1.5, ended=True), ParallelRow(21, 0.5, 2.5), ParallelRow(problem="refused")]
    assert total_tokens_per_second(rows) == pytest.approx(15.0)
    assert total_tokens_per_second([ParallelRow()]) is None
    lines = parallel_lines(rows)
    assert lines[1].split() == ["1", "11", "10.0", "500", "ms"]
    assert lines[2].split()[-1] == "running"
    assert lines[3].endswith("refused")
    assert lines[4] == "3 at once: 15.0 tok/s in all, 32 tokens"
