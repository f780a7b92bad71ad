"""The screen on a real NVIDIA card: a recording of it, its readings beside nvidia-smi's, its cost beside nvitop's.

    python -m tests.bench.real_card DIRECTORY_WITH_THE_BINARIES --out FOLDER

Four parts, each by itself with `--only`: `session` drives hettui by keys through idle, load, generation and stop while
nvidia-smi samples beside it; `table` compares what both said; `cost` runs hettui and nvitop side by side, with the card
idle and then under load by a process of neither, of which there is a recording, too (`--name loaded`); `bench` is
`hettui bench` on the card with two CPU workers, and llama-bench's opinion on the same. `--dry` takes CPU workers only,
to try the script without a card.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.bench.terminal import Cost, Terminal
from tests.gguf_files import with_tokenizer, write_gguf
from tests.truth.models import MODELS

SIZE = (120, 40)
VOCABULARY = 128256
"""Of both models."""
LOADED_S = 15.0
IDLE_S, TALK_S = 8.0, 11.0
QUERIES = (
    "timestamp", "memory.used", "temperature.gpu", "temperature.memory", "power.draw.average", "utilization.gpu",
    "clocks.sm", "pcie.link.gen.current", "pcie.link.width.current", "enforced.power.limit",
)  # fmt: skip


def config(folder: Path, model: Path, layers: int, *, dry: bool) -> Path:
    """A card with so many layers, and a CPU worker that takes four."""
    first = 'id = "cpu"\nvia = "worker"\nthreads = 1\nbudget = "4GiB"' if dry else 'id = "CUDA0"'
    path = folder / "cluster.toml"
    path.write_text(
        f'[model]\npath = "{model}"\n[serving]\nport = 0\nctx-size = 8192\n'
        'extra-args = ["--predict", "600", "--ignore-eos"]\n'
        f'[[devices]]\nname = "card"\n{first}\nlayers = {layers}\n'
        f'[[devices]]\nname = "cpu8"\nid = "cpu"\nvia = "worker"\nthreads = {1 if dry else 8}\n'
        'budget = "4GiB"\nlayers = 4\n'
    )
    return path


def bench(out: Path, binaries: Path, *, dry: bool) -> None:
    """The standard measurement of a card and two CPU workers, as a user would run it."""
    metadata, tensors = MODELS["llama-1b" if dry else "llama-8b"]()
    model = write_gguf(out / "model.gguf", with_tokenizer(metadata, VOCABULARY), tensors)
    path = config(out, model, 12 if dry else 25, dry=dry)
    text = path.read_text().replace('"--predict", "600", ', "").replace("layers = 4", f"layers = {3 if dry else 5}")
    text = text.replace("ctx-size = 8192", "ctx-size = 8192\nparallel = 2")
    path.write_text(
        text + f'[[devices]]\nname = "cpu4"\nid = "cpu"\nvia = "worker"\nthreads = {1 if dry else 4}\n'
        f'budget = "4GiB"\nlayers = {2 if dry else 3}\n'
    )
    argv = [
        sys.executable,
        "-m",
        "hettui",
        "bench",
        str(path),
        "--start",
        "--markdown",
        "--llama-bench",
        "--parallel",
        "1,2",
    ]
    sizes = ["-p", "64", "-n", "16", "--no-sum"] if dry else ["-p", "512", "-n", "128"]
    subprocess.run([*argv, *sizes], env=os.environ | environment(out, binaries), check=False)
    model.unlink()


def environment(folder: Path, binaries: Path) -> dict[str, str]:
    libraries = f"{binaries}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    return {"XDG_STATE_HOME": str(folder), "LLAMA_CPP_BIN": str(binaries), "LD_LIBRARY_PATH": libraries}


def session(out: Path, binaries: Path, *, dry: bool) -> None:
    """Idle, load, three answers, stop, idle; all of it recorded."""
    metadata, tensors = MODELS["llama-1b" if dry else "llama-8b"]()
    model = write_gguf(out / "model.gguf", with_tokenizer(metadata, VOCABULARY), tensors)
    path = config(out, model, 13 if dry else 29, dry=dry)
    with _recorded(out, "card", path, binaries, dry=dry) as terminal:
        terminal.wait_for(b"s starts it")
        terminal.spend(IDLE_S)
        terminal.send(b"s")
        terminal.wait_for(b"c chats", 120)
        terminal.spend(IDLE_S / 2)
        for _ in range(3):
            terminal.send(b"c")
            terminal.spend(0.5)
            terminal.send(b"Tell a long story\r")
            terminal.spend(TALK_S)
            terminal.send(b"\x1b")
            terminal.spend(1.5)
        terminal.send(b"x")
        terminal.spend(IDLE_S)
    model.unlink()


@contextmanager
def _recorded(out: Path, name: str, path: Path, binaries: Path, *, dry: bool) -> Iterator[Terminal]:
    """hettui with a recording, and nvidia-smi beside it."""
    beside = None
    if not dry:
        query = ["nvidia-smi", f"--query-gpu={','.join(QUERIES)}", "--format=csv,noheader,nounits", "-lms", "500"]
        with (out / f"{name}.csv").open("w") as file:
            beside = subprocess.Popen(query, stdout=file)
    argv = [sys.executable, "-m", "hettui", "--record", str(out / f"{name}.jsonl"), str(path)]
    terminal = Terminal(argv, SIZE, environment(out, binaries))
    try:
        yield terminal
    finally:
        terminal.close(b"q")
        if beside is not None:
            beside.terminate()
            beside.wait()


def table(out: Path, name: str) -> None:
    """What the recording and nvidia-smi say of the same moments."""
    from hettui.domain.telemetry.readings import DeviceSample, TelemetrySnapshot
    from hettui.services.events import TelemetryUpdated
    from hettui.wiring.replay import open_recording

    recording = open_recording(str(out / f"{name}.jsonl"))
    # The recording's times are this machine's monotonic clock.
    start_s = time.time() - time.monotonic()
    ours: list[tuple[float, DeviceSample]] = []
    for _, event in recording.entries:
        snapshot = event.snapshot if isinstance(event, TelemetryUpdated) else None
        if isinstance(snapshot, TelemetrySnapshot) and (sample := snapshot.samples.get("card")):
            ours.append((start_s + snapshot.monotonic_s, sample))
    theirs = [
        row for line in (out / f"{name}.csv").read_text().splitlines() if len(row := line.split(", ")) == len(QUERIES)
    ]
    readings: tuple[tuple[str, int, Callable[[DeviceSample], Any]], ...] = (
        ("memory, MiB", 1, lambda s: s.used_bytes and s.used_bytes / 2**20),
        ("temperature, °C", 2, lambda s: s.temperature_c),
        ("memory's temperature, °C", 3, lambda s: s.memory_temperature_c),
        ("power, W", 4, lambda s: s.power_w),
        ("utilisation, %", 5, lambda s: s.utilisation_percent),
        ("SM clock, MHz", 6, lambda s: s.clock_mhz),
        ("PCIe generation", 7, lambda s: s.link_now and s.link_now.generation),
        ("PCIe width", 8, lambda s: s.link_now and s.link_now.width),
        ("power limit, W", 9, lambda s: s.power_limit_w),
    )
    print(f"{len(ours)} readings of hettui, {len(theirs)} of nvidia-smi\n")
    print("| reading | nvidia-smi | hettui | pairs | same | median difference | 95 % within |")
    print("|---|---|---|---|---|---|---|")
    for name, column, reading in readings:
        pairs = list(_pairs(theirs, column, ours, reading))
        if not pairs:
            print(f"| {name} | – | – | 0 | – | – | – |")
            continue
        off = sorted(abs(a - b) for a, b in pairs)
        both = [f"{min(v):.0f}–{max(v):.0f}" for v in zip(*pairs, strict=True)]
        same, within = sum(x < 0.5 for x in off) / len(off), off[int(0.95 * (len(off) - 1))]
        cells = (name, *both, str(len(off)), f"{same:.0%}", f"{statistics.median(off):.1f}", f"{within:.1f}")
        print(f"| {' | '.join(cells)} |")


def _pairs(
    theirs: Sequence[Sequence[str]],
    column: int,
    ours: Sequence[tuple[float, object]],
    reading: Callable[..., Any],
) -> list[tuple[float, float]]:
    """nvidia-smi's and ours of the nearest moment, at most one second apart."""
    found = []
    for row in theirs:
        try:
            at_s, value = datetime.strptime(row[0], "%Y/%m/%d %H:%M:%S.%f").timestamp(), float(row[column])
        except ValueError:  # [N/A]
            continue
        nearest_s, sample = min(ours, key=lambda item: abs(item[0] - at_s))
        mine = reading(sample)
        if mine is not None and abs(nearest_s - at_s) <= 1.0:
            found.append((value, float(mine)))
    return found


