"""The replay engine on its own thread: what the controls cause comes in order, and nothing can be changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hettui.domain.cluster.snapshot import ClusterSnapshot, ClusterState
from hettui.domain.errors import HettuiError
from hettui.services.events import (
    ClusterChanged,
    Event,
    LogLines,
    Notice,
    PlaybackMoved,
    Rewound,
    TelemetryUpdated,
)
from hettui.services.recording.replay import ReplayEngine, read_recording
from tests.patience import patience
from tests.recordings import Entry, lines
from tests.ui.stage import readings, session

SESSION = session()
ENTRIES: list[Entry] = [
    (0.01, ClusterChanged(ClusterSnapshot(ClusterState.READY))),
    *((0.02 * n, readings(SESSION.devices, n)) for n in range(1, 20)),
    (600.0, LogLines("master", ("the end",))),
]


class SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()


class Watcher:
    """Keeps every event; a test waits until they say something."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._more = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._more:
            self.events.append(event)
            self._more.notify()

    def wait(self, condition: Callable[[list[Event]], Any]) -> None:
        with self._more:
            assert self._more.wait_for(lambda: condition(self.events), timeout=patience(10)), self.events


@pytest.fixture
def opened() -> Iterator[tuple[ReplayEngine, Watcher]]:
    written = lines(SESSION, ENTRIES)
    with ReplayEngine(read_recording([*written, b'{"t":601'], "x"), SystemClock()) as engine:
        watcher = Watcher()
        engine.subscribe(watcher)
        yield engine, watcher


def moved(events: list[Event]) -> PlaybackMoved:
    return [e for e in events if isinstance(e, PlaybackMoved)][-1]


def test_it_begins_when_somebody_looks(opened: tuple[ReplayEngine, Watcher]) -> None:
    engine, watcher = opened
    assert watcher.events == []
    assert engine.snapshot.state.value == "stopped"
    engine.watch(SESSION.devices)
    watcher.wait(lambda events: len([e for e in events if isinstance(e, TelemetryUpdated)]) == 19)
    assert isinstance(watcher.events[0], Notice), "the cut-off end is said"
    assert isinstance(watcher.events[1], Rewound)
    assert engine.snapshot.state is ClusterState.READY
    assert moved(watcher.events).playing
    before = len(watcher.events)
    engine.watch(SESSION.devices)
    engine.seek(0.0)
    watcher.wait(lambda events: len(events) > before)
    assert isinstance(watcher.events[before], Rewound), "watching again does not start again"


def test_the_controls_are_told_in_order(opened: tuple[ReplayEngine, Watcher]) -> None:
    engine, watcher = opened
    engine.watch(SESSION.devices)
    engine.toggle()
    watcher.wait(lambda events: events and isinstance(events[-1], PlaybackMoved) and not events[-1].playing)
    engine.change_speed(2)
    engine.seek(300.0)
    watcher.wait(lambda events: moved(events).position_s >= 300.0)
    assert moved(watcher.events).speed == 4.0
    engine.go(1e9)
    watcher.wait(lambda events: moved(events).position_s == 600.0)
    last = [e for e in watcher.events if isinstance(e, Rewound)][-1]
    assert last.events[-1] == LogLines("master", ("the end",))
    assert engine.moved == PlaybackMoved(600.0, 600.0, 4.0, False)


def test_nothing_can_be_started_stopped_or_asked(opened: tuple[ReplayEngine, Watcher]) -> None:
    engine, _ = opened
    for future in (engine.stop(), engine.chat([]), engine.cancel_chat()):
        with pytest.raises(HettuiError, match="this is a recording of SmolLM2 135M Q4_1, 2026-03-01 12:00 UTC"):
            future.result(timeout=patience(1))


def test_who_has_left_hears_nothing(opened: tuple[ReplayEngine, Watcher]) -> None:
    engine, watcher = opened
    other = Watcher()
    engine.subscribe(other)
    engine.unsubscribe(watcher)
    engine.unsubscribe(watcher)
    engine.watch(SESSION.devices)
    other.wait(lambda events: any(isinstance(e, TelemetryUpdated) for e in events))
    assert watcher.events == []
