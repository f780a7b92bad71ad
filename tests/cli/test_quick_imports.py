"""Modules are found as Python finds them, and never an old one."""

from __future__ import annotations

import os
import py_compile
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType

import pytest
import rich
import textual

import hettui
from hettui.cli import quick_imports
from hettui.cli.quick_imports import QuickFinder

FINDER = QuickFinder()


def loaded(folder: Path) -> ModuleType:
    spec = FINDER.find_spec("hettui.probe", [str(folder)])
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def written(folder: Path, source: str, time_s: int) -> Path:
    path = folder / "probe.py"
    path.write_text(source)
    os.utime(path, (time_s, time_s))
    return path


@pytest.mark.parametrize("package", [hettui, textual, rich], ids=lambda package: package.__name__)
def test_every_module_is_the_one_that_python_finds(package: ModuleType) -> None:
    (top,) = package.__path__
    seen = 0
    for source in Path(top).rglob("*.py"):
        parts = [package.__name__, *source.relative_to(top).with_suffix("").parts]
        if parts[-1] == "__init__":
            parts.pop()
        if len(parts) == 1 or not all(part.isidentifier() for part in parts):
            continue
        folder = [str(Path(top, *parts[1:-1]))]
        mine, usual = (finder.find_spec(".".join(parts), folder) for finder in (FINDER, PathFinder))
        assert mine is not None
        assert usual is not None
        for name in ("name", "origin", "cached", "has_location", "parent", "submodule_search_locations"):
            assert getattr(mine, name) == getattr(usual, name), (parts, name)
        seen += 1
    assert seen > 70


def test_of_what_is_there_the_newest_is_loaded(tmp_path: Path) -> None:
    source = written(tmp_path, "found = 1", 1_000_000)
    assert loaded(tmp_path).found == 1
    assert loaded(tmp_path).__file__ == str(source)
    py_compile.compile(str(source))
    assert loaded(tmp_path).found == 1
    # One of the same size but another time, then one of the same time but another size.
    written(tmp_path, "found = 2", 1_000_001)
    assert loaded(tmp_path).found == 2
    py_compile.compile(str(source))
    written(tmp_path, "found = 33", 1_000_001)
    assert loaded(tmp_path).found == 33


def test_bytecode_is_what_is_loaded_where_it_is_the_sources(tmp_path: Path) -> None:
    source = written(tmp_path, "found = 1", 1_000_000)
    py_compile.compile(str(source))
    # The same size and time: nobody could tell, and Python does not either.
    written(tmp_path, "found = 2", 1_000_000)
    assert loaded(tmp_path).found == 1


def test_bytecode_of_another_kind_is_left_to_python(tmp_path: Path) -> None:
    source = written(tmp_path, "found = 1", 1_000_000)
    py_compile.compile(str(source), invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    assert loaded(tmp_path).found == 1
    written(tmp_path, "found = 2", 1_000_000)
    assert loaded(tmp_path).found == 2
    cached = FINDER.find_spec("hettui.probe", [str(tmp_path)])
    assert cached is not None
    assert cached.cached is not None
    Path(cached.cached).write_bytes(b"of another Python")
    assert loaded(tmp_path).found == 2


def test_what_is_not_there_or_not_ours_is_left_to_others(tmp_path: Path) -> None:
    (tmp_path / "space").mkdir()
    assert FINDER.find_spec("hettui.nowhere", [str(tmp_path)]) is None
    assert FINDER.find_spec("hettui.space", [str(tmp_path)]) is None
    written(tmp_path, "", 1)
    assert FINDER.find_spec("other.probe", [str(tmp_path)]) is None
    assert FINDER.find_spec("hettui.probe", [str(tmp_path), "elsewhere"]) is None
    assert FINDER.find_spec("hettui", None) is None


def test_it_begins_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [f for f in sys.meta_path if not isinstance(f, QuickFinder)])
    before = len(sys.meta_path)
    quick_imports.begin()
    quick_imports.begin()
    assert isinstance(sys.meta_path[0], QuickFinder)
    assert len(sys.meta_path) == before + 1


def test_where_bytecode_lies_elsewhere_it_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.setattr(sys, "pycache_prefix", "/elsewhere")
    quick_imports.begin()
    assert not sys.meta_path
