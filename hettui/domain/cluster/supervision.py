"""How patient and how stubborn the supervisor is, and what hettui's own end means for the cluster."""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from hettui.domain.cluster.process import RestartPolicy
from hettui.domain.records import dataclass

OnExit = Literal["ask", "stop", "leave"]
ON_EXIT: tuple[OnExit, ...] = ("ask", "stop", "leave")
OnHangup = Literal["stop", "leave"]
ON_HANGUP: tuple[OnHangup, ...] = ("stop", "leave")


@dataclass(frozen=True, slots=True)
class Supervision:
    """`[supervision]` of the configuration."""

    restart: RestartPolicy = field(default_factory=RestartPolicy)
    load_timeout_s: float = 600.0
    """Without any sign of progress while the model loads; 0 waits for ever."""
    stop_grace_s: float = 5.0
    """From SIGTERM to SIGKILL."""
    answer_patience_s: float = 120.0
    """How long a stop that was asked to wait for running answers waits at most."""
