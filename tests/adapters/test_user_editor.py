"""The user's own editor on a text: a real program, and every way in which it fails."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hettui.adapters.machine.editor import UserEditor
from hettui.domain.errors import UsageError


def program(folder: Path, body: str) -> str:
    file = folder / "my editor"
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o700)
    return f"'{file}' --wait"


def test_what_the_editor_leaves_is_the_text_and_its_file_is_private_and_gone(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    body = f'ls -l "$2" > "{seen}"; cat "$2" > "{seen}.text"; printf "two\\nlines\\033[31m\\n\\n" > "$2"'
    edit = UserEditor({"EDITOR": "ed", "VISUAL": program(tmp_path, body), "PATH": os.environ["PATH"]}).edit
    assert edit("one é") == "two\nlines"
    mode, *_, file = seen.read_text().split()
    assert mode.startswith(stat.filemode(0o100600))
    assert not Path(file).exists()
    assert Path(f"{seen}.text").read_text() == "one é"


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({}, "no editor is set"),
        ({"EDITOR": "  "}, "no editor is set"),
        ({"EDITOR": "/nowhere/vi -n"}, "EDITOR is /nowhere/vi -n: there is no such program"),
        ({"VISUAL": "'vi"}, "VISUAL cannot be read"),
    ],
)
def test_an_editor_that_is_not_there_is_named(environ: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        UserEditor(environ)


@pytest.mark.parametrize(("body", "says"), [("exit 3", "ended with 3"), ('rm "$2"', "No such file")])
def test_what_it_did_not_write_leaves_the_prompt(tmp_path: Path, body: str, says: str) -> None:
    with pytest.raises(UsageError, match=f"{says}.*the prompt is as it was"):
        UserEditor({"EDITOR": program(tmp_path, body)}).edit("text")
