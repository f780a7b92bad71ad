"""Recordings made in tests: sessions and events as lines, and read again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hettui.domain.recording.format import Header, LineWriter, Recording, without_keys
from hettui.domain.recording.private import Veil
from hettui.domain.session.session import Session
from hettui.services.events import Recorded
from hettui.services.recording.recorder import CHANGING, KINDS
from hettui.services.recording.replay import read_recording

START_S = 1000.0
STARTED = "2026-03-01T12:00:00Z"
HOME = "/home/me"

Entry = tuple[float, Recorded | Session]


def lines(session: Session, entries: Sequence[Entry], home: str = HOME) -> list[bytes]:
    """The lines that a recorder would write."""
    veil = Veil(home)
    writer = LineWriter(KINDS.values(), CHANGING, veil)
    written = [writer.header(Header("0.1.0", STARTED, START_S, without_keys(session, veil)))]
    for t, entry in entries:
        written.append(writer.session(t, entry) if isinstance(entry, Session) else writer.event(t, entry))
    return [line.encode() for line in written]


def recording(session: Session, entries: Sequence[Entry]) -> Recording:
    return read_recording(lines(session, entries), "test.jsonl")


def edited(line: bytes, *path: str | int, value: Any) -> bytes:
    """The line with another value at that place."""
    data = json.loads(line)
    place = data
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
