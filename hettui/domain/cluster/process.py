"""One child process as data: its specification, its states, and what each event makes of it.

`transition` is the whole of a process's life: pure, and an answer for every state and every event. Whoever runs the
process feeds it events and does what the actions say.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import field, replace
from enum import Enum
from typing import Literal

from hettui.domain.records import dataclass

Role = Literal["worker", "master", "door"]


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """Everything needed to start one process. `argv` is a tuple of strings, never a shell line."""

    name: str
    """Unique within the cluster: `master`, `front door`, or `worker` and the device's name."""
    role: Role
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the inherited environment, from which `LLAMA_ARG_*` has been removed."""
    host: str = "local"
    device: str | None = None
    """The device that a worker lends."""
    address: tuple[str, int] = ("127.0.0.1", 0)
    """Where it listens: the RPC endpoint, or the HTTP API."""


class ProcessState(Enum):
    """Where one child is in its life."""

    STOPPED = "stopped"
    STARTING = "starting"
    """Started, not yet answering."""
    READY = "ready"
    """The RPC handshake answered, respectively /health was 200."""
    STOPPING = "stopping"
    BACKOFF = "waiting"
    """Ended without being asked to; it will be started again when its pause is over."""
    FAILED = "failed"
    """Ended without being asked to, and stays so until somebody asks."""

    @property
    def alive(self) -> bool:
        """There is a process that is meant to go on."""
        return self in (ProcessState.STARTING, ProcessState.READY)


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When a process that ended is started again by itself.

    Off by default: llama.cpp mostly dies of something that the next start meets again, and each start loads the
    whole model. Whoever leaves a cluster alone for the night sets `[supervision] restarts`.
    """

    limit: int = 0
    """Restarts within the window; one more end is FAILED."""
    window_s: float = 600.0
    first_pause_s: float = 2.0
    longest_pause_s: float = 60.0
    """Pauses double from the first one on up to this."""

    def pause_s(self, restarts: int) -> float:
        """Before the next start, when so many lie within the window."""
        return float(min(self.longest_pause_s, self.first_pause_s * 2 ** min(restarts, 32)))


@dataclass(frozen=True, slots=True)
class Life:
    """A process's state, and what of its past decides about its future. Times are a monotonic clock's seconds."""

    state: ProcessState = ProcessState.STOPPED
    restarts: tuple[float, ...] = ()
    """When it ended and was given another chance, within the window."""
    resume_at_s: float | None = None
    """BACKOFF only."""
    reason: str = ""
    """BACKOFF and FAILED: why it ended."""


@dataclass(frozen=True, slots=True)
class Start:
    """Somebody wants it to run: what happened before is forgiven."""


@dataclass(frozen=True, slots=True)
class Answered:
    """Its probe says ready."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The process is gone."""

    reason: str = "it ended"
    hopeless: bool = False
    """The next start would meet the same: never restarted."""


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Somebody wants it to end."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


ProcessEvent = Start | Answered | Ended | StopAsked | Tick


class Action(Enum):
    """What the one who runs the process has to do."""

    LAUNCH = "launch"
    TERMINATE = "terminate"


_NEXT: Mapping[ProcessState, frozenset[ProcessState]] = {
    ProcessState.STOPPED: frozenset({ProcessState.STARTING}),
    ProcessState.STARTING: frozenset(
        {ProcessState.READY, ProcessState.STOPPING, ProcessState.BACKOFF, ProcessState.FAILED}
    ),
    ProcessState.READY: frozenset({ProcessState.STOPPING, ProcessState.BACKOFF, ProcessState.FAILED}),
    ProcessState.STOPPING: frozenset({ProcessState.STOPPED}),
    ProcessState.BACKOFF: frozenset({ProcessState.STARTING, ProcessState.STOPPED}),
    ProcessState.FAILED: frozenset({ProcessState.STARTING, ProcessState.STOPPED}),
}


def advance(now: ProcessState, to: ProcessState) -> ProcessState:
    """`to`, if it may follow `now`. Raises ValueError otherwise: that is a bug of ours, not a fault of the world."""
    if to not in _NEXT[now]:
        raise ValueError(f"a process cannot go from {now.value} to {to.value}")
    return to


def transition(life: Life, event: ProcessEvent, now_s: float, policy: RestartPolicy) -> tuple[Life, tuple[Action, ...]]:
    """The life after the event, and what to do. An event that means nothing in this state changes nothing."""
    match event, life.state:
        case Start(), ProcessState.STOPPED | ProcessState.BACKOFF | ProcessState.FAILED:
            return _to(Life(life.state), ProcessState.STARTING), (Action.LAUNCH,)
        case Tick(), ProcessState.BACKOFF if life.resume_at_s is None or now_s >= life.resume_at_s:
            return _to(replace(life, resume_at_s=None, reason=""), ProcessState.STARTING), (Action.LAUNCH,)
        case Answered(), ProcessState.STARTING:
            return _to(life, ProcessState.READY), ()
        case Ended(), ProcessState.STARTING | ProcessState.READY:
            return _ended(life, event, now_s, policy), ()
        case Ended(), ProcessState.STOPPING:
            return Life(advance(life.state, ProcessState.STOPPED)), ()
        case StopAsked(), ProcessState.STARTING | ProcessState.READY:
            return _to(life, ProcessState.STOPPING), (Action.TERMINATE,)
        case StopAsked(), ProcessState.STOPPING:
            return life, (Action.TERMINATE,)
        case StopAsked(), ProcessState.BACKOFF | ProcessState.FAILED:
            return Life(advance(life.state, ProcessState.STOPPED)), ()
    return life, ()


def _ended(life: Life, event: Ended, now_s: float, policy: RestartPolicy) -> Life:
    recent = tuple(t for t in life.restarts if 0 <= now_s - t < policy.window_s)
    reason = event.reason or "it ended"
    if event.hopeless or len(recent) >= policy.limit:
        if recent:
            reason += f"; it had been started again {len(recent)} times within {policy.window_s:.0f} s"
        return _to(Life(life.state, reason=reason), ProcessState.FAILED)
    resume_at_s = now_s + policy.pause_s(len(recent))
    return _to(Life(life.state, (*recent, now_s), resume_at_s, reason), ProcessState.BACKOFF)


def _to(life: Life, state: ProcessState) -> Life:
    return replace(life, state=advance(life.state, state))


_MEANING = {
    "SIGILL": "an instruction that this CPU does not have",
    "SIGSEGV": "a crash inside llama.cpp",
    "SIGABRT": "llama.cpp gave up",
    "SIGKILL": "from outside, perhaps for lack of memory",
    "SIGTERM": "asked to end by somebody else",
    "SIGPIPE": "its client vanished while it was answering",
    "SIGXFSZ": "a file grew over its limit",
    "SIGBUS": "a mapped file was cut while it was read",
}


def exit_in_words(returncode: int | None) -> str:
    """`exit code 1`, `killed by SIGKILL`, … for a returncode as Python gives it; None is not known."""
    if returncode is None:
        return "its exit code is not known, an earlier hettui had started it"
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"
    meaning = _MEANING.get(name)
    return f"killed by {name}" + (f" ({meaning})" if meaning else "")
