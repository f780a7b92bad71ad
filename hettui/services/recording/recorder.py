"""Records what the engine says: a subscriber that writes on a thread of its own, so that no disk holds anybody up."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

from hettui import __version__
from hettui.domain.recording.format import MAX_BYTES, Header, LineWriter, without_keys
from hettui.domain.recording.private import LogVeil, Veil, speaks_of_prompts
from hettui.domain.session.session import Session
from hettui.ports import Clock, LineSink
from hettui.services.events import (
    ChatProgressed,
    ClusterChanged,
    Event,
    LogLines,
    Notice,
    Recorded,
    TelemetryUpdated,
)

KINDS: dict[str, type] = {kind.__name__: kind for kind in get_args(Recorded)}
CHANGING = (TelemetryUpdated, ClusterChanged)
"""Much of them stays as it was."""
FLUSH_S = 1.0
MAX_WAITING = 20_000
"""Events that wait for a disk that does not answer; then the recording ends."""
NOT_RECORDED = "·"
"""Stands for each piece of an answer."""
UNTOLD_LINES = "(the master's log is not recorded: with these extra-args it carries what was asked and answered)"


class Recorder:
    """`begin` with the session, then subscribe it to an engine. `close` returns when everything is written."""

    def __init__(
        self,
        sink: LineSink,
        clock: Clock,
        started: str,
        home: str,
        report: Callable[[Notice], None],
        max_bytes: int = MAX_BYTES,
    ) -> None:
        """`started`: the wall clock, ISO 8601 in UTC. `report` is called on the recorder's thread."""
        self._sink = sink
        self._clock = clock
        self._started = started
        self._start_s: float | None = None
        """The engine's clock at `begin`."""
        self._report = report
        self._left_bytes = max_bytes
        self._veil = Veil(home)
        self._logs: dict[str, LogVeil] = {}
        self._untold: str | None = None
        """The process of which no lines are recorded."""
        self._told = self._headed = False
        self._writer = LineWriter(KINDS.values(), CHANGING, self._veil)
        self._waiting: queue.Queue[tuple[float, Event | Session] | None] = queue.Queue(MAX_WAITING)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    @property
    def recording(self) -> bool:
        """False once the recording has ended, for whatever reason."""
        return not self._ended.is_set()

    def begin(self, session: Session) -> None:
        """The session that was opened, or the one that takes its place. Before the first one nothing is recorded."""
        if self._start_s is None:
            self._start_s = self._clock.monotonic()
        self._put(without_keys(session, self._veil))

    def hide(self, key: str | None) -> None:
        """A key that is about to be used."""
        self._veil.hide(key)

    def __call__(self, event: Event) -> None:
        self._put(event)

    def close(self) -> None:
        """Returns when everything is written; a disk that does not answer is not waited for."""
        if self._ended.is_set():
            return
        try:
            self._waiting.put(None, timeout=FLUSH_S)
        except queue.Full:
            return
        self._thread.join(timeout=5 * FLUSH_S)

    def _put(self, what: Event | Session) -> None:
        if self._ended.is_set() or self._start_s is None:
            return
        try:
            self._waiting.put_nowait((self._clock.monotonic() - self._start_s, what))
        except queue.Full:
            self._ended.set()
            self._report(Notice("the recording has ended: its disk does not keep up", "warning"))

    # -- on the recorder's thread --------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._write_all()
        except OSError as error:
            if not self._ended.is_set():
                why = error.strerror or str(error)
                self._report(Notice(f"the recording has ended, what was written stays: {why}", "warning"))
        finally:
            self._ended.set()
            self._sink.close()

    def _write_all(self) -> None:
        flushed_s = self._clock.monotonic()
        while not self._ended.is_set():
            try:
                found = self._waiting.get(timeout=FLUSH_S)
            except queue.Empty:
                self._sink.flush()
                continue
            if found is None:
                break
            line = self._line(*found)
            self._left_bytes -= len(line.encode("utf-8", "replace"))
            if self._left_bytes < 0:
                self._report(Notice("the recording has ended: it has reached its largest size", "warning"))
                break
            if line:
                self._sink.write(line)
            if (now_s := self._clock.monotonic()) - flushed_s >= FLUSH_S:
                self._sink.flush()
                flushed_s = now_s
        self._sink.flush()

    def _line(self, t: float, what: Event | Session) -> str:
        """Empty for what is not recorded."""
        if isinstance(what, Session):
            self._untold = "master" if speaks_of_prompts(what.config.serving.extra_args) else None
            if self._headed:
                return self._writer.session(t, what)
            self._headed = True
            return self._writer.header(Header(__version__, self._started, self._start_s or 0.0, what))
        event = self._without_words(what)
        if event is None:
            return ""
        try:
            return self._writer.event(t, event)
        except ValueError:
            # A number that is not finite where one is needed: there is nothing true to write.
            return ""

    def _without_words(self, event: Event) -> Event | None:
        """What was asked and answered stays here: pieces are counted, not quoted."""
        if type(event).__name__ not in KINDS:
            return None
        if isinstance(event, ChatProgressed):
            text, reasoning = (NOT_RECORDED if said else "" for said in (event.text, event.reasoning))
            return ChatProgressed(text, reasoning, event.tokens, event.elapsed_s)
        if isinstance(event, LogLines):
            lines = self._lines(event)
            return replace(event, lines=lines) if lines else None
        return event

    def _lines(self, event: LogLines) -> tuple[str, ...]:
        if event.process == self._untold:
            told, self._told = self._told, True
            return () if told else (UNTOLD_LINES,)
        return self._logs.setdefault(event.process, LogVeil())(event.lines)
