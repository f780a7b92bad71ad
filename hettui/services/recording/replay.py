"""Plays a recording as if it were an engine: the same events at the same distances, on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Protocol

from hettui.domain.bench.run import BenchPlan
from hettui.domain.chat.wire import ChatTurn
from hettui.domain.cluster.snapshot import ClusterSnapshot
from hettui.domain.devices.device import Device
from hettui.domain.errors import HettuiError
from hettui.domain.recording.format import Recording, read
from hettui.domain.recording.plausible import applied_problem, session_problem, telemetry_problem
from hettui.domain.session.session import Session
from hettui.ports import Clock
from hettui.services.cluster.world import Request
from hettui.services.events import ClusterChanged, Event, Notice, PlaybackMoved, Rewound, TelemetryUpdated
from hettui.services.recording.playback import Playback
from hettui.services.recording.recorder import KINDS
from hettui.services.tuning import TuneJob


class Player(Protocol):
    """The controls of a recording. Every method returns at once; what it does comes as events."""

    @property
    def refusal(self) -> str:
        """Why nothing can be started, stopped or asked, as a sentence."""

    @property
    def moved(self) -> PlaybackMoved:
        """Where it is now."""

    def toggle(self) -> None:
        """Pauses or goes on; at the end it begins again."""

    def seek(self, by_s: float) -> None: ...

    def go(self, to_s: float) -> None:
        """Beyond the end is the end."""

    def change_speed(self, steps: int) -> None:
        """Up or down in `playback.SPEEDS`."""


def read_recording(lines: Iterable[bytes], source: str) -> Recording:
    """Raises RecordingError with `source`, line and what is wrong."""
    return read(lines, source, KINDS, what_is_wrong)


def what_is_wrong(session: Session, found: object) -> str | None:
    """What no recorded screen can have shown beside this session; None when nothing is wrong."""
    names = sorted(d.name for d in session.devices)
    if isinstance(found, Session):
        if sorted(d.name for d in found.devices) != names:
            return "the devices are others than in the first line"
        return session_problem(found)
    if isinstance(found, TelemetryUpdated):
        return telemetry_problem(found.snapshot)
    if isinstance(found, ClusterChanged) and found.snapshot.applied is not None:
        return applied_problem(names, found.snapshot.applied)
    return None


class ReplayEngine:
    """Implements EngineFacade and Player. Plays from the moment that a screen watches; use it with `with`."""

    def __init__(self, recording: Recording, clock: Clock) -> None:
        self._recording = recording
        self._clock = clock
        self._playback = Playback(recording)
        self._subscribers: list[Callable[[Event], None]] = []
        self._changed = threading.Condition()
        """Guards everything here; notified when a control was used."""
        self._out: list[Event] = []
        """What the controls caused, to be told by the thread: one teller keeps the order."""
        self._told: PlaybackMoved | None = None
        self._watched = self._closed = False
        self._thread = threading.Thread(target=self._run, name="replay", daemon=True)

    def __enter__(self) -> ReplayEngine:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self, *, leave: bool = False) -> None:
        """Nothing runs here: `leave` is what an engine would be told."""
        with self._changed:
            self._closed = True
            self._subscribers.clear()
            self._changed.notify()
        self._thread.join()

    @property
    def session(self) -> Session:
        """The one at the present moment."""
        with self._changed:
            return self._playback.session

    # -- EngineFacade --------------------------------------------------------------------------------------

    @property
    def snapshot(self) -> ClusterSnapshot:
        with self._changed:
            return self._playback.snapshot

    def subscribe(self, callback: Callable[[Event], None]) -> None:
        """`callback` is called on the replay's thread and must return at once."""
        with self._changed:
            self._subscribers.append(callback)

    def unsubscribe(self, callback: Callable[[Event], None]) -> None:
        with self._changed:
            if callback in self._subscribers:
                self._subscribers.remove(callback)

    def watch(self, devices: tuple[Device, ...]) -> None:
        """There is a screen: from now on time passes."""
        with self._changed:
            if self._watched:
                return
            self._watched = True
            now_s = self._clock.monotonic()
            if self._recording.notice:
                self._out.append(Notice(self._recording.notice, "warning"))
            self._out.append(self._playback.go(0.0, now_s))
            self._playback.toggle(now_s)
            self._changed.notify()

    def sample_every(self, interval_s: float) -> None:
        """The readings are as far apart as they were."""

    def start(self, request: Request) -> Future[None]:
        return self._refused()

    def stop(self, patience_s: float = 0.0) -> Future[None]:
        return self._refused()

    def busy(self) -> Future[int]:
        nobody: Future[int] = Future()
        nobody.set_result(0)
        return nobody

    def chat(self, turns: Sequence[ChatTurn], options: dict[str, object] | None = None) -> Future[None]:
        return self._refused()

    def complete(self, prompt: str, options: dict[str, object] | None = None) -> Future[None]:
        return self._refused()

    def parallel(self, prompt: str, streams: int | None, options: dict[str, object]) -> Future[None]:
        return self._refused()

    def bench(self, plan: BenchPlan) -> Future[None]:
        return self._refused()

    def cancel_bench(self) -> Future[None]:
        return self._refused()

    def tune(self, job: TuneJob) -> Future[None]:
        return self._refused()

    def cancel_tune(self) -> Future[None]:
        return self._refused()

    def cancel_chat(self) -> Future[None]:
        return self._refused()

    def _refused(self) -> Future[None]:
        future: Future[None] = Future()
        future.set_exception(HettuiError(self.refusal))
        return future

    # -- Player --------------------------------------------------------------------------------------------

    @property
    def refusal(self) -> str:
        return f"this is {self._recording.title}: what it shows is over, nothing can be started, stopped or asked"

    @property
    def moved(self) -> PlaybackMoved:
        with self._changed:
            return self._playback.seen(self._clock.monotonic())

    def toggle(self) -> None:
        self._control(lambda playback, now_s: playback.toggle(now_s))

    def seek(self, by_s: float) -> None:
        self._control(lambda playback, now_s: playback.go(playback.position_s(now_s) + by_s, now_s))

    def go(self, to_s: float) -> None:
        self._control(lambda playback, now_s: playback.go(to_s, now_s))

    def change_speed(self, steps: int) -> None:
        self._control(lambda playback, now_s: playback.change_speed(steps, now_s))

    def _control(self, act: Callable[[Playback, float], Rewound | None]) -> None:
        with self._changed:
            now_s = self._clock.monotonic()
            # What has happened up to now has happened, whatever the control does.
            self._out += self._playback.due(now_s)
            jumped = act(self._playback, now_s)
            if jumped is not None:
                self._out = [*(e for e in self._out if isinstance(e, Notice)), jumped]
            self._changed.notify()

    # -- the thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                events = self._take()
                told = tuple(self._subscribers)
                if not events:
                    self._changed.wait(self._playback.wait_s(self._clock.monotonic()))
            for event in events:
                for callback in told:
                    callback(event)

    def _take(self) -> list[Event]:
        now_s = self._clock.monotonic()
        events, self._out = self._out + self._playback.due(now_s), []
        seen = self._playback.seen(now_s)
        if self._watched and seen != self._told:
            self._told = seen
            events.append(seen)
        return events
