"""The hostile list through programs that speak the real HTTP API: every byte that reaches the terminal is looked at."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests import fake_engine
from tests.e2e.conftest import DEADLINE_S, Terminal
from tests.hostile import HOSTILE as EVERYTHING
from tests.hostile import NEVER
from tests.patience import patience

pytestmark = pytest.mark.tmux

# No program can print half a surrogate pair.
HOSTILE = {name: pair for name, pair in EVERYTHING.items() if name != "lone surrogate"}
CSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
POINTER = re.compile(r"\x1b\]22;[a-z-]+\x07")
"""The mouse pointer's shape: the one OSC that Textual sends by itself."""
ASKS_OR_MOVES = re.compile(r"\x1b\[(?:c|2J)")
"""`CSI 6 n` the screen asks itself, to pace what it writes; the hostile text's has a `CSI c` behind it."""
UNWANTED = re.compile(
    "[\x00-\x06\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff"
    "\U000e0000-\U000e007f]"
)


def look(record: Path) -> str:
    """What was written to the terminal, checked: nothing but what Textual itself says."""
    text = record.read_bytes().decode("utf-8", errors="replace")
    for never in NEVER:
        assert never not in text
    assert ASKS_OR_MOVES.search(text) is None
    rest = POINTER.sub("", CSI.sub("", text))
    assert "\x1b" not in rest, [rest[m.start() : m.start() + 40] for m in re.finditer("\x1b", rest)][:5]
    found = UNWANTED.search(rest)
    assert found is None, rest[max(0, found.start() - 40) : found.start() + 40]
    return rest


def configured(home: dict[str, str], folder: Path, model: Path, faults: Mapping[str, object]) -> str:
    """A cluster of fake programs with these faults; its names are as bad as a configuration may have them."""
    fake_engine.install(folder / "bin")
    home["LLAMA_CPP_BIN"] = str(folder / "bin")
    (folder / "faults.json").write_text(json.dumps(faults))
    home["FAKE_ENGINE"] = f"@{folder / 'faults.json'}"
    path = folder / "c [Q4_K_M].toml"
    devices = "".join(
        f'[[devices]]\nname = "{name}"\nid = "cpu"\nvia = "worker"\nbudget = "400MiB"\n'
        for name in ("[/]", "[Q4_K_M] [b]", "日本語")
    )
    path.write_text(f'[model]\npath = "{model}"\n[serving]\nport = 0\nalias = "[/x]"\n{devices}')
    return str(path)


def start(terminal: Terminal, record: Path, config: str) -> None:
    terminal.run(config, record=record, size=(160, 50))
    shown = terminal.wait("s starts it")
    assert "[Q4_K_M] [b]" in shown
    terminal.send("s")


def pieces() -> list[str]:
    """Every hostile text, cut into two chunks at the worst place, each after a readable word."""
    cut: list[str] = []
    for number, (text, _) in enumerate(HOSTILE.values()):
        middle = text.find("\x1b") + 1 if "\x1b" in text else len(text) // 2
        cut += [f" w{number}w ", text[:middle], text[middle:]]
    # Only a line's end ends what was never finished: the last one in the list.
    return [*cut, "\n\n"]


def test_answers(terminal: Terminal, home: dict[str, str], tmp_path: Path, model: Path, nothing_left: None) -> None:
    record = tmp_path / "bytes"
    long_one = ["A" * 1_000_000, "\n\n" * 3]
    invalid = b'data: {"choices":[{"delta":{"content":"in\xff\xfevalid\x9b31m\xc2\x9b31m"}}]}\n\n'.hex()
    faults = {"answer": [*long_one, *pieces(), "the very end of it"], "raw": [invalid]}
    start(terminal, record, configured(home, tmp_path, model, faults))
    terminal.wait("● ready")
    terminal.type("cgo")
    terminal.wait(" go")
    terminal.send("Enter")
    terminal.wait("very end of it")
    terminal.wait("answer 3 tok")
    look(record)
    # Answers are Markdown, in which a backslash takes away what the sign behind it means.
    wanted = [f"w{number}w" for number in range(len(HOSTILE))]
    wanted += [word.replace("\\", "") for _, readable in HOSTILE.values() for word in readable.split()]
    deadline = time.monotonic() + patience(DEADLINE_S)
    while missing := [word for word in wanted if word not in terminal.screen().replace("\\", "")]:
        # So long a text is laid out anew, on a thread, once the scrollbar has taken its column.
        assert time.monotonic() < deadline, (missing, terminal.screen())
    terminal.send("C-q")
    terminal.wait("What shall become of it")
    terminal.send("s")
    terminal.wait("EXIT=0")
    look(record)


def test_logs_and_the_story_of_an_end(
    terminal: Terminal, home: dict[str, str], tmp_path: Path, model: Path, nothing_left: None
) -> None:
    record = tmp_path / "bytes"
    lines = [f"r{i}r {text}".replace("\n", " ") for i, (text, _) in enumerate(HOSTILE.values())]
    loud = "0.0.0.1 E [/] failed: \x1b]52;c;RVZJTA==\x07[Q4_K_M] \x9b31m\u202ereadable \x1b]0;EVIL-TITLE"
    faults = {"log": [*lines, "B" * 150_000, loud]}
    start(terminal, record, configured(home, tmp_path, model, {**faults, "exit_at_start": 1}))
    shown = terminal.wait("What to do")
    assert "[/] failed: [Q4_K_M]" in shown
    assert "readable" in shown
    terminal.send("g")
    terminal.wait("r0r red")
    shown = terminal.wait("[/] failed: [Q4_K_M]")
    for number, (_, readable) in enumerate(HOSTILE.values()):
        if readable and number > 3 and "\r" not in lines[number]:
            assert f"r{number}r {readable}" in shown, shown
    look(record)
    terminal.send("C-q")
    terminal.wait("EXIT=0")
    look(record)


def test_an_error_of_the_server_and_a_command_line(
    terminal: Terminal, home: dict[str, str], tmp_path: Path, model: Path, nothing_left: None
) -> None:
    record = tmp_path / "bytes"
    # A carriage return keeps what was printed last, as on a terminal.
    bad = (
        " ".join(text for text, _ in HOSTILE.values() if "\r" not in text).encode("utf-8", "replace").decode()
        + " [/] [Q4_K_M]"
    )
    start(terminal, record, configured(home, tmp_path, model, {"refuse": f"no, [/] [Q4_K_M] because {bad}"}))
    terminal.wait("● ready")
    terminal.type("cgo")
    terminal.wait(" go")
    terminal.send("Enter")
    terminal.wait("no, [/] [Q4_K_M] because")
    terminal.send("Escape")
    terminal.wait("⏎ sends")
    terminal.send("C-q")
    terminal.wait("What shall become of it")
    terminal.send("s")
    terminal.wait("EXIT=0")
    look(record)
