"""The user's theme folder is looked after while the screen is open."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hettui.adapters.files.resources import resource_folder
from hettui.adapters.files.theme_files import ThemeFolders
from hettui.ports import ThemeFiles
from tests.patience import patience

EMBER = (resource_folder("themes") / "ember.toml").read_text()


@contextmanager
def watched(own: Path) -> Iterator[queue.Queue[ThemeFiles]]:
    told: queue.Queue[ThemeFiles] = queue.Queue()
    folders = ThemeFolders(resource_folder("themes"), own, look_every_s=0.01)
    folders.read()
    stop = folders.watch(told.put)
    try:
        yield told
    finally:
        stop()


def replace(file: Path, text: str) -> None:
    """As editors do: another file under the same name."""
    other = file.with_suffix(".new")
    other.write_text(text)
    other.rename(file)


def test_what_comes_changes_breaks_and_goes_is_told(tmp_path: Path) -> None:
    own = tmp_path / "themes"
    file = own / "mine.toml"
    with watched(own) as told:
        own.mkdir()
        replace(file, EMBER.replace('"ember"', '"mine"'))
        assert told.get(timeout=patience(10)).parsed[str(file)]["name"] == "mine"
        replace(file, EMBER.replace('"ember"', '"other"'))
        assert told.get(timeout=patience(10)).parsed[str(file)]["name"] == "other"
        replace(file, "name = ")
        broken = told.get(timeout=patience(10))
        assert str(file) not in broken.parsed
        assert str(file) in broken.unreadable[str(file)]
        file.unlink()
        gone = told.get(timeout=patience(10))
        assert str(file) not in gone.parsed
        assert not gone.unreadable
        assert any(path.endswith("ember.toml") for path in gone.parsed)


def test_nothing_is_told_while_nothing_changes(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(EMBER)
    with watched(tmp_path) as told:
        (tmp_path / "notes.txt").write_text("not a theme")
        # The next thing that is told is the next change.
        replace(tmp_path / "second.toml", EMBER)
        assert str(tmp_path / "second.toml") in told.get(timeout=patience(10)).parsed
        with pytest.raises(queue.Empty):
            told.get(timeout=0.2)


@pytest.mark.parametrize("what", ["missing", "a file"])
def test_a_folder_that_is_none(tmp_path: Path, what: str) -> None:
    own = tmp_path / "themes"
    if what == "a file":
        own.write_text("")
    assert {Path(p).stem for p in ThemeFolders(resource_folder("themes"), own).read().parsed} >= {"ember", "paper"}
