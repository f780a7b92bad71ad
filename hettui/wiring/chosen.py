"""Which llama.cpp is started: the places in their order, the one of `hettui engine use` among them."""

from __future__ import annotations

import os

from hettui.adapters.files.paths import engine_choice, engines_path
from hettui.adapters.llama.binaries import Listing, find_and_list, find_engine
from hettui.adapters.llama.discovery import listing_environment
from hettui.domain.config.values import Config
from hettui.domain.errors import EngineError
from hettui.domain.llama.build import ChosenEngine, EngineInfo
from hettui.domain.records import dataclass
from hettui.wiring.ahead import begun


@dataclass(frozen=True, slots=True)
class Asked:
    """What the binaries said."""

    engine: EngineInfo | None
    problem: str | None
    """Why there is none: planning works without."""
    listed: Listing | EngineError | None = None
    """Its devices; None without an engine."""


def ask(config: Config) -> Asked:
    """Everything that a session needs to know of the binaries, at once.

    Raises EngineError when a place was named explicitly: a typo shall not look like a machine without llama.cpp.
    """
    try:
        engine, listed = find_and_list(
            config.llama_cpp_bin, os.environ, _chosen(), listing_environment(os.environ), begun
        )
    except EngineError as error:
        if is_named(config):
            raise
        return Asked(None, str(error))
    return Asked(engine, None, listed)


def engine_of(config: Config) -> EngineInfo:
    """Raises EngineError."""
    return find_engine(config.llama_cpp_bin, os.environ, _chosen())


def is_named(config: Config) -> bool:
    """Somebody said which: what is wrong with it is then an error, never a reason to look elsewhere."""
    named = config.llama_cpp_bin or os.environ.get("LLAMA_CPP_BIN")
    return bool(named) or _chosen() is not None


def _chosen() -> ChosenEngine | None:
    if not engine_choice().is_file():
        return None
    # Whoever never chose one does not wait for its import.
    from hettui.adapters.engines.shelf import Shelf

    return Shelf(engines_path()).chosen(os.environ)
