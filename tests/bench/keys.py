"""From a slider's key to all numbers repainted: sixteen devices, 94 blocks.

    python -m tests.bench.keys                      200 keys in each size
    python -m tests.bench.keys --keys 500 --size 80x24

`pty` is from the key's write to the terminal until the last byte of the answer has been read; `inside` is from the
key's arrival in hettui until the answer is with the thread that writes. `sensors hang` is the same beside a driver of
eight scripted cards that stopped answering (`tests.bench.gauges`), in turns with one that answers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.gauges import run_child
from tests.bench.terminal import Terminal, load_now, parse_size

SIZES = ((80, 24), (120, 40), (200, 60))
QUIET_S = 0.06
BUDGET_S = 0.016


def whole_answer_s(terminal: Terminal, keys: bytes) -> float:
    """From a key until the last byte that the program writes then."""
    while terminal.read(QUIET_S):
        pass
    start = last = time.perf_counter()
    terminal.send(keys)
    while terminal.read(1.0 if last == start else QUIET_S):
        last = time.perf_counter()
    return last - start


def key_of(n: int) -> bytes:
    return b"\x1b[C" if n % 2 else b"\x1b[D"


def row(what: str, times: Sequence[float]) -> str:
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    within = sum(t <= BUDGET_S for t in times) / len(times)
    return (
        f"| {what} | {len(times)} | {cuts[49] * 1000:.1f} ms | {cuts[89] * 1000:.1f} ms | {cuts[98] * 1000:.1f} ms | "
        f"{within:.1%} |"
    )


def in_size(size: tuple[int, int], keys: int, folder: Path) -> None:
    times_file = folder / f"{size[0]}.json"
    words = ["--cards", "16", "--blocks", "94", "--times", str(times_file)]
    terminal = Terminal([sys.executable, "-m", "tests.bench.scene", *words], size)
    terminal.wait_for(b"chats")
    terminal.spend(3)
    whole_answer_s(terminal, b"\x1b[D")
    times = [whole_answer_s(terminal, key_of(n)) for n in range(keys)]
    terminal.send(b"\x11")
    terminal.spend(0.5)
    terminal.close(b"l")
    print(row(f"{size[0]}×{size[1]}, pty", times), flush=True)
    print(row(f"{size[0]}×{size[1]}, inside", json.loads(times_file.read_text())[-keys:]), flush=True)


def beside_sensors(keys: int) -> None:
    well, hung = run_child(8), run_child(8, 2.0)
    for terminal in (well, hung):
        terminal.spend(5)
    found: list[list[float]] = [[], []]
    for n in range(keys):
        for terminal, times in zip((well, hung), found, strict=True):
            times.append(terminal.answer_s(key_of(n)))
    for terminal in (well, hung):
        terminal.close(b"q")
    print(row("120×40, 8 cards, sensors answer, pty, first byte", found[0]))
    print(row("120×40, 8 cards, sensors hang, pty, first byte", found[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=200)
    parser.add_argument("--size", type=parse_size)
    options = parser.parse_args()
    print(load_now())
    print("| what | keys | median | nine of ten | p99 | within 16 ms |")
    print("|---|---|---|---|---|---|")
    with TemporaryDirectory() as folder:
        for size in (options.size,) if options.size else SIZES:
            in_size(size, options.keys, Path(folder))
    beside_sensors(options.keys // 2)


if __name__ == "__main__":
    main()
