"""An hour of daily use: a recorded demo cluster is asked, split anew and looked at, and what the screen holds is read.

    python -m tests.bench.soak                 an hour
    python -m tests.bench.soak --minutes 5 --size 80x24

A round is a question and its answer, one layer more or less on the first device and that applied, the panes one after
the other, the help and the plans. Of each tenth part it is told what is held at its end, and how long an answer and a
new split took. tmux is the terminal.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from hettui.adapters.files.paths import cache_dir
from hettui.adapters.library.demo_model import demo_model
from tests.bench.slow_line import Tmux, first_layers
from tests.bench.terminal import load_now, parse_size

_PAUSE_S = 2.0
_PATIENCE_S = 180.0
_PANES = "rgbve"
"""Their keys, but for the chat's."""


class Soak:
    """One screen under use."""

    def __init__(self, folder: Path, size: tuple[int, int]) -> None:
        names = ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")
        for name in names:
            (folder / name).mkdir(mode=0o700)
        home = [f"{name}={folder / name}" for name in names]
        cache, record = f"XDG_CACHE_HOME={cache_dir().parent}", str(folder / "soak.jsonl")
        argv = [sys.executable, "-m", "hettui", "demo", "--record", record]
        self.tmux = Tmux(["env", *home, cache, "COLORTERM=truecolor", "LANG=C.UTF-8", *argv], size)

    def until(self, seen: Callable[[str], bool]) -> float:
        """Seconds until the screen shows it."""
        took = self.tmux.seconds_until(seen, _PATIENCE_S)
        if took >= _PATIENCE_S:
            raise RuntimeError(f"it never came:\n{self.tmux.screen()}")
        return took

    def start(self) -> psutil.Process:
        """The screen's process, once the cluster answers."""
        self.until(lambda screen: "○ stopped" in screen)
        self.tmux.send("s")
        self.until(lambda screen: "● ready" in screen)
        shell = psutil.Process(int(self.tmux.pane_pid))
        return next(p for p in (shell, *shell.children(recursive=True)) if "--record" in p.cmdline()[-2:])

    def round(self, number: int) -> tuple[float, float]:
        """Seconds of an answer and of another split."""
        question = f"Count on from {number}."
        self.tmux.send("c")
        self.tmux.type(question)
        self.until(lambda screen: f"│{question}" in screen.replace("│ ", "│"))
        self.tmux.send("Enter")
        answered = self.until(lambda screen: question in screen and "· first token" in screen.partition(question)[2])
        self.tmux.send("Escape")
        self.until(lambda screen: "▶1" in screen)
        before = first_layers(self.tmux.screen())
        self.tmux.send("Left" if number % 2 else "Right")
        self.until(lambda screen: first_layers(screen) != before and "the plan differs" in screen)
        self.tmux.send("a")
        applied = self.until(lambda screen: "● ready" in screen and "the plan differs" not in screen)
        for key in (*_PANES, "Escape", "?", "Escape", "p", "Escape"):
            self.tmux.send(key)
            time.sleep(_PAUSE_S / 4)
        self.until(lambda screen: "▶1" in screen)
        time.sleep(_PAUSE_S)
        return answered, applied


@contextmanager
def soaking(folder: Path, size: tuple[int, int]) -> Iterator[Soak]:
    soak = Soak(folder, size)
    try:
        yield soak
    finally:
        soak.tmux.send("q")
        soak.tmux.seconds_until(lambda screen: "What shall become of it" in screen, 10)
        soak.tmux.send("Enter")
        soak.tmux.seconds_until(lambda screen: "hettui" not in screen, 30)
        soak.tmux.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--size", type=parse_size, default=(120, 40))
    options = parser.parse_args()
    demo_model(cache_dir(), lambda done, total: None)
    print(f"{load_now()}\n| minute | rounds | resident | PSS | answer | new split | threads | files |", flush=True)
    print(f"|{'---|' * 8}", flush=True)
    with TemporaryDirectory() as folder, soaking(Path(folder), options.size) as soak:
        process = soak.start()
        began, rounds = time.monotonic(), 0
        for part in range(1, 11):
            times: list[tuple[float, float]] = []
            while not times or time.monotonic() < began + part * 6 * options.minutes:
                times.append(soak.round(rounds))
                rounds += 1
            held = process.memory_full_info()
            answer, split = (statistics.median(column) for column in zip(*times, strict=True))
            minute = (time.monotonic() - began) / 60
            print(
                f"| {minute:.0f} | {rounds} | {held.rss / 2**20:.1f} MiB | {held.pss / 2**20:.1f} MiB | {answer:.1f} s "
                f"| {split:.1f} s | {process.num_threads()} | {process.num_fds()} |",
                flush=True,
            )
    print(f"\n{load_now()}")


if __name__ == "__main__":
    main()
