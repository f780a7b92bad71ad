"""One child process as data: its specification, its states, and which state may follow which."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

Role = Literal["worker", "master"]


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """Everything needed to start one process. `argv` is a tuple of strings, never a shell line."""

    name: str
    """Unique within the cluster: `master`, or `worker-` and the device's name."""
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
    EXITED = "exited"
    """Ended without being asked to, or never became ready."""


_NEXT: Mapping[ProcessState, frozenset[ProcessState]] = {
    ProcessState.STOPPED: frozenset({ProcessState.STARTING}),
    ProcessState.STARTING: frozenset({ProcessState.READY, ProcessState.STOPPING, ProcessState.EXITED}),
    ProcessState.READY: frozenset({ProcessState.STOPPING, ProcessState.EXITED}),
    ProcessState.STOPPING: frozenset({ProcessState.STOPPED}),
    ProcessState.EXITED: frozenset({ProcessState.STARTING, ProcessState.STOPPED}),
}


def advance(now: ProcessState, to: ProcessState) -> ProcessState:
    """`to`, if it may follow `now`. Raises ValueError otherwise: that is a bug of ours, not a fault of the world."""
    if to not in _NEXT[now]:
        raise ValueError(f"a process cannot go from {now.value} to {to.value}")
    return to


def exit_in_words(returncode: int) -> str:
    """`exit code 1`, `killed by SIGKILL`, … for a returncode as Python gives it."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"
    meaning = {
        "SIGILL": "an instruction that this CPU does not have",
        "SIGSEGV": "a crash inside llama.cpp",
        "SIGABRT": "llama.cpp gave up",
        "SIGKILL": "from outside, perhaps for lack of memory",
        "SIGPIPE": "its client vanished while it was answering",
    }.get(name)
    return f"killed by {name}" + (f" ({meaning})" if meaning else "")
