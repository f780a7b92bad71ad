"""Which llama.cpp is started: the places in their order, the one of `hettui engine use` among them."""

from __future__ import annotations

import os

from hettui.adapters.files.paths import engine_choice, engines_path
from hettui.adapters.llama.binaries import find_engine
from hettui.domain.config.values import Config
from hettui.domain.llama.build import ChosenEngine, EngineInfo


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
