"""What a recorder writes and what it keeps to itself, and that no disk holds the engine up."""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import dataclass, field, replace
from typing import Any

from hettui.domain.chat.wire import Timings
from hettui.domain.plan.plan import Plan
from hettui.domain.session.session import Session
from hettui.services.cluster.world import Request
from hettui.services.events import (
    ChatEnded,
    ChatProgressed,
    LogLines,
    Notice,
    PlaybackMoved,
    TelemetryUpdated,
)
from hettui.services.recording.recorder import MAX_WAITING, UNTOLD_LINES, Recorder
from hettui.services.recording.replay import read_recording
from hettui.wiring.replay import RecordedBackend
from tests.fakes import FakeClock, shape
from tests.patience import patience
from tests.ui.stage import StageBackend, readings, session

SESSION = session()


@dataclass
class Sink:
    """Implements LineSink: a disk with room for so many lines, which may stand still."""

    room: int = 1 << 30
    lines: list[str] = field(default_factory=list)
    flushed: int = 0
    closed: bool = False
    moves: threading.Event = field(default_factory=threading.Event)
    written: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.moves.set()

    def write(self, line: str) -> None:
        self.moves.wait()
        if len(self.lines) >= self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with self.written:
            self.lines.append(line)
            self.written.notify()

    def flush(self) -> None:
        with self.written:
            self.flushed = len(self.lines)
            self.written.notify()

    def close(self) -> None:
        self.closed = True

    def wait(self, condition: Any) -> None:
        with self.written:
            assert self.written.wait_for(condition, timeout=patience(10)), self.lines


class Stand:
    """A recorder with everything around it."""

    def __init__(self, sink: Sink | None = None, **options: Any) -> None:
        self.sink = sink or Sink()
        self.clock = FakeClock()
        self.notices: list[Notice] = []
        self.said = threading.Event()
        self.recorder = Recorder(self.sink, self.clock, "2026-03-01T12:00:00Z", "/home/me", self._report, **options)

    def _report(self, notice: Notice) -> None:
        self.notices.append(notice)
        self.said.set()

    def recorded(self) -> list[tuple[float, Any]]:
        self.recorder.close()
        return list(read_recording([line.encode() for line in self.sink.lines], "x").entries)


def with_arguments(*words: str) -> Session:
    serving = replace(SESSION.config.serving, extra_args=words)
    return replace(SESSION, config=replace(SESSION.config, serving=serving))


def test_a_recording_begins_with_the_session() -> None:
    stand = Stand()
    stand.recorder(Notice("before there is anything to see"))
    stand.recorder.begin(SESSION)
    stand.clock.now += 1.5
    stand.recorder(readings(SESSION.devices))
    stand.clock.now += 1
    stand.recorder(Notice("seen", "warning"))
    (first, telemetry), second = stand.recorded()
    assert first == 1.5
    assert isinstance(telemetry, TelemetryUpdated)
    assert second == (2.5, Notice("seen", "warning"))
    assert stand.sink.closed
    assert not stand.recorder.recording
    stand.recorder(Notice("late"))
    assert len(stand.sink.lines) == 3


def test_words_of_a_chat_are_not_recorded() -> None:
    stand = Stand()
    stand.recorder.begin(SESSION)
    timings = Timings(prompt_tokens=3, generated_tokens=2, first_token_s=0.25)
    stand.recorder(ChatProgressed("the secret answer", "", 4, 0.5))
    stand.recorder(ChatProgressed("", "secret thoughts", 5, 0.75))
    stand.recorder(ChatEnded(timings))
    found = [event for _, event in stand.recorded()]
    assert found == [ChatProgressed("·", "", 4, 0.5), ChatProgressed("", "·", 5, 0.75), ChatEnded(timings)]
    assert "secret" not in "".join(stand.sink.lines)


def test_keys_are_not_recorded_wherever_they_stand() -> None:
    stand = Stand()
    stand.recorder.begin(with_arguments("--hf-token", "hf_token"))
    stand.recorder.hide("sk-secret")
    stand.recorder(LogLines("master", ("Authorization: Bearer sk-secret",)))
    stand.recorder(Notice("sk-secret was refused"))
    found = [event for _, event in stand.recorded()]
    assert found == [LogLines("master", ("Authorization: Bearer (hidden)",)), Notice("(hidden) was refused")]
    assert not [line for line in stand.sink.lines if "sk-secret" in line or "hf_token" in line]


