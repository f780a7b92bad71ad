"""Starts a cluster, asks it one question, stops it: the proof that a plan works, without a screen."""

from __future__ import annotations

import threading

from hettui.domain.chat.wire import ChatTurn, Timings
from hettui.domain.cluster.snapshot import Applied
from hettui.domain.errors import LaunchError, ServerError
from hettui.domain.records import dataclass
from hettui.domain.telemetry.readings import TelemetrySnapshot
from hettui.services.cluster.world import Request
from hettui.services.engine import Engine
from hettui.services.events import ChatEnded, ChatProgressed, Event, TelemetryUpdated

QUESTION = "Name three colours of the rainbow."
MAX_TOKENS = 48


@dataclass(frozen=True, slots=True)
class SmokeResult:
    """What one start and one answer showed."""

    applied: Applied
    answer: str
    timings: Timings | None
    telemetry: TelemetrySnapshot | None
    """The last readings while the cluster ran."""
    load_s: float


class _Listener:
    """Collects one answer and the readings that follow it."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.sampled = threading.Event()
        self.end: ChatEnded | None = None
        self.text = ""
        self.telemetry: TelemetrySnapshot | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, ChatProgressed):
            self.text += event.text
        elif isinstance(event, ChatEnded):
            self.end = event
            self.ended.set()
        elif isinstance(event, TelemetryUpdated) and self.ended.is_set():
            self.telemetry = event.snapshot
            self.sampled.set()


def run(engine: Engine, request: Request, *, sample_wait_s: float = 3.0) -> SmokeResult:
    """Blocks until the cluster is down again. Raises the reason when anything on the way fails."""
    engine.watch(request.cluster.devices)
    listener = _Listener()
    engine.subscribe(listener)
    started = engine.now()
    try:
        engine.start(request).result()
        load_s = engine.now() - started
        options: dict[str, object] = {"max_tokens": MAX_TOKENS, "temperature": 0.0}
        engine.chat([ChatTurn("user", QUESTION)], options).result()
        listener.ended.wait()
        end = listener.end
        if end is None or end.problem:
            raise ServerError(end.problem if end and end.problem else "no answer came")
        # Readings with the buffers in use; a machine without sensors answers as well, with nothing.
        listener.sampled.wait(sample_wait_s)
        applied = engine.snapshot.applied
        if applied is None:
            raise LaunchError(engine.snapshot.problem or "the cluster went down while it was asked")
        return SmokeResult(applied, listener.text, end.timings, listener.telemetry, load_s)
    finally:
        engine.unsubscribe(listener)
        engine.stop().result()
