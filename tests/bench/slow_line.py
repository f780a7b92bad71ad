"""hettui over a slow line: from a key to its effect on the screen, while nothing, readings or an answer goes on.

    python -m tests.bench.slow_line                                9,600 baud and 250 ms each way, 80x24
    python -m tests.bench.slow_line --rate 0 --delay 0.25          only far away
    python -m tests.bench.slow_line --size 120x40 --keys 10

tmux is the terminal; `tests.bench.line` stands between it and the program. The same again as Textual alone writes
(`scene --plain`) shows what the pacing is worth. A key's time ends when its effect can be seen in tmux. At the end of
the answer: how long after the server's last token its figures can be seen, which is the backlog that had piled up.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.bench.terminal import load_now, parse_size

PATIENCE_S = 60.0
_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Line:
    delay_s: float
    bytes_per_s: float
    buffer_bytes: int

    def argv(self) -> list[str]:
        rate = ["--rate", str(self.bytes_per_s)] if self.bytes_per_s else []
        shape = ["--delay", str(self.delay_s), *rate, "--buffer", str(self.buffer_bytes)]
        return [sys.executable, "-m", "tests.bench.line", *shape, "--"]


class Tmux:
    """A terminal of that size, with a program behind a line."""

    def __init__(self, argv: list[str], size: tuple[int, int]) -> None:
        self._socket = f"slow-line-{os.getpid()}-{next(_NUMBERS)}"
        words = " ".join(f"'{word}'" for word in argv)
        self._do("-f", "/dev/null", "new-session", "-d", "-x", str(size[0]), "-y", str(size[1]), f"{words}; sleep 600")

    def _do(self, *words: str) -> str:
        return subprocess.run(["tmux", "-L", self._socket, *words], capture_output=True, text=True, check=True).stdout

    @property
    def pane_pid(self) -> str:
        """Of the shell that runs it."""
        return self._do("display-message", "-p", "#{pane_pid}").strip()

    def screen(self) -> str:
        return self._do("capture-pane", "-p")

    def send(self, *keys: str) -> None:
        self._do("send-keys", *keys)

    def type(self, text: str) -> None:
        self._do("send-keys", "-l", text)

    def seconds_until(self, seen: Callable[[str], bool], patience_s: float = PATIENCE_S) -> float:
        """From now on; the patience when it never comes."""
        start = time.monotonic()
        while not seen(self.screen()):
            if time.monotonic() - start > patience_s:
                return patience_s
            time.sleep(0.02)
        return time.monotonic() - start

    def close(self) -> None:
        subprocess.run(["tmux", "-L", self._socket, "kill-server"], capture_output=True, check=False)


def first_layers(screen: str) -> int:
    """Of the first card."""
    found = re.search(r"layers\s+\S+\s+(\d+)", screen)
    return int(found[1]) if found else -1


def slider_keys(tmux: Tmux, count: int, pause_s: float) -> list[float]:
    times = []
    for n in range(count):
        before = first_layers(tmux.screen())
        wanted = before + (1 if n % 2 else -1)
        tmux.send("Right" if n % 2 else "Left")
        times.append(tmux.seconds_until(lambda screen, wanted=wanted: first_layers(screen) == wanted))  # type: ignore[misc]
        if times[-1] >= PATIENCE_S:
            break
        time.sleep(pause_s)
    return times


def typed_keys(tmux: Tmux, count: int, pause_s: float) -> list[float]:
    """Into the prompt, while an answer is coming."""
    times, text = [], ""
    for n in range(count):
        text += "abcdefghij"[n % 10]
        tmux.type(text[-1])
        times.append(tmux.seconds_until(lambda screen, text=text: f"│ {text}" in screen or f"│{text}" in screen))  # type: ignore[misc]
        if times[-1] >= PATIENCE_S:
            break
        time.sleep(pause_s)
    return times


def of_sliders(line: Line, size: tuple[int, int], words: list[str], keys: int) -> list[float]:
    tmux = Tmux([*line.argv(), sys.executable, "-m", "tests.bench.scene", "--cards", "3", *words], size)
    try:
        tmux.seconds_until(lambda screen: "c chats" in screen and "Quit" in screen and first_layers(screen) > 0)
        time.sleep(8)
        return slider_keys(tmux, keys, 2.0)
    finally:
        tmux.close()


def of_streaming(line: Line, size: tuple[int, int], words: list[str], keys: int) -> tuple[list[float], float]:
    """Times of keys while an answer of a minute comes, and from Esc to its figures."""
    argv = [*line.argv(), sys.executable, "-m", "tests.bench.scene", "--cards", "3", "--stream", "100", *words]
    tmux = Tmux(argv, size)
    try:
        tmux.seconds_until(lambda screen: "c chats" in screen and "Quit" in screen)
        time.sleep(3)
        tmux.send("c")
        tmux.type("go")
        tmux.seconds_until(lambda screen: "go" in screen)
        tmux.send("Enter")
        tmux.seconds_until(lambda screen: "river" in screen)
        time.sleep(5)
        times = typed_keys(tmux, keys, 2.0)
        tmux.send("Escape")
        return times, tmux.seconds_until(lambda screen: "first token" in screen)
    finally:
        tmux.close()


def row(what: str, times: list[float], more: str = "") -> str:
    worst = f"> {PATIENCE_S:.0f} s" if max(times) >= PATIENCE_S else f"{max(times):.2f} s"
    return f"| {what} | {len(times)} | {statistics.median(times):.2f} s | {worst} | {more or '–'} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delay", type=float, default=0.25, help="seconds each way")
    parser.add_argument("--rate", type=float, default=960, help="bytes per second; 0: no cap")
    parser.add_argument("--buffer", type=int, default=65536)
    parser.add_argument("--size", type=parse_size, default=(80, 24))
    parser.add_argument("--keys", type=int, default=6)
    parser.add_argument("--only", choices=("hettui", "plain"))
    options = parser.parse_args()
    line = Line(options.delay, options.rate, options.buffer)
    print(load_now())
    print(f"{options.size[0]}×{options.size[1]}, {options.delay * 1000:.0f} ms each way, {options.rate:.0f} bytes/s\n")
    print("| program, meanwhile | keys | key to screen, median | worst | Esc to the answer's figures |")
    print("|---|---|---|---|---|")
    for name, words in (("hettui", []), ("plain", ["--plain"])):
        if options.only in (None, name):
            called = "hettui" if name == "hettui" else "as Textual writes"
            print(row(f"{called}, nothing", of_sliders(line, options.size, words, options.keys)), flush=True)
            readings = of_sliders(line, options.size, [*words, "--readings"], options.keys)
            print(row(f"{called}, readings", readings), flush=True)
            times, end_s = of_streaming(line, options.size, words, options.keys)
            print(row(f"{called}, an answer at 100 tok/s", times, f"{end_s:.2f} s"), flush=True)


if __name__ == "__main__":
    main()