def cost(out: Path, binaries: Path, seconds: float, *, dry: bool) -> None:
    """hettui and nvitop at the same time, both once a second, in terminals of the same size."""
    model = write_gguf(out / "model.gguf", *MODELS["llama-1b"]())
    path = config(out, model, 13, dry=dry)
    hettui = [sys.executable, "-m", "hettui", str(path)]
    nvitop = [sys.executable, "-m", "nvitop", "--interval", "1"]
    print("\n| card | program | CPU, of a core | to the terminal | resident |\n|---|---|---|---|---|")
    for what in ("idle", "under load"):
        load = None if what == "idle" else _load(binaries, model, dry=dry)
        terminals = [Terminal(hettui, SIZE, environment(out, binaries)), Terminal(nvitop, SIZE)]
        try:
            terminals[0].wait_for(b"s starts it", 20)
            _spend(terminals, 6)
            costs = _measure(terminals, seconds)
            if not all(terminal.alive for terminal in terminals):
                raise RuntimeError(f"a program has ended: {[t.tail[-300:] for t in terminals]}")
        finally:
            for terminal in terminals:
                terminal.close(b"q")
            if load is not None:
                with _recorded(out, "loaded", path, binaries, dry=dry) as terminal:
                    terminal.spend(LOADED_S)
                load.kill()
                load.wait()
        for name, one in zip(("hettui", "nvitop"), costs, strict=True):
            share, rate = one.cpu_s / one.seconds, one.written_bytes / one.seconds
            print(f"| {what} | {name} | {share:.2%} | {rate:.0f} bytes/s | {one.resident_bytes / 2**20:.0f} MiB |")
        a, b = costs
        ratios = (a.cpu_s / b.cpu_s, a.written_bytes / b.written_bytes, a.resident_bytes / b.resident_bytes)
        print(f"| {what} | ratio | {ratios[0]:.2f} | {ratios[1]:.2f} | {ratios[2]:.2f} |", flush=True)
    model.unlink()


