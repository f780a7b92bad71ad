"""Which llama.cpp is started: the places in their order, the one of `hettui engine use` among them."""

from __future__ import annotations

import os

from hettui.adapters.engines.shelf import Shelf
from hettui.adapters.files.paths import engines_path
from hettui.adapters.llama.binaries import find_engine
from hettui.domain.config.values import Config
from hettui.domain.llama.build import EngineInfo


def engine_of(config: Config) -> EngineInfo:
    """Raises EngineError."""
    return find_engine(config.llama_cpp_bin, os.environ, Shelf(engines_path()).chosen(os.environ))


def is_named(config: Config) -> bool:
    """Somebody said which: what is wrong with it is then an error, never a reason to look elsewhere."""
    named = config.llama_cpp_bin or os.environ.get("LLAMA_CPP_BIN")
    return bool(named) or Shelf(engines_path()).in_use().name is not None
