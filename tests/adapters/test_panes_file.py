"""How the screen was left, on disk."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from hettui.adapters.files.panes_file import load_panes, save_panes
from hettui.domain.screen.panes import PanesState

LEFT = PanesState("logs", "explain", "bench", zoomed=True)


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    assert load_panes(tmp_path) == PanesState()
    save_panes(tmp_path, LEFT)
    assert load_panes(tmp_path) == LEFT
    assert stat.S_IMODE((tmp_path / "screen.json").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["screen.json"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"front": 3, "side": ["chat"], "zoomed": "yes"}',
        b" " * 70_000,
    ],
    ids=["empty", "cut", "list", "null", "no text", "deep", "wrong types", "huge"],
)
def test_a_broken_file_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "screen.json").write_bytes(content)
    assert load_panes(tmp_path) == PanesState()


def test_panes_of_another_version_are_forgotten_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "screen.json").write_text('{"front": "\\u001b[2J", "side": "bench", "second": "chat", "zoomed": true}')
    assert load_panes(tmp_path) == PanesState("devices", "bench", "logs", zoomed=True)


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    save_panes(tmp_path / "file", LEFT)
    assert load_panes(tmp_path / "file") == PanesState()
