"""Terminals that are small, slow, odd or change their size all the time."""

from __future__ import annotations

import fcntl
import itertools
import os
import re
import shutil
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bench.slow_line import Tmux, first_layers
from tests.bench.terminal import Terminal
from tests.patience import patience
from tests.ui.mini_terminal import MiniTerminal

pytestmark = pytest.mark.tmux

SCENE = [sys.executable, "-m", "tests.bench.scene", "--cards", "3"]
SIZES = ((20, 5), (300, 80), (80, 24), (43, 11), (120, 40), (21, 60), (250, 6))


class Watched(Terminal):
    """Interprets what it reads; `answers=False` is a terminal that never says where its cursor is."""

    def __init__(self, words: list[str], size: tuple[int, int], *, answers: bool = True) -> None:
        self.shown = MiniTerminal(300, 80)
        self._rest = b""
        self.answers = answers
        self.size = size
        super().__init__(words, size)

    def read(self, timeout_s: float) -> int:
        before = self.tail
        size = super().read(timeout_s)
        if size:
            self._rest += self.tail[-size:] if len(self.tail) >= size else self.tail[len(before) :]
            # Up to the last whole sequence and character.
            cut = max(self._rest.rfind(b"\x1b"), 0)
            whole, self._rest = (self._rest[:cut], self._rest[cut:]) if cut else (b"", self._rest)
            self.shown.feed(whole.decode("utf-8", "replace"))
        return size

    def resize(self, size: tuple[int, int]) -> None:
        self.size = size
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))

    @property
    def text(self) -> str:
        """What a terminal of this size shows: what was drawn beyond, for a size of before, is gone there."""
        columns, lines = self.size
        return "\n".join(row[:columns].rstrip() for row in self.shown.text.split("\n")[:lines])

    def until(self, text: str, timeout_s: float = 30.0) -> None:
        self.until_that(lambda shown: text in shown, timeout_s)

    def until_that(self, seen: Callable[[str], bool], timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + patience(timeout_s)
        while not seen(self.text):
            assert self.alive, self.tail[-500:]
            assert time.monotonic() < deadline, self.text
            self.read(0.05)


def seen(tmux: Tmux, condition: Callable[[str], bool], seconds: float = 30.0) -> bool:
    """Whether the condition comes true of the screen in time."""
    most_s = patience(seconds)
    return tmux.seconds_until(condition, most_s) < most_s


@contextmanager
def scene(size: tuple[int, int], *words: str, answers: bool = True) -> Iterator[Watched]:
    terminal = Watched([*SCENE, *words], size, answers=answers)
    try:
        yield terminal
    finally:
        if terminal.alive:
            terminal.send(b"\x11")
            terminal.spend(0.3)
        terminal.close(b"l")


def test_two_hundred_sizes_in_two_seconds_end_right() -> None:
    with scene((80, 24), "--readings") as terminal:
        terminal.until("c chats")
        for size in itertools.islice(itertools.cycle(SIZES), 200):
            terminal.resize(size)
            terminal.read(0.01)
        terminal.shown = MiniTerminal(300, 80)
        terminal.resize((100, 30))
        # No other size has its footer there; what is small comes first, and the cards after it.
        terminal.until_that(lambda shown: shown.split("\n")[29].endswith("q Quit") and first_layers(shown) >= 0)
        rows = terminal.text.split("\n")
        assert "hettui" in rows[0]
        assert "ready" in rows[0]
        before = first_layers(terminal.text)
        terminal.send(b"\x1b[C")
        terminal.until_that(lambda shown: first_layers(shown) == before + 1)


def test_twenty_columns_and_five_lines_are_enough_not_to_fall_over() -> None:
    with scene((20, 5), "--readings") as terminal:
        terminal.until("ready")
        for keys in (b"c", b"\x1b", b"g", b"b", b"v", b"e", b"\x1b", b"?", b"\x1b", b"\x1b[D", b"\x10", b"\x1b"):
            helped = "─ Help ─" in terminal.text
            terminal.send(keys)
            terminal.spend(0.15)
            assert terminal.alive, terminal.tail[-800:]
            if keys == b"?":
                terminal.until("─ Help ─")
            elif helped:
                # An Esc that is read together with the next key would be another key.
                terminal.until_that(lambda shown: "─ Help ─" not in shown)
        terminal.shown = MiniTerminal(300, 80)
        terminal.resize((100, 30))
        terminal.until("the plan differs")


def test_a_terminal_that_never_answers_shows_everything() -> None:
    with scene((100, 30), "--readings", answers=False) as terminal:
        terminal.until("c chats")
        # Longer than an answer is waited for.
        terminal.spend(2.5)
        before = first_layers(terminal.text)
        terminal.send(b"\x1b[D")
        terminal.until("the plan differs", 5)
        assert first_layers(terminal.text) == before - 1


def test_on_a_slow_far_line_a_key_is_answered_while_an_answer_streams() -> None:
    line = [sys.executable, "-m", "tests.bench.line", "--delay", "0.25", "--rate", "960", "--"]
    tmux = Tmux([*line, *SCENE, "--stream", "100"], (80, 24))
    try:
        assert seen(tmux, lambda screen: "c chats" in screen and "Quit" in screen, 60)
        tmux.send("c")
        tmux.type("go")
        assert seen(tmux, lambda screen: "│ go" in screen or "│go" in screen, 60)
        tmux.send("Enter")
        assert seen(tmux, lambda screen: "river" in screen, 60)
        # Every key arrives, in its order, and none waits behind what the answer has written.
        tmux.type("abc")
        assert seen(tmux, lambda screen: re.search("│ ?abc", screen) is not None, 10)
    finally:
        tmux.close()


def test_no_answer_comes_too_late_and_is_typed_into_the_shell() -> None:
    line = [sys.executable, "-m", "tests.bench.line", "--delay", "0.25", "--"]
    script = " ".join([*SCENE, "--stream 100; sleep 1; echo THE END; sleep 60"])
    tmux = Tmux([*line, "sh", "-c", script], (80, 24))
    try:
        assert seen(tmux, lambda screen: "c chats" in screen and "Quit" in screen)
        tmux.send("c")
        tmux.type("go")
        tmux.send("Enter")
        # So that always something is on its way.
        assert seen(tmux, lambda screen: "river" in screen)
        tmux.send("C-q")
        assert seen(tmux, lambda screen: "What shall become" in screen)
        tmux.send("l")
        assert seen(tmux, lambda screen: "THE END" in screen)
        # What a terminal sends to a shell that waits is echoed.
        assert "^[" not in tmux.screen()
    finally:
        tmux.close()


# `make test` asks for tmux only: where GNU screen is installed it is tried as well.
@pytest.mark.skipif(shutil.which("screen") is None, reason="GNU screen is not installed")
def test_in_gnu_screen(tmp_path: Path) -> None:
    (tmp_path / "sockets").mkdir(mode=0o700)
    rc = tmp_path / "screenrc"
    rc.write_text("startup_message off\n")
    name = f"hettui-{os.getpid()}"
    env = {**os.environ, "SCREENDIR": str(tmp_path / "sockets"), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    # The last process in it stays until screen is told to quit.
    words = ["screen", "-U", "-c", str(rc), "-S", name, "sh", "-c", " ".join([*SCENE, "--readings; sleep 60"])]
    tmux = Tmux(["env", *(f"{k}={env[k]}" for k in ("SCREENDIR", "TERM", "LANG")), *words], (100, 30))
    try:
        assert seen(tmux, lambda screen: "c chats" in screen and "Quit" in screen), tmux.screen()
        before = first_layers(tmux.screen())
        tmux.send("Right")
        assert seen(tmux, lambda screen: first_layers(screen) == before + 1), tmux.screen()
    finally:
        subprocess.run(["screen", "-S", name, "-X", "quit"], env=env, capture_output=True, check=False)
        tmux.close()
