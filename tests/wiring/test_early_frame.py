"""The early frame on a real terminal: keys that come meanwhile, and every end between them and the screen."""

from __future__ import annotations

import codecs
import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hettui.adapters.machine.first_terminal import FirstTerminal
from tests import fake_engine, tiny_models
from tests.patience import patience
from tests.ui.mini_terminal import MiniTerminal

CHILD = """
import fcntl, os, sys, termios, time
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from pathlib import Path
from hettui.cli import main
from hettui.domain.errors import HettuiError
from hettui.wiring import start

how, folder, *words = sys.argv[1:]

class Slow(start.Ahead):
    "A start that stops between the early frame and what comes then, until it is told to go on."

    def wait(self, seconds):
        self.result()
        while not (Path(folder) / "go").exists():
            time.sleep(0.01)
        if how == "error":
            raise HettuiError("the reason, and what to do")
        if how == "crash":
            raise RuntimeError("a fault of ours")

class Late(start.Ahead):
    "A driver that answers once the screen is there."

    def __init__(self, work):
        def later():
            while not (Path(folder) / "go").exists():
                time.sleep(0.01)
            return work()
        super().__init__(later)

    def wait(self, seconds):
        pass

start.Ahead = Late if how == "late" else Slow
sys.exit(main(words))
"""


class Program:
    """hettui on a terminal of its own, 80×24."""

    def __init__(self, folder: Path, how: str, env: dict[str, str]) -> None:
        self.folder = folder
        self._master, self.slave = pty.openpty()
        termios.tcsetwinsize(self.slave, (24, 80))
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, how, str(folder), str(_config(folder, how))],
            stdin=self.slave, stdout=self.slave, stderr=self.slave, env=env, start_new_session=True,
        )  # fmt: skip

    def read(self) -> None:
        if select.select([self._master], [], [], 0.05)[0]:
            with contextlib.suppress(OSError):
                chunk = os.read(self._master, 65536)
                self.seen += chunk
                for _ in range(chunk.count(b"\x1b[6n")):
                    os.write(self._master, b"\x1b[1;1R")

    def until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + patience(30)
        while not true():
            assert time.monotonic() < deadline, self.seen[-3000:]
            self.read()

    def wait(self, text: str) -> None:
        self.until(lambda: text.encode() in self.seen)

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def go_on(self) -> None:
        (self.folder / "go").touch()

    def end(self) -> int:
        self.until(lambda: self.process.poll() is not None)
        self.read()
        return self.process.returncode

    @property
    def modes(self) -> list[Any]:
        return termios.tcgetattr(self.slave)

    @property
    def rows(self) -> list[str]:
        shown = MiniTerminal(80, 24)
        # What was read last may end within a character.
        shown.feed(codecs.utf_8_decode(self.seen, "strict", False)[0])
        return ["".join(text for text, *_ in row) for row in shown.rows]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)
        os.close(self.slave)


def _config(folder: Path, how: str) -> Path:
    model = folder / "nowhere.gguf" if how == "broken" else tiny_models.write(folder, "dense")
    path = folder / "cluster.toml"
    devices = "".join(
        f'[[devices]]\nname = "card {n}"\nid = "cpu"\nvia = "worker"\nthreads = 1\nbudget = "100MiB"\n' for n in "12"
    )
    path.write_text(f'[model]\npath = "{model}"\n[serving]\nport = 0\nctx-size = 512\n{devices}')
    return path


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    home = {f"XDG_{name}": str(tmp_path / name.lower()) for name in ("CONFIG_HOME", "STATE_HOME", "CACHE_HOME")}
    (tmp_path / "run").mkdir(mode=0o700)
    engine = fake_engine.install(tmp_path / "engine")
    env = os.environ | home | {
        "XDG_RUNTIME_DIR": str(tmp_path / "run"), "LLAMA_CPP_BIN": str(engine), "TERM": "xterm-256color",
        "COLORTERM": "truecolor", "LANG": "C.UTF-8",
    }  # fmt: skip
    started: list[Program] = []

    def run(how: str, **more: str) -> Program:
        started.append(Program(tmp_path, how, env | more))
        return started[-1]

    yield run
    for program in started:
        program.close()


def quiet(program: Program) -> bool:
    local = program.modes[3]
    return not local & (termios.ECHO | termios.ICANON)


def assert_as_before(program: Program) -> None:
    assert program.modes == program.before
    assert program.seen.count(b"\x1b[?1049h") == 1
    assert program.seen.rindex(b"\x1b[?1049l") > program.seen.rindex(b"\x1b[?1049h")
    assert program.seen.rindex(b"\x1b[?25h") > program.seen.rindex(b"\x1b[?25l")


