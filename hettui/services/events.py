"""The only things that leave the engine. All frozen; text in them is already clean."""

from __future__ import annotations

from hettui.domain.bench.run import BenchOutcome, BenchProgress
from hettui.domain.chat.figures import ClientClock
from hettui.domain.chat.parallel import ParallelRow
from hettui.domain.chat.wire import Timings
from hettui.domain.cluster.snapshot import ClusterSnapshot
from hettui.domain.records import dataclass
from hettui.domain.session.session import Session
from hettui.domain.slots.keeping import Held
from hettui.domain.slots.request import Request
from hettui.domain.slots.terms import Terms
from hettui.domain.telemetry.alerts import Alert as Alert
from hettui.domain.telemetry.alerts import Severity as Severity
from hettui.domain.telemetry.readings import TelemetrySnapshot
from hettui.domain.tuning.report import TuneOutcome, TuneProgress


@dataclass(frozen=True, slots=True)
class ClusterChanged:
    """The cluster's state, its processes or its load progress changed."""

    snapshot: ClusterSnapshot


@dataclass(frozen=True, slots=True)
class LogLines:
    """New lines of one process."""

    process: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TelemetryUpdated:
    """A new round of readings."""

    snapshot: TelemetrySnapshot


@dataclass(frozen=True, slots=True)
class ChatProgressed:
    """More of the running answer."""

    text: str
    reasoning: str
    tokens: int
    """Pieces received so far: one per token with llama-server."""
    elapsed_s: float
    """Since the first piece."""


@dataclass(frozen=True, slots=True)
class ChatEnded:
    """The answer is complete, was stopped, or was cut off."""

    timings: Timings | None
    problem: str | None = None
    """Why it was cut off; None for a complete answer."""
    cancelled: bool = False
    clock: ClientClock | None = None
    """The answer as it arrived here; None when nothing did."""
    at_limit: bool = False
    """It ended because its limit of tokens, or the context, was reached."""
    context_tokens: int | None = None
    """What one slot's context holds."""


@dataclass(frozen=True, slots=True)
class ChatWaiting:
    """Nothing has come yet, and why: the queue, the prompt that is being read, a connection made anew."""

    text: str


@dataclass(frozen=True, slots=True)
class ParallelChanged:
    """How far the copies of one prompt are that are answered at once."""

    rows: tuple[ParallelRow, ...]
    done: bool
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class BenchChanged:
    """How far the bench is."""

    progress: BenchProgress


@dataclass(frozen=True, slots=True)
class BenchEnded:
    """The bench is over, complete or not."""

    outcome: BenchOutcome


@dataclass(frozen=True, slots=True)
class SlotsChanged:
    """What the slots hold, and what requests did; nothing of what was said in them."""

    requests: tuple[Request, ...]
    """The oldest first, those that run last."""
    held: tuple[Held, ...]
    saved: tuple[Held, ...]
    """On disk."""
    terms: Terms | None = None
    free_bytes: int | None = None
    """On that disk."""
    bytes_per_s: float | None = None
    """With which slots were saved last."""


@dataclass(frozen=True, slots=True)
class TuneChanged:
    """How far the search for the best split is."""

    progress: TuneProgress


@dataclass(frozen=True, slots=True)
class TuneEnded:
    """The search is over, complete or not."""

    outcome: TuneOutcome


@dataclass(frozen=True, slots=True)
class Notice:
    """One sentence for the user."""

    text: str
    severity: Severity = "information"


@dataclass(frozen=True, slots=True)
class OwnerLeft:
    """Who owned the cluster that is shown here has gone: it can be taken over. Told once."""

    runs: bool
    """It was left running."""


Recorded = ClusterChanged | LogLines | TelemetryUpdated | ChatProgressed | ChatEnded | Notice | Alert
"""What a recording keeps. Whoever adds an event here decides what of it is private: see
services/recording/recorder.py."""


@dataclass(frozen=True, slots=True)
class PlaybackMoved:
    """Where a recording is played. Comes when what one can see of it changes."""

    position_s: float
    length_s: float
    speed: float
    playing: bool


@dataclass(frozen=True, slots=True, eq=False)
class Rewound:
    """A recording goes on at another moment: what a screen has gathered is void.

    `events` lead to what is known at that moment, oldest first: the cluster, the readings of the last minutes, the
    last lines of the logs, the last answers. Notices are not among them: they were said when they happened.
    """

    session: Session
    events: tuple[Recorded, ...]


Event = (
    Recorded
    | SlotsChanged
    | ChatWaiting
    | ParallelChanged
    | BenchChanged
    | BenchEnded
    | TuneChanged
    | TuneEnded
    | PlaybackMoved
    | Rewound
    | OwnerLeft
)
