"""The real screen on terminals that show less: every byte that it sends is looked at."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.conftest import Terminal

pytestmark = pytest.mark.tmux

RECORDING = str(Path(__file__).parents[1] / "fixtures" / "h100.jsonl")
COLOURED = re.compile(rb"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[0-9;]*)?m")


def sent(terminal: Terminal, record: Path, sign: str) -> bytes:
    """Everything that is written while panes and dialogs are opened, until the end."""
    terminal.run("--replay", RECORDING, size=(100, 30), record=record)
    terminal.wait("REPLAY 00:0")
    terminal.wait(sign)
    terminal.send("g")
    terminal.wait("master")
    terminal.send("?")
    terminal.wait("esc closes")
    terminal.send("Escape")
    terminal.wait("esc closes", gone=True)
    terminal.send("T")
    terminal.wait("Esc the one before")
    terminal.send("Down")
    terminal.send("Escape")
    terminal.wait("Esc the one before", gone=True)
    terminal.send("q")
    terminal.wait("EXIT=0")
    return record.read_bytes()


def test_ascii(terminal: Terminal, home: dict[str, str], tmp_path: Path) -> None:
    home["HETTUI_ASCII"] = "1"
    written = sent(terminal, tmp_path / "bytes", ">1 card")
    assert len(written) > 10_000
    assert written.isascii()


def test_no_color(terminal: Terminal, home: dict[str, str], tmp_path: Path) -> None:
    home["NO_COLOR"] = "1"
    written = sent(terminal, tmp_path / "bytes", "▶1 card")
    assert len(written) > 10_000
    assert COLOURED.search(written) is None
    # What is chosen is reversed.
    assert b"\x1b[1;7m" in written
