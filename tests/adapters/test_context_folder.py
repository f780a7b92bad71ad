"""The folder of saved slots: private, bounded, and sure that a file is what was written."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hettui.adapters.files import context_folder
from hettui.adapters.files.context_folder import ContextFolderAdapter, PrivateContextFolder
from hettui.domain.errors import HettuiError
from hettui.domain.slots.saved import Saved
from hettui.domain.slots.terms import Terms

NAME = "slot-0-0123456789ab.ctx"
TERMS = Terms("/m.gguf", "f", "b10068", 1, False, 1, 4096)


def context(file: str = NAME, order: int = 1) -> Saved:
    return Saved(file, 0, 100, 1, TERMS, order)


@pytest.fixture
def kept(tmp_path: Path) -> PrivateContextFolder:
    return ContextFolderAdapter().open(str(tmp_path))


def write(kept: PrivateContextFolder, content: bytes, name: str = NAME) -> Saved:
    """As llama-server does, and what is noted of it."""
    path = Path(kept.path) / name
    path.write_bytes(content)
    path.chmod(0o644)
    size, check = kept.written(name)
    return replace(context(name), size_bytes=size, check=check)


def test_folder_and_files_are_the_users_alone(tmp_path: Path) -> None:
    (tmp_path / "hettui-contexts").mkdir(mode=0o777)
    kept = ContextFolderAdapter().open(str(tmp_path))
    saved = write(kept, b"abc")
    kept.keep([saved])
    assert stat.S_IMODE(Path(kept.path).stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in Path(kept.path).iterdir()} == {0o600}
    assert kept.load() == (saved,)


def test_what_is_not_in_the_list_goes_and_what_is_not_ours_stays(kept: PrivateContextFolder) -> None:
    old, new = write(kept, b"old", "slot-0-aaaaaaaaaaaa.ctx"), write(kept, b"new")
    (Path(kept.path) / "notes.txt").write_text("mine")
    kept.keep([old, new])
    kept.keep([new])
    assert sorted(p.name for p in Path(kept.path).iterdir()) == ["contexts.json", "notes.txt", NAME]
    kept.keep([])
    assert kept.load() == ()
    assert sorted(p.name for p in Path(kept.path).iterdir()) == ["contexts.json", "notes.txt"]


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"version": 1, "contexts": [{}]}'])
def test_a_damaged_list_is_no_list(kept: PrivateContextFolder, text: str) -> None:
    (Path(kept.path) / "contexts.json").write_text(text)
    assert kept.load() == ()


def test_a_name_from_elsewhere_is_not_opened(kept: PrivateContextFolder, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("secret")
    saved = write(kept, b"abc")
    kept.keep([saved, replace(saved, file="../other", order=2), replace(saved, file="/etc/passwd", order=3)])
    assert kept.load() == (saved,)


SIZE = 3 * 1024 * 1024


@pytest.mark.parametrize("size", [0, 10, SIZE, 70 * 64 * 1024])
def test_a_file_that_is_whole(kept: PrivateContextFolder, size: int) -> None:
    assert kept.damage(write(kept, os.urandom(size))) is None


def test_a_file_that_is_damaged(kept: PrivateContextFolder) -> None:
    saved, path = write(kept, os.urandom(SIZE)), Path(kept.path) / NAME
    for begin, damage in ((0, b"xx"), (SIZE - 2, b"xx"), (SIZE // 2, bytes(200_000))):
        whole = path.read_bytes()
        path.write_bytes((whole[:begin] + damage + whole[begin + len(damage) :])[:SIZE])
        assert kept.damage(saved) == "it is damaged"
        path.write_bytes(whole)
    assert kept.damage(saved) is None
    path.write_bytes(path.read_bytes()[:-1])
    assert "3,145,727 bytes instead of 3,145,728" in (kept.damage(saved) or "")
    path.unlink()
    assert kept.damage(saved) == "No such file or directory"
    path.symlink_to("/etc/passwd")
    assert kept.damage(saved) == "it is no ordinary file"


def test_what_is_left_on_the_disk(kept: PrivateContextFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    free = kept.free_bytes()
    found = os.statvfs(kept.path)
    assert free is not None
    assert 0 <= free < found.f_bavail * found.f_frsize
    monkeypatch.setattr(context_folder, "_SPARE_BYTES", 1 << 60)
    assert kept.free_bytes() is not None


def test_another_model_under_the_same_name(kept: PrivateContextFolder, tmp_path: Path) -> None:
    model = tmp_path / "m.gguf"
    model.write_text("one")
    before = kept.model_mark(str(model))
    assert kept.model_mark(str(model)) == before
    model.write_text("two")
    os.utime(model, ns=(1, 1))
    assert kept.model_mark(str(model)) != before
    assert kept.model_mark(str(tmp_path / "none")) == ""


def test_a_place_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HettuiError, match="cannot be made"):
        ContextFolderAdapter().open(str(tmp_path / "file"))
    (tmp_path / "hettui-contexts").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HettuiError, match="cannot be made|belongs to somebody else"):
        ContextFolderAdapter().open(str(tmp_path))


def test_the_usual_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert ContextFolderAdapter().open(None).path.startswith(str(tmp_path / "hettui" / "contexts"))


def test_what_a_killed_measurement_left_goes_and_a_living_ones_stays(tmp_path: Path) -> None:
    folder = ContextFolderAdapter().open(str(tmp_path))
    place = Path(folder.path)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    mine = folder.aside_name(3)
    theirs = mine.replace(f"-{os.getpid()}-", f"-{ended.pid}-")
    elsewhere = "aside-another-machine-77-0123abcd-0.ctx"
    kept = {mine, elsewhere, "aside-of-somebody.ctx", "x.ctx"}
    for name in {theirs} | kept:
        (place / name).write_bytes(b"x")
    ContextFolderAdapter().open(str(tmp_path))
    assert {path.name for path in place.iterdir()} == kept
    ContextFolderAdapter().clear(str(tmp_path))
    assert {path.name for path in place.iterdir()} == kept
