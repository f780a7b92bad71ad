"""The hosts that ~/.ssh/config names, read as ssh reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hettui.adapters.hosts.ssh_config import aliases


def named(home: Path, text: str) -> list[str]:
    (home / ".ssh").mkdir(exist_ok=True)
    (home / ".ssh/config").write_text(text)
    return aliases(home)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Host attic cellar\n  User me\nHost *\n  User you\n", ["attic", "cellar"]),
        ("host=attic\nHOST  cellar # mine\n", ["attic", "cellar"]),
        ('Host "at tic" !shed she?\nMatch user me\n  User git\nHost b\n', ["at tic", "b"]),
        ("Host github.com\n  User git\nHost attic\nHost attic\n", ["attic"]),
        ("# Host no\nHost -oProxyCommand=x yes\n", ["yes"]),
        ('Host "unfinished\nHost a\x1b[31m b\n', ["b"]),
        ("", []),
    ],
)
def test_names(tmp_path: Path, text: str, names: list[str]) -> None:
    assert named(tmp_path, text) == names


def test_included_files_name_hosts_too_and_circles_end(tmp_path: Path) -> None:
    (tmp_path / ".ssh/config.d").mkdir(parents=True)
    (tmp_path / ".ssh/config.d/home").write_text("Host shed\nInclude ../config\n")
    assert named(tmp_path, "Include config.d/* ~/none /none/*\nHost attic\n")[0] == "shed"
    assert set(aliases(tmp_path)) == {"shed", "attic"}


def test_no_file_names_nothing(tmp_path: Path) -> None:
    assert aliases(tmp_path) == []
    (tmp_path / ".ssh/config").mkdir(parents=True)
    assert aliases(tmp_path) == []
