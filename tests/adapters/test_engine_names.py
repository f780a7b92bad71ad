"""What hettui says of llama.cpp's types and architectures, against the libraries of the build at hand."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from hettui.adapters.llama.binaries import find_engine
from hettui.domain.errors import EngineError
from hettui.domain.llama.build import OLDEST_BUILD
from hettui.domain.model.architecture import ARCHITECTURES
from hettui.domain.model.architecture_names import IN_BUILDS, SINCE_OLDEST
from hettui.domain.model.ggml import REMOVED, TENSOR_TYPES


def library(name: str) -> tuple[bytes, int]:
    """A library of the engine that is found, and the engine's build."""
    try:
        engine = find_engine(None, os.environ)
    except EngineError:
        pytest.skip("no llama.cpp here")
    found = next((p for p in (engine.server.parent / name, engine.server.resolve().parent / name) if p.exists()), None)
    if found is None:
        pytest.skip(f"this llama.cpp is built without {name}")
    return Path(found).read_bytes(), engine.build


def test_every_type_is_one_of_the_engine() -> None:
    held, _ = library("libggml-base.so")
    for row in TENSOR_TYPES.values():
        # A linker keeps one string for all that end alike, so that only the end can be looked for.
        assert row.name.encode() + b"\0" in held, row
    for name in REMOVED.values():
        assert name.startswith("Q4_2") or name.startswith("Q4_3") or f"TYPE_{name} REMOVED".encode() in held


def test_the_removed_types_are_all_that_the_engine_names() -> None:
    held, _ = library("libggml-base.so")
    said = {match.decode() for match in re.findall(rb"TYPE_(\w+) REMOVED", held)}
    assert said == set(REMOVED.values()) - {"Q4_2", "Q4_3"}


def test_the_architectures_are_those_of_the_engine() -> None:
    held, build = library("libllama.so")
    start = held.index(b"\0clip\0llama\0")
    listed = {word.decode() for word in held[start : held.index(b"\0(unknown)\0", start)].split(b"\0") if word}
    assert not listed - IN_BUILDS, "names that hettui has never seen: add them with the build's number"
    missing = {name for name in IN_BUILDS if name.encode() + b"\0" not in held}
    assert missing == (SINCE_OLDEST if build == OLDEST_BUILD else set())


def test_every_record_is_of_an_architecture_that_a_build_has() -> None:
    assert set(ARCHITECTURES) <= IN_BUILDS
    assert SINCE_OLDEST <= IN_BUILDS
