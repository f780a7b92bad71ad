"""From the command to the first complete frame, and the memory of a screen that rests: against an empty Textual app.

    python -m tests.bench.start                      ten starts of each, in turns
    python -m tests.bench.start --runs 20 --size 80x24
    python -m tests.bench.start --against FOLDER     and of the hettui in another checkout

The empty app has a header and a footer and nothing else. Its frame is complete when its title and the key in its footer
have reached the terminal; hettui's when the header's state, the name of the last card and the last words of the footer
have. Its first rows stand when the header's state and the plan line's first words do. A key is typed then, and when
its answer has come the screen has the keyboard: until then it waits in the kernel. CPU is of the process with all its
threads: the measure where others use the machine. `configuration` is `hettui CONFIG` with a model and three workers;
`demo` is the demo's session with the demo model, which is fetched before if need be. Both ask a real llama-server what
it can do, unless there is none.
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
Marks = tuple[bytes, ...]
"""Any of them."""


@dataclass(frozen=True)
class Program:
    """What is started, and what stands in its first complete frame."""

    name: str
    argv: Sequence[str]
    rows: Sequence[Marks]
    """What its first rows are known by: one of each; empty: it has none."""
    marks: Sequence[Marks]
    key: tuple[bytes, bytes] | None
    """What is typed, and what comes then."""
    env: Mapping[str, str]


@dataclass(frozen=True)
class Moment:
    """Something stands on the terminal."""

    seconds: float
    cpu_s: float


@dataclass(frozen=True)
class Start:
    """One start."""

    rows: Moment
    """Where there are no first rows as `frame`."""
    frame: Moment
    answer: Moment
    """To the first key; where there is none as `frame`."""
    resident_bytes: int
    proportional_bytes: int
    """PSS: shared pages divided among those who share them."""


def start(program: Program, size: tuple[int, int], rest_s: float) -> Start:
    began = time.perf_counter()
    terminal = Terminal(program.argv, size, program.env)
    try:
        rows = _stands(terminal, program.name, program.rows, began)
        frame = _stands(terminal, program.name, program.marks, began)
        answer = frame
        if program.key is not None:
            terminal.send(program.key[0])
            answer = _stands(terminal, program.name, [(program.key[1],)], began)
        terminal.spend(rest_s)
        return Start(
            rows if program.rows else frame, frame, answer, terminal.resident_bytes, terminal.proportional_bytes
        )
    finally:
        terminal.close(b"q")


def _stands(terminal: Terminal, name: str, marks: Sequence[Marks], began: float) -> Moment:
    """When all of it had been written."""
    now = Moment(time.perf_counter() - began, terminal.cpu_s)
    missing = missing_of(terminal.tail, marks)
    while missing:
        if time.perf_counter() > began + 30 or not terminal.alive:
            raise RuntimeError(f"{name}: {missing} did not appear; the last was {terminal.tail[-500:]!r}")
        if terminal.read(0.5):
            now = Moment(time.perf_counter() - began, terminal.cpu_s)
            missing = missing_of(terminal.tail, marks)
    return now


def missing_of(written: bytes, marks: Sequence[Marks]) -> list[Marks]:
    """Those of which nothing stands in what was written."""
    seen = plain(written)
    return [some for some in marks if not any(mark in seen for mark in some)]


def programs(folder: Path, model: Path, against: Path | None = None) -> list[Program]:
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
    python = [sys.executable, "-m"]
    looking, stopped = "◌".encode(), "○".encode()
    rows: list[Marks] = [(looking, stopped), (b"the plan fits",)]
    marks: list[Marks] = [(looking, stopped), (b"CPU of this machine",), (b"Quit",)]
    down = b"j", "▶2 ".encode()
    empty: list[Marks] = [(b"An empty app",), (b"Quit",)]
    found = [Program("empty app", [*python, "tests.bench.empty_app"], [], empty, None, home)]
    for where, before in (("", []), (f", {against}", ["env", "-C", str(against)])):
        if against is not None or not before:
            hettui = [*before, *python, "hettui"]
            found += [
                Program(f"configuration{where}", [*hettui, str(config)], rows, marks, down, home),
                Program(f"demo{where}", [*hettui, "demo"], rows, marks, down, home),
            ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--rest", type=float, default=REST_S, help="seconds before memory is read")
    parser.add_argument("--size", type=parse_size, default=(120, 40))
    parser.add_argument("--against", type=Path, help="a folder with another hettui")
    options = parser.parse_args()
    model = demo_model(cache_dir(), lambda done, total: None)
    print(load_now())
    with TemporaryDirectory() as folder:
        all_programs = programs(Path(folder), model, options.against)
        found: dict[str, list[Start]] = {p.name: [] for p in all_programs}
        for run in range(options.runs + 1):
            for program in all_programs if run % 2 else reversed(all_programs):
                one = start(program, options.size, options.rest)
                if run:  # the first fills the caches
                    found[program.name].append(one)
    print(table(found))


def table(found: Mapping[str, Sequence[Start]]) -> str:
    heads = ("program", "starts", "until header and plan line stand", "CPU", "to the first complete frame", "CPU",
             "to a key's answer", "CPU", "resident", "PSS")  # fmt: skip
    rows = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    base: list[float] | None = None
    for name, starts in found.items():
        middle = [
            statistics.median(values)
            for values in zip(*((*_ms(s.rows), *_ms(s.frame), *_ms(s.answer), *_mib(s)) for s in starts), strict=True)
        ]
        base = base or middle
        units = (*["ms"] * 6, "MiB", "MiB")
        told = (f"{m:.{unit == 'MiB':d}f} {unit} ({m / b:.2f})" for m, b, unit in zip(middle, base, units, strict=True))
        rows.append(f"| {name} | {len(starts)} | {' | '.join(told)} |")
    return "\n".join(rows) + "\n\nMedians, and in brackets how many times the empty app's."


def _ms(moment: Moment) -> tuple[float, float]:
    return moment.seconds * 1e3, moment.cpu_s * 1e3


def _mib(start: Start) -> tuple[float, float]:
    return start.resident_bytes / 2**20, start.proportional_bytes / 2**20


if __name__ == "__main__":
    main()