def test_they_stand_before_textual_and_are_not_written_again(start: Callable[..., Program]) -> None:
    program = start("go")
    program.wait("starts it")
    program.until(lambda: "Quit" in program.rows[-1])
    first = list(program.rows)
    assert "connecting…" in first[0]
    assert quiet(program)
    assert b"\x1b[?1003h" not in program.seen
    before = len(program.seen)
    program.go_on()
    program.wait("stopped")
    program.until(lambda: "Quit" in program.rows[-1])
    assert program.rows[1:] == first[1:]
    # Of the early frame only the state is written again.
    assert b"starts it" not in program.seen[before:]
    assert program.seen.count(b"CPU of this machine") == 1
    program.type(b"q")
    assert program.end() == 0
    assert_as_before(program)


def test_keys_that_are_typed_meanwhile_reach_the_screen(start: Callable[..., Program]) -> None:
    """A number for the device that will have the keyboard; and Ctrl-C, which is a key already. Nothing is echoed."""
    program = start("go")
    program.until(lambda: "Quit" in program.rows[-1])
    written = program.seen
    program.type(b"3")
    program.read()
    assert program.seen == written
    program.go_on()
    program.wait("3 layers: Enter sets")
    program.type(b"q")
    assert program.end() == 0
    assert_as_before(program)


def test_ctrl_c_in_between_is_a_key(start: Callable[..., Program]) -> None:
    program = start("go")
    program.wait("starts it")
    program.until(lambda: quiet(program))
    program.type(b"\x03")
    program.go_on()
    assert program.end() == 0
    assert_as_before(program)


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, *(pytest.param(n, marks=pytest.mark.many) for n in (signal.SIGINT, signal.SIGHUP))]
)
def test_a_signal_in_between_leaves_the_terminal_as_it_was(
    start: Callable[..., Program], number: signal.Signals
) -> None:
    program = start("hold")
    program.wait("starts it")
    program.until(lambda: quiet(program))
    program.process.send_signal(number)
    assert program.end() == 128 + number
    assert_as_before(program)
    assert b"Traceback" not in program.seen


@pytest.mark.parametrize(
    ("how", "words"), [("error", "hettui: the reason, and what to do"), ("crash", "a fault of ours")]
)
def test_what_goes_wrong_in_between_is_told_on_the_main_screen(
    start: Callable[..., Program], how: str, words: str
) -> None:
    program = start(how)
    program.wait("starts it")
    program.go_on()
    assert program.end() == 1
    assert_as_before(program)
    assert words in program.seen.rpartition(b"\x1b[?1049l")[2].decode()


def test_what_cannot_be_opened_is_told_without_a_screen(start: Callable[..., Program]) -> None:
    program = start("broken")
    assert program.end() == 1
    assert program.modes == program.before
    assert b"\x1b[?1049h" not in program.seen
    assert b"does not exist: check the path" in program.seen


def test_a_driver_that_does_not_answer_holds_up_nobody(start: Callable[..., Program]) -> None:
    program = start("late")
    program.wait("looking at this machine")
    program.go_on()
    program.until(lambda: "Quit" in program.rows[-1])
    program.type(b"q")
    assert program.end() == 0
    assert_as_before(program)


# Each is half a second of a Python that starts: in `make test-fast` one of them.
OTHERS = ({"NO_COLOR": "1"}, {"HETTUI_ASCII": "1"}, {"COLUMNS": "60"})


@pytest.mark.parametrize(
    "said", [{"TERM": "dumb"}, *(pytest.param(said, marks=pytest.mark.matrix) for said in OTHERS)], ids=str
)
def test_other_terminals_have_them_too(start: Callable[..., Program], said: dict[str, str]) -> None:
    program = start("go", **said)
    program.wait("starts it")
    program.go_on()
    program.wait("CPU of this machine")
    program.type(b"q")
    assert program.end() == 0
    assert_as_before(program)


def test_a_terminal_that_has_stopped_reading_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = pty.openpty()
    termios.tcflow(slave, termios.TCOOFF)
    terminal = FirstTerminal()
    monkeypatch.setattr(terminal, "_in", slave)
    monkeypatch.setattr(terminal, "_out", slave)
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp())
    before = termios.tcgetattr(slave)
    assert not terminal.take("rows")
    assert termios.tcgetattr(slave) == before
    termios.tcflow(slave, termios.TCOON)
    assert terminal.take("rows")
    assert os.read(master, 100) == b"\x1b[?1049h\x1b[?25lrows"
    assert termios.tcgetattr(slave) != before
    terminal.give_back()
    terminal.give_back()
    assert os.read(master, 100) == b"\x1b[?1049l\x1b[?25h"
    assert termios.tcgetattr(slave) == before
    assert not terminal.take("rows")
    os.close(slave)
    os.close(master)
