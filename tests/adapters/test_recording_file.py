"""Recordings on disk: private, never over something else, read with a limit."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hettui.adapters.files.recording_file import RecordingFile, recorded_lines
from hettui.domain.errors import RecordingError, UsageError
from hettui.domain.recording.format import MAX_BYTES, MAX_LINE_BYTES

HEADER = '{"hettui":"recording","format":1}\n'


def write(path: Path, *lines: str) -> None:
    file = RecordingFile(path)
    for line in lines:
        file.write(line)
    file.close()


def test_only_the_user_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    previous = os.umask(0)
    try:
        write(path, HEADER)
    finally:
        os.umask(previous)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(recorded_lines(path)) == [HEADER.encode()]


def test_a_recording_is_kept_as_bak_and_an_empty_file_is_used(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.touch(mode=0o644)
    write(path, HEADER, "first\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not (tmp_path / "a.jsonl.bak").exists()
    write(path, HEADER, "second\n")
    assert (tmp_path / "a.jsonl.bak").read_text() == HEADER + "first\n"
    assert path.read_text() == HEADER + "second\n"


def test_nothing_else_is_overwritten(tmp_path: Path) -> None:
    other = tmp_path / "thesis.txt"
    other.write_text("ten years of work")
    with pytest.raises(UsageError, match=r"thesis.txt: it exists and is no recording"):
        RecordingFile(other)
    assert other.read_text() == "ten years of work"
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_what_is_no_ordinary_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("pipe", "link", "."):
        with pytest.raises(UsageError, match="no ordinary file"):
            RecordingFile(tmp_path / name)
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(UsageError, match=r"cannot be written: No such file"):
        RecordingFile(tmp_path / "no" / "where")


def test_half_a_character_is_no_reason_to_stop(tmp_path: Path) -> None:
    write(tmp_path / "a", HEADER, '{"t":1,"x":"\ud800"}\n')
    assert list(recorded_lines(tmp_path / "a"))[1] == b'{"t":1,"x":"?"}\n'


def test_flushed_lines_are_there_before_the_end(tmp_path: Path) -> None:
    file = RecordingFile(tmp_path / "a")
    file.write(HEADER)
    file.flush()
    assert (tmp_path / "a").read_text() == HEADER
    file.close()


def test_a_full_disk_is_said_and_closing_is_quiet() -> None:
    full = Path("/dev/full")
    file = RecordingFile.__new__(RecordingFile)
    file._file = full.open("w")
    file.write("x")
    with pytest.raises(OSError, match="No space"):
        file.flush()
    file.close()


def test_a_giant_line_comes_as_its_beginning(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.truncate(MAX_LINE_BYTES * 2)
    assert len(next(recorded_lines(tmp_path / "a"))) == MAX_LINE_BYTES + 1


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2 * MAX_BYTES + 1)
    for name, said in (("pipe", "no ordinary file"), ("none", "cannot be read: No such"), ("huge", "larger than any")):
        with pytest.raises(RecordingError, match=said):
            list(recorded_lines(tmp_path / name))
    with pytest.raises(RecordingError, match="cannot be read|no ordinary file"):
        list(recorded_lines(tmp_path))
