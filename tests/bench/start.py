"""From the command to the first complete frame, and the memory of a screen that rests: against an empty Textual app.

    python -m tests.bench.start                      ten starts of each, in turns
    python -m tests.bench.start --runs 20 --size 80x24

The empty app has a header and a footer and nothing else. A frame is complete when everything that the program shows
once it stands has reached the terminal: of the empty app its title and the key in its footer; of hettui the header's
state, the name of the last card and the last words of the footer. `configuration` is `hettui CONFIG` with a model and
three workers; `demo` is the demo's session with the demo model, which is fetched before if need be. Both ask a real
llama-server what it can do, unless there is none; `the same without an engine` shows what that costs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from hettui.adapters.files.paths import cache_dir
from hettui.adapters.library.demo_model import demo_model
from tests.bench.terminal import Terminal, load_now, parse_size, plain

REST_S = 5.0


@dataclass(frozen=True)
class Program:
    """What is started, and what stands in its first complete frame."""

    name: str
    argv: Sequence[str]
    marks: Sequence[bytes]
    env: Mapping[str, str]


@dataclass(frozen=True)
class Start:
    """One start."""

    seconds: float
    resident_bytes: int
    proportional_bytes: int
    """PSS: shared pages divided among those who share them."""


def start(program: Program, size: tuple[int, int], rest_s: float) -> Start:
    began = time.perf_counter()
    terminal = Terminal(program.argv, size, program.env)
    try:
        missing, seen, deadline = list(program.marks), b"", began + 30
        while missing:
            if time.perf_counter() > deadline or not terminal.alive:
                raise RuntimeError(f"{program.name}: {missing} did not appear; the last was {terminal.tail[-500:]!r}")
            if not terminal.read(0.5):
                continue
            took = time.perf_counter() - began
            seen = plain(terminal.tail)
            missing = [mark for mark in missing if mark not in seen]
        terminal.spend(rest_s)
        return Start(took, terminal.resident_bytes, terminal.proportional_bytes)
    finally:
        terminal.close(b"q")


def programs(folder: Path, model: Path) -> list[Program]:
    """The empty app first."""
    home = {name: str(folder / name) for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")}
    for path in home.values():
        Path(path).mkdir()
    home["XDG_CACHE_HOME"] = str(cache_dir().parent)
    config = folder / "cluster.toml"
    devices = "".join(
        f'[[devices]]\nname = "card {n}"\nid = "cpu"\nvia = "worker"\nthreads = 1\nbudget = "{budget}MiB"\n'
        for n, budget in ((1, 240), (2, 180), (3, 90))
    )
    config.write_text(f'[model]\npath = "{model}"\n[serving]\nport = 0\nctx-size = 8192\n{devices}')
    hettui = [sys.executable, "-m", "hettui"]
    marks = ("○".encode(), b"CPU of this machine", b"Quit")
    return [
        Program("empty app", [sys.executable, "-m", "tests.bench.empty_app"], (b"An empty app", b"Quit"), home),
        Program("configuration", [*hettui, str(config)], marks, home),
        Program("demo", [*hettui, "demo"], marks, home),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--rest", type=float, default=REST_S, help="seconds before memory is read")
    parser.add_argument("--size", type=parse_size, default=(120, 40))
    options = parser.parse_args()
    model = demo_model(cache_dir(), lambda done, total: None)
    print(load_now())
    with TemporaryDirectory() as folder:
        all_programs = programs(Path(folder), model)
        found: dict[str, list[Start]] = {p.name: [] for p in all_programs}
        for run in range(options.runs + 1):
            for program in all_programs if run % 2 else reversed(all_programs):
                one = start(program, options.size, options.rest)
                if run:  # the first fills the caches
                    found[program.name].append(one)
    print(table(found))


def table(found: Mapping[str, Sequence[Start]]) -> str:
    rows = [
        "| program | starts | to the first complete frame, median (quartiles) | of the empty app's | "
        "resident | of the empty app's | PSS | of the empty app's |",
        "|---|---|---|---|---|---|---|---|",
    ]
    base: tuple[float, float, float] | None = None
    for name, starts in found.items():
        low, middle, high = statistics.quantiles([s.seconds for s in starts], n=4)
        rss = statistics.median(s.resident_bytes for s in starts)
        pss = statistics.median(s.proportional_bytes for s in starts)
        base = base or (middle, rss, pss)
        rows.append(
            f"| {name} | {len(starts)} | {middle * 1000:.0f} ms ({low * 1000:.0f}–{high * 1000:.0f}) | "
            f"{middle / base[0]:.2f} | {rss / 2**20:.1f} MiB | {rss / base[1]:.2f} | "
            f"{pss / 2**20:.1f} MiB | {pss / base[2]:.2f} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
