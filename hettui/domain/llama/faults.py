"""Faults of llama.cpp that are known by build: when they strike, how the log says so, what to do about them.

A plan is warned of them, a post-mortem names them, and what dies of them is not started again by itself. `ran` in a
comment: seen in real runs of the build, read: in its source or its project's issues.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass

_FIXED_BY = 11434
"""The oldest build in which the faults below were seen to be gone; between it and b10068 is not known."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is to be run, as far as faults depend on it."""

    build: int
    architecture: str
    workers: tuple[tuple[bool, bool], ...] = ()
    """Of every worker that holds blocks, in their order: whether one of its blocks keeps a recurrent state, and whether
    one keeps a cache of keys and values."""
    empty_tensor: str | None = None
    """The first tensor whose second or a later dimension is 0."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. The words are whole sentences for a plan; `what` is for the story of an end."""

    strikes: Callable[[Circumstances], bool]
    words: str
    what: str
    remedy: str
    upstream: str = ""
    """Where llama.cpp's project speaks of it."""
    pattern: re.Pattern[str] | None = None
    """What the log of what dies of it says, if anything."""
    returncode: int | None = None
    """How it ends where the log says nothing."""

    @property
    def warning(self) -> str:
        """For a plan."""
        seen = f" (llama.cpp {self.upstream})" if self.upstream else ""
        return f"{self.words}{seen}: {self.remedy}."


def _foreign_pointers(now: Circumstances) -> bool:
    """A worker is sent pointers into another worker's memory, and refuses them.

    ran, b10068, cut models over CPU workers: lfm2, mamba, granitehybrid and nemotron_h die wherever a worker has
    recurrent blocks and no attention; lfm2 and qwen3next work where it is the first of two; falcon-h1, whose blocks are
    both, works. read: deepseek4 and glm-dsa over any two (#28047).
    """
    if now.build >= _FIXED_BY or len(now.workers) < 2:
        return False
    if now.architecture in ("deepseek4", "glm-dsa"):
        return True
    mild = len(now.workers) == 2 and now.architecture in ("lfm2", "lfm2moe", "qwen3next")
    suspects = now.workers[1:] if mild else now.workers
    return any(recurrent and not cached for recurrent, cached in suspects)


FAULTS: tuple[Fault, ...] = (
    Fault(
        _foreign_pointers,
        "llama.cpp builds before b11434 die with this model over these workers: one of them is sent addresses of "
        "another's memory",
        "this llama.cpp build sends a worker addresses of another worker's memory",
        "use llama.cpp b11434 or newer on all machines, or one worker only",
        "#26500",
        late_pattern(r"\[create_node\] invalid data ptr"),
    ),
    Fault(
        lambda now: now.empty_tensor is not None and now.build < _FIXED_BY,
        "llama.cpp builds before b11434 divide by zero when they read this file: it has a tensor without elements",
        "it divided by zero, as builds before b11434 do when they read a tensor without elements",
        "use llama.cpp b11434 or newer, or another conversion of the model",
        returncode=-8,
    ),
)  # fmt: skip


def faults_of(now: Circumstances) -> tuple[Fault, ...]:
    """Those that are to be feared."""
    return tuple(fault for fault in FAULTS if fault.strikes(now))
