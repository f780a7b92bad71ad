"""A recording as time passes: what is known at a moment, and what happens next. No thread, and no clock of its own."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from hettui.domain.cluster.snapshot import ClusterSnapshot
from hettui.domain.recording.format import Recording
from hettui.domain.session.session import Session
from hettui.services.events import (
    ChatEnded,
    ChatProgressed,
    ClusterChanged,
    Event,
    LogLines,
    Notice,
    PlaybackMoved,
    Recorded,
    Rewound,
    TelemetryUpdated,
)

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
REMEMBERED_S = 240.0
"""Readings before a moment that a screen is given with it: twice what its gauges show."""
REMEMBERED_LINES = 1000
REMEMBERED_ANSWERS = 20

_NORMAL = SPEEDS.index(1.0)


class Playback:
    """Every `now_s` is the caller's monotonic clock."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.length_s = recording.length_s
        self.playing = False
        self._times = [t for t, _ in recording.entries]
        self._next = 0
        """The first entry that has not happened yet."""
        self._speed = _NORMAL
        self._from_s = 0.0
        self._since_s = 0.0
        """At this time of the caller's clock the position was `_from_s`."""

    @property
    def speed(self) -> float:
        return SPEEDS[self._speed]

    def position_s(self, now_s: float) -> float:
        if not self.playing:
            return self._from_s
        return min(self.length_s, self._from_s + max(0.0, now_s - self._since_s) * self.speed)

    def seen(self, now_s: float) -> PlaybackMoved:
        """In whole seconds: it changes only when what is shown changes."""
        return PlaybackMoved(float(int(self.position_s(now_s))), self.length_s, self.speed, self.playing)

    # -- the controls --------------------------------------------------------------------------------------

    def toggle(self, now_s: float) -> Rewound | None:
        """Pauses or goes on; at the end it starts again, which is a jump."""
        here_s = self.position_s(now_s)
        self._hold(now_s)
        if not self.playing and here_s >= self.length_s:
            self.playing = self.length_s > 0
            return self.go(0.0, now_s)
        self.playing = not self.playing
        return None

    def change_speed(self, steps: int, now_s: float) -> None:
        self._hold(now_s)
        self._speed = min(max(self._speed + steps, 0), len(SPEEDS) - 1)

    def go(self, to_s: float, now_s: float) -> Rewound:
        """Jumps. What lies exactly at that moment has happened then."""
        self._from_s, self._since_s = min(max(0.0, to_s), self.length_s), now_s
        if self._from_s >= self.length_s:
            self.playing = False
        self._next = bisect_right(self._times, self._from_s)
        return self._moment()

    def _hold(self, now_s: float) -> None:
        self._from_s, self._since_s = self.position_s(now_s), now_s

    # -- what happens --------------------------------------------------------------------------------------

    def due(self, now_s: float) -> list[Event]:
        """What has happened since the last call. At the end it stops and stays there."""
        here_s = self.position_s(now_s)
        happened: list[Event] = []
        while self._next < len(self._times) and self._times[self._next] <= here_s:
            entry = self.recording.entries[self._next][1]
            self._next += 1
            # Another session is another screen: everything on it is told anew.
            if isinstance(entry, Session):
                happened = [self._moment()]
            else:
                happened.append(entry)
        if here_s >= self.length_s:
            self._hold(now_s)
            self.playing = False
        return happened

    def wait_s(self, now_s: float) -> float | None:
        """Until something happens or the shown second changes; None while nothing will."""
        if not self.playing:
            return None
        here_s = self.position_s(now_s)
        following = float(int(here_s) + 1)
        if self._next < len(self._times):
            following = min(following, self._times[self._next])
        return max(0.0, min(following, self.length_s) - here_s) / self.speed

    # -- what is known -------------------------------------------------------------------------------------

    @property
    def session(self) -> Session:
        """The one that is open now; a replay is no demo, whatever was recorded."""
        found = next((e for _, e in self._back() if isinstance(e, Session)), self.recording.header.session)
        return replace(found, demo=False)

    @property
    def snapshot(self) -> ClusterSnapshot:
        found = next((e for _, e in self._back() if isinstance(e, ClusterChanged)), None)
        return ClusterSnapshot() if found is None else found.snapshot

    def _back(self) -> Iterator[tuple[float, Any]]:
        return (self.recording.entries[i] for i in range(self._next - 1, -1, -1))

    def _moment(self) -> Rewound:
        """Goes back through the entries and takes what a screen would still hold of them. Every entry is whole."""
        known: list[Recorded] = []
        latest: set[type] = set()
        here_s = max(self._from_s, self._times[self._next - 1] if self._next else 0.0)
        lines_left, answers = REMEMBERED_LINES, 0
        for t, entry in self._back():
            if isinstance(entry, Session | Notice):
                continue
            event: Recorded = entry
            if isinstance(event, LogLines):
                event = replace(event, lines=event.lines[-lines_left:] if lines_left else ())
                lines_left -= len(event.lines)
                wanted = bool(event.lines)
            elif isinstance(event, TelemetryUpdated):
                wanted = t >= here_s - REMEMBERED_S or TelemetryUpdated not in latest
            elif isinstance(event, ChatProgressed | ChatEnded):
                answers += isinstance(event, ChatEnded)
                wanted = answers <= REMEMBERED_ANSWERS
            else:
                # Of every other kind the last one says how things are.
                wanted = type(event) not in latest
            latest.add(type(event))
            if wanted:
                known.append(event)
        if ClusterChanged not in latest:
            known.append(ClusterChanged(ClusterSnapshot()))
        return Rewound(self.session, tuple(_condensed(reversed(known))))


def _condensed(events: Iterable[Recorded]) -> Iterator[Recorded]:
    """The pieces of an answer as one."""
    piece: ChatProgressed | None = None
    for event in events:
        if isinstance(event, ChatProgressed):
            if piece is not None:
                text, reasoning = piece.text + event.text, piece.reasoning + event.reasoning
                event = ChatProgressed(text, reasoning, event.tokens, event.elapsed_s)
            piece = event
            continue
        if piece is not None and isinstance(event, ChatEnded):
            yield piece
            piece = None
        yield event
    if piece is not None:
        yield piece