def _load(binaries: Path, model: Path, *, dry: bool) -> subprocess.Popen[bytes]:
    """Keeps the card busy as decoding does: a process that belongs to neither program."""
    if dry:
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    argv = [str(binaries / "llama-bench"), "-m", str(model), "-ngl", "99", "-p", "0", "-n", "512", "-r", "1000"]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(5)
    return process


def _spend(terminals: Sequence[Terminal], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for terminal in terminals:
            while terminal.read(0.0):
                pass
        time.sleep(0.05)


def _measure(terminals: Sequence[Terminal], seconds: float) -> list[Cost]:
    before = [(t.cpu_s, t.main_thread_cpu_s, t.written_bytes) for t in terminals]
    start = time.monotonic()
    _spend(terminals, seconds)
    took = time.monotonic() - start
    return [
        Cost(took, t.cpu_s - cpu, t.main_thread_cpu_s - main, t.written_bytes - written, t.resident_bytes)
        for t, (cpu, main, written) in zip(terminals, before, strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binaries", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", choices=("session", "table", "cost", "bench"))
    parser.add_argument("--name", default="card", choices=("card", "loaded"), help="of the recording for the table")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--dry", action="store_true")
    options = parser.parse_args()
    if options.only in (None, "session"):
        session(options.out, options.binaries, dry=options.dry)
    if options.only in (None, "table") and not options.dry:
        table(options.out, options.name)
    if options.only in (None, "cost"):
        cost(options.out, options.binaries, options.seconds, dry=options.dry)
    if options.only in (None, "bench"):
        bench(options.out, options.binaries, dry=options.dry)


if __name__ == "__main__":
    main()