def test_debug_lines_of_the_log_are_not_recorded() -> None:
    stand = Stand()
    stand.recorder.begin(SESSION)
    stand.recorder(LogLines("master", ("0.00.1.1 I ready", "0.00.1.2 D Parsed message: secret")))
    stand.recorder(LogLines("master", ("secret goes on",)))
    stand.recorder(LogLines("worker big", ("up",)))
    found = [event.lines for _, event in stand.recorded()]
    assert found[0][0] == "0.00.1.1 I ready"
    assert found[1:] == [("up",)]
    assert "secret" not in "".join(stand.sink.lines)


def test_with_arguments_that_log_prompts_the_masters_log_is_not_recorded() -> None:
    stand = Stand()
    stand.recorder.begin(with_arguments("-lv", "5"))
    for text in ("secret", "secret again"):
        stand.recorder(LogLines("master", (text,)))
    stand.recorder(LogLines("worker big", ("up",)))
    assert [e for _, e in stand.recorded()] == [LogLines("master", (UNTOLD_LINES,)), LogLines("worker big", ("up",))]


def test_what_only_a_replay_says_is_not_recorded() -> None:
    stand = Stand()
    stand.recorder.begin(SESSION)
    stand.recorder(PlaybackMoved(1.0, 2.0, 1.0, True))
    assert stand.recorded() == []


def test_another_model_is_written_down() -> None:
    stand = Stand()
    stand.recorder.begin(SESSION)
    stand.clock.now += 1
    stand.recorder.begin(replace(SESSION, shape=None))
    ((t, found),) = stand.recorded()
    assert t == 1.0
    assert isinstance(found, Session)
    assert found.shape is None


def test_a_full_disk_ends_the_recording_with_one_notice() -> None:
    stand = Stand(Sink(room=2))
    stand.recorder.begin(SESSION)
    for number in range(5):
        stand.recorder(Notice(str(number)))
    assert stand.said.wait(10)
    stand.recorder.close()
    assert [n.text for n in stand.notices] == [
        "the recording has ended, what was written stays: No space left on device",
    ]
    assert not stand.recorder.recording
    assert stand.sink.closed
    assert len(read_recording([line.encode() for line in stand.sink.lines], "x").entries) == 1


def test_a_disk_that_stands_still_holds_nobody_up() -> None:
    stand = Stand()
    stand.sink.moves.clear()
    stand.recorder.begin(SESSION)
    for number in range(MAX_WAITING + 2):
        stand.recorder(Notice(str(number)))
    assert [n.text for n in stand.notices] == ["the recording has ended: its disk does not keep up"]
    assert not stand.recorder.recording
    stand.sink.moves.set()
    stand.recorder.close()


def test_what_was_written_is_flushed_before_the_end() -> None:
    stand = Stand()
    stand.recorder.begin(SESSION)
    stand.recorder(Notice("a"))
    stand.sink.wait(lambda: stand.sink.flushed == 2)
    stand.recorder.close()


def test_a_recording_ends_at_its_largest_size() -> None:
    stand = Stand(max_bytes=100_000)
    stand.recorder.begin(SESSION)
    for _ in range(100):
        stand.recorder(Notice("x" * 2000))
    assert stand.said.wait(10)
    stand.recorder.close()
    assert "largest size" in stand.notices[0].text
    assert sum(map(len, stand.sink.lines)) <= 100_000


def test_a_number_that_is_none_is_left_out() -> None:
    stand = Stand()
    stand.recorder.begin(SESSION)
    stand.recorder(ChatProgressed("a", "", 1, float("inf")))
    stand.recorder(Notice("after"))
    assert [e for _, e in stand.recorded()] == [Notice("after")]


def test_the_screens_backend_tells_of_sessions_and_keys() -> None:
    stand = Stand()
    other = shape(blocks=12)
    behind = StageBackend(SESSION, models={"other.gguf": other})
    backend = RecordedBackend(_WithKey(behind), stand.recorder)
    opened = backend.open()
    assert backend.engine is behind.engine
    assert opened.initial_plan is not None
    backend.request(opened, opened.initial_plan)
    stand.recorder(Notice("the key is sk-secret"))
    backend.with_model(opened, "other.gguf")
    backend.save(opened, opened.initial_plan)
    assert behind.saved == [opened.initial_plan]
    (_, notice), (_, session_) = stand.recorded()
    assert notice == Notice("the key is (hidden)")
    assert session_.shape.blocks == 12


class _WithKey(StageBackend):
    """Asks with an API key."""

    def __init__(self, other: StageBackend) -> None:
        super().__init__(other.session, other.engine, other.saved, other.models)

    def request(self, session: Session, plan: Plan, *, force: bool = False) -> Request:
        return replace(super().request(session, plan, force=force), api_key="sk-secret")
