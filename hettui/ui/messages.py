"""The engine's events as Textual messages. Where only the newest counts, a newer one replaces an older one."""

from __future__ import annotations

from textual.message import Message

from hettui.domain.cluster.snapshot import ClusterSnapshot
from hettui.domain.session.session import Session
from hettui.domain.telemetry.readings import TelemetrySnapshot
from hettui.services.events import (
    BenchChanged,
    BenchEnded,
    ChatEnded,
    ChatProgressed,
    ChatWaiting,
    ParallelChanged,
    PlaybackMoved,
    Rewound,
    Severity,
    SlotsChanged,
    TuneChanged,
    TuneEnded,
)


class ClusterArrived(Message):
    """The cluster changed."""

    def __init__(self, snapshot: ClusterSnapshot) -> None:
        super().__init__()
        self.snapshot = snapshot

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, ClusterArrived)


class TelemetryArrived(Message):
    """New readings."""

    def __init__(self, snapshot: TelemetrySnapshot) -> None:
        super().__init__()
        self.snapshot = snapshot

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, TelemetryArrived)


class LogsArrived(Message):
    """New lines of one process."""

    def __init__(self, process: str, lines: tuple[str, ...]) -> None:
        super().__init__()
        self.process = process
        self.lines = lines


class ChatArrived(Message):
    """More of an answer, why none comes, its end, or the parallel test."""

    def __init__(self, event: ChatProgressed | ChatEnded | ChatWaiting | ParallelChanged) -> None:
        super().__init__()
        self.event = event


class SlotsArrived(Message):
    """What the slots hold, and what requests did."""

    def __init__(self, slots: SlotsChanged) -> None:
        super().__init__()
        self.slots = slots

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, SlotsArrived)


class BenchArrived(Message):
    """How far the bench is, or its end."""

    def __init__(self, event: BenchChanged | BenchEnded) -> None:
        super().__init__()
        self.event = event


class TuneArrived(Message):
    """How far the search for the best split is, or its end."""

    def __init__(self, event: TuneChanged | TuneEnded) -> None:
        super().__init__()
        self.event = event


class OwnerGone(Message):
    """Who owned the cluster that is shown here has left."""

    def __init__(self, runs: bool) -> None:
        super().__init__()
        self.runs = runs


class NoticeArrived(Message):
    """A sentence for the user; `alert`: of the kind that may ring the bell."""

    def __init__(self, text: str, severity: Severity = "information", *, alert: bool = False) -> None:
        super().__init__()
        self.text = text
        self.severity = severity
        self.alert = alert


class PlaybackArrived(Message):
    """A recording is played on, paused, or at another speed."""

    def __init__(self, moved: PlaybackMoved) -> None:
        super().__init__()
        self.moved = moved

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, PlaybackArrived)


class RewoundArrived(Message):
    """A recording goes on at another moment."""

    def __init__(self, rewound: Rewound) -> None:
        super().__init__()
        self.rewound = rewound

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, RewoundArrived)


class DevicesChanged(Message):
    """Other machines were taken into a session that has no configuration yet."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
