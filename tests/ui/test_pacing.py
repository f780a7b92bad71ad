"""When to write: simulated lines, by the clock of the test."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import pytest

from hettui.ui.terminal.pacing import Pacer

STEP_S = 0.005


@dataclass
class SlowLine:
    """Carries what is written at a rate after a delay, and brings the answers back after another one."""

    delay_s: float
    bytes_per_s: float
    answers: bool = True
    pacer: Pacer = field(default_factory=Pacer)
    now_s: float = 0.0
    free_s: float = 0.0
    """When all that was written has left."""
    coming: deque[float] = field(default_factory=deque)
    worst_queue_s: float = 0.0
    frames: int = 0
    written_bytes: int = 0

    def step(self) -> None:
        self.now_s += STEP_S
        while self.coming and self.coming[0] <= self.now_s:
            self.coming.popleft()
            self.pacer.answered(self.now_s)

    def draw(self, size_bytes: int) -> bool:
        """A frame, when there is room for one."""
        if not self.pacer.may_write(self.now_s):
            return False
        asks = self.pacer.write(self.now_s, size_bytes)
        self.frames += 1
        self.written_bytes += size_bytes
        self.free_s = max(self.free_s, self.now_s) + size_bytes / self.bytes_per_s
        self.worst_queue_s = max(self.worst_queue_s, self.free_s - self.now_s - size_bytes / self.bytes_per_s)
        if asks and self.answers:
            self.coming.append(self.free_s + 2 * self.delay_s)
        return True

    def run(self, seconds: float, frame_bytes: int, every_s: float) -> None:
        """Something to draw again and again."""
        end_s, next_s, waiting = self.now_s + seconds, self.now_s, False
        while self.now_s < end_s:
            if self.now_s >= next_s:
                waiting, next_s = True, next_s + every_s
            if waiting and self.draw(frame_bytes):
                waiting = False
            self.step()


@pytest.mark.parametrize("delay_s", [0.0, 0.1, 0.25])
@pytest.mark.parametrize("bytes_per_s", [960.0, 3000.0])
def test_nothing_piles_up_on_a_slow_line(delay_s: float, bytes_per_s: float) -> None:
    line = SlowLine(delay_s, bytes_per_s)
    line.draw(0)
    line.run(2, 200, 1.0)
    line.worst_queue_s = 0.0
    # An answer that streams: far more to draw than the line takes.
    line.run(60, 400, 0.07)
    assert line.worst_queue_s < 0.5
    # And what it takes is used, or all that there was to draw.
    assert line.written_bytes > 0.6 * 60 * min(bytes_per_s, 400 / 0.07)


def test_a_far_but_quick_line_is_not_slowed_down() -> None:
    line = SlowLine(0.25, 1e6)
    line.draw(0)
    line.run(2, 3000, 1.0)
    before = line.frames
    line.run(10, 300, 1 / 15)
    assert line.frames - before > 140


def test_a_line_that_becomes_slow_is_noticed_and_one_that_recovers_too() -> None:
    line = SlowLine(0.02, 1e6)
    line.draw(0)
    line.run(5, 300, 0.1)
    line.bytes_per_s = 960
    line.run(20, 300, 0.1)
    line.worst_queue_s = 0.0
    line.run(20, 300, 0.1)
    assert line.worst_queue_s < 1.0
    line.bytes_per_s = 1e6
    line.run(5, 300, 0.1)
    before = line.frames
    line.run(10, 300, 0.1)
    assert line.frames - before > 90


def test_a_terminal_that_never_answers_is_written_to_as_ever() -> None:
    line = SlowLine(0.0, 1e6, answers=False)
    line.draw(0)
    line.run(30, 300, 0.1)
    assert line.frames > 290
    assert line.pacer.mute


def test_the_first_frames_do_not_wait_for_the_first_answer() -> None:
    line = SlowLine(0.0, 1e6, answers=False)
    line.draw(0)
    assert line.draw(5000)
    assert line.draw(9000)


def test_a_terminal_that_falls_silent_stops_nobody_for_long_and_is_heard_again() -> None:
    line = SlowLine(0.01, 1e6)
    line.draw(0)
    line.run(5, 300, 0.1)
    line.answers = False
    line.run(10, 300, 0.1)
    assert line.pacer.mute
    before = line.frames
    line.run(5, 300, 0.1)
    assert line.frames - before > 45
    line.pacer.answered(line.now_s)
    assert not line.pacer.mute


def test_small_frames_share_a_question() -> None:
    pacer = Pacer()
    assert pacer.write(0.0, 0)
    pacer.answered(0.01)
    asked = [pacer.write(1.0, 40) for _ in range(10)]
    assert asked.count(True) == 2
    assert asked[0]


def test_answers_that_nobody_asked_for_do_no_harm() -> None:
    pacer = Pacer()
    pacer.answered(1.0)
    assert pacer.may_write(1.0)
    assert pacer.under_way_bytes == 0
