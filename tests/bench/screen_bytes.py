"""Bytes a second to the terminal: hettui, nvitop and btop in turns, in the same sizes.

    python -m tests.bench.screen_bytes --nvitop FOLDER       FOLDER holds nvitop and nvidia-ml-py (pip install --target)
    python -m tests.bench.screen_bytes --seconds 30

Eight scripted cards, read through NVML's Python module by hettui and by nvitop, once a second: `idle` when no reading
changes, `load` when every one does. `answer` is the chat pane at 100 tokens a second beside three cards. "As Textual
writes" is hettui with Textual's own way to the terminal. btop has no GPU to show here: it tells of CPU, memory,
network and processes, with its pace set to one second, and is measured once, whatever the others do.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.gauges import run_child
from tests.bench.terminal import Cost, Terminal, load_now

SIZES = ((80, 24), (120, 40))
CARDS = 8
SETTLE_S = 6.0


@contextmanager
def closing(terminal: Terminal, keys: bytes = b"q") -> Iterator[Terminal]:
    try:
        yield terminal
    finally:
        terminal.close(keys)


def measured(terminal: Terminal, seconds: float, settle_s: float = SETTLE_S) -> Cost:
    with closing(terminal):
        terminal.spend(settle_s)
        return terminal.measure(seconds)


def answer(size: tuple[int, int], seconds: float, *, plain: bool) -> Cost:
    words = ["--cards", "3", "--stream", "100", *(["--plain"] if plain else [])]
    terminal = Terminal([sys.executable, "-m", "tests.bench.scene", *words], size)
    with closing(terminal, b"l"):
        terminal.wait_for(b"chats")
        terminal.send(b"c")
        terminal.spend(1)
        terminal.send(b"go\r")
        terminal.wait_for(b"river")
        # Until the pane is full and scrolls.
        terminal.spend(SETTLE_S)
        cost = terminal.measure(seconds)
        terminal.send(b"\x11")
        terminal.spend(1)
        return cost


def nvitop(folder: Path, place: Path, size: tuple[int, int], *, still: bool) -> Terminal:
    """On the same scripted cards."""
    (place / "pynvml.py").write_text((Path(__file__).parent / "pynvml_for_others.py").read_text())
    code = f"import sys; sys.path.append({str(folder)!r}); from nvitop.cli import main; sys.exit(main())"
    env = {
        "PYTHONPATH": f"{place}:{Path.cwd()}",
        "HETTUI_BENCH_PYNVML": str(folder / "pynvml.py"),
        "HETTUI_BENCH_CARDS": str(CARDS),
        "HETTUI_BENCH_STILL": "1" if still else "",
    }
    return Terminal([sys.executable, "-c", code, "--interval", "1"], size, env)


def btop(place: Path, size: tuple[int, int]) -> Terminal:
    (place / "btop").mkdir(exist_ok=True)
    (place / "btop" / "btop.conf").write_text("update_ms = 1000\n")
    return Terminal(["btop", "--utf-force"], size, {"XDG_CONFIG_HOME": str(place), "LC_ALL": "C.UTF-8"})


def table(size: tuple[int, int], costs: list[tuple[str, str, Cost]]) -> None:
    print(f"\n{size[0]}×{size[1]}\n")
    print("| what | program | to the terminal | of hettui's | CPU, of a core |")
    print("|---|---|---|---|---|")
    bases: dict[str, float] = {}
    for what, program, cost in costs:
        rate = cost.written_bytes / cost.seconds
        base = bases.setdefault(what, rate)
        times = f"{rate / base:.1f}" if base else "–"
        print(f"| {what} | {program} | {rate:.0f} bytes/s | {times} | {cost.cpu_s / cost.seconds:.1%} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--nvitop", type=Path, help="a folder with nvitop and pynvml.py")
    options = parser.parse_args()
    print(load_now())
    for size in SIZES:
        costs: list[tuple[str, str, Cost]] = []
        with TemporaryDirectory() as folder:
            for what, still in (("idle", True), ("load", False)):
                for name, plain in (("hettui", False), ("as Textual writes", True)):
                    child = run_child(CARDS, still=still, plain=plain, size=size)
                    costs.append((what, name, measured(child, options.seconds)))
                if options.nvitop:
                    other = nvitop(options.nvitop, Path(folder), size, still=still)
                    costs.append((what, "nvitop", measured(other, options.seconds)))
                if shutil.which("btop"):
                    costs.append((what, "btop", measured(btop(Path(folder), size), options.seconds)))
            for name, plain in (("hettui", False), ("as Textual writes", True)):
                costs.append(("answer", name, answer(size, options.seconds, plain=plain)))
        table(size, costs)


if __name__ == "__main__":
    main()
