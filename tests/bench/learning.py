"""What one answer teaches, on a machine with two NVIDIA cards: predicted against measured speed of other splits.

    python -m tests.bench.learning DIRECTORY_WITH_THE_BINARIES --out FOLDER

Two attached cards (or one, with `--cards 1`) and CPU workers of 8 and 4 threads, each on cores of its own; 16 cores
are needed. hettui's own
engine, sensors and learner: one answer at one split, then the same question to a dozen other splits and orders, each
compared with what was predicted after the first. Then somebody else computes on the last card (llama-bench reading
prompts: matrix products): one answer again, the planner's next plan against ten others, and after the end of the other
program the plan is the old one again. Markdown tables; the figures as JSON lines in FOLDER. Less than nine minutes;
`--seconds` says after how many no new split is begun. `--dry` takes three CPU workers and a small model, to try the
script without cards.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

from hettui.adapters.files.config_toml import load
from hettui.adapters.files.paths import cache_dir
from hettui.adapters.library.demo_model import demo_model
from hettui.domain.errors import HettuiError
from hettui.domain.memory.forecast import forecast
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.planner.learned import Learned
from hettui.domain.planner.objectives import best_plan
from hettui.domain.session.room import Room
from hettui.domain.session.session import Session
from hettui.domain.speed.learning import speed_key
from hettui.domain.speed.pace import below_s, expected, pace
from hettui.domain.tuning.report import split_words
from hettui.domain.tuning.search import shape_of
from hettui.services.engine import Engine
from hettui.services.events import BenchEnded, Event
from hettui.services.learner import Learner, Times
from hettui.wiring.engine import build_engine
from hettui.wiring.ownership import own_run
from hettui.wiring.sessions import open_session, request_for
from tests.gguf_files import with_tokenizer, write_gguf
from tests.truth.models import MODELS

ANSWER_S, QUICK_S = 6.0, 4.0
"""How long the answer takes that teaches, and those that are only compared."""
OTHERS, LOADED_OTHERS = 14, 10
_CORES = {8: "0-7", 4: "8-11"}
_MASTER_CORES = "12-15"
_CORES_TAKEN = 16
_VOCABULARY = 128256
_HOLDS, _DRY_HOLDS = 0.55, 2.0
"""Budgets as parts of the model: none holds it all."""


def wrapped(binaries: Path, folder: Path) -> Path:
    """The binaries, each pinned to cores of its own: a worker by its threads, the master to the rest."""
    folder.mkdir()
    worker = "".join(f'*" -t {n} "*) cores={cores};; ' for n, cores in _CORES.items())
    pins = {
        "llama-server": f"cores={_MASTER_CORES}",
        "ggml-rpc-server": f'cores={_MASTER_CORES}; case " $* " in {worker}esac',
    }
    for name, choose in pins.items():
        script = folder / name
        script.write_text(f'#!/bin/sh\n{choose}\nexec taskset -c "$cores" "{binaries / name}" "$@"\n')
        script.chmod(0o755)
    return folder


def config(folder: Path, model: Path, weights_bytes: int, cards: int, *, dry: bool) -> Path:
    """Cards first, since they are attached; budgets make a cluster of it."""
    own, card = int((_DRY_HOLDS if dry else _HOLDS) * weights_bytes), 700 << 20
    rows: list[tuple[str, str, int | None]] = [(f"card{i}", f"CUDA{i}", None) for i in range(cards)]
    rows += [("cpu8", "cpu", 8), ("cpu4", "cpu", 4)]
    if dry:
        rows = [("card0", "cpu", 1), ("card1", "cpu", 2), ("cpu4", "cpu", 3)]
    text = f'[model]\npath = "{model}"\n[serving]\nport = 0\nctx-size = 2048\nparallel = 1\nflash-attn = "on"\n'
    for name, id, threads in rows:
        text += f'[[devices]]\nname = "{name}"\nid = "{id}"\nbudget = {own + (0 if threads else card)}\n'
        text += f'via = "worker"\nthreads = {threads}\n' if threads else ""
    path = folder / "cluster.toml"
    path.write_text(text)
    return path


class Bench:
    """hettui's engine with its learner; launches a split and asks it."""

    def __init__(self, engine: Engine, session: Session) -> None:
        self.engine, self.session = engine, session
        self.learner = Learner(lambda learned: None, Times())
        self._ended, self._outcomes = threading.Event(), list[BenchEnded]()
        engine.subscribe(self.learner)
        engine.subscribe(self._hear)
        engine.watch(session.devices)

    def _hear(self, event: Event) -> None:
        if isinstance(event, BenchEnded):
            self._outcomes.append(event)
            self._ended.set()

    def launch(self, plan: Plan) -> None:
        self.learner.expect(self.session)
        self.engine.start(request_for(self.session, plan, room=Room())).result()

    def ask(self, seconds: float, expected_per_second: float | None, *, repeats: int = 1) -> float:
        """Tokens a second of answers that take about so long."""
        from hettui.domain.bench.run import BenchPlan

        tokens = 16 if expected_per_second is None else min(max(round(seconds * expected_per_second), 16), 1500)
        self._ended.clear()
        plan = BenchPlan((), (tokens,), streams=(1,), repeats=repeats)
        self.engine.bench(plan).result()
        self._ended.wait()
        outcome = self._outcomes.pop().outcome
        rate = outcome.results[0].rate if outcome.results else None
        if rate is None:
            raise HettuiError(outcome.problem or "no answer")
        return rate.mean

    def learned_answers(self) -> int:
        return sum(known.windows for known in self.session.learned.speeds.values())

    def best(self) -> Plan:
        """The planner's by what is known now."""
        workload, devices = self.session.workload, self.session.learned.with_measured(self.session.devices)
        assert workload is not None
        return best_plan(workload, devices, "latency").plan


def expected_of(learned: Learned, session: Session, plan: Plan) -> float:
    own = {d.name: d for d in session.devices}
    devices = learned.with_measured([own[d.name] for d in plan.devices])
    assert session.shape is not None
    found = expected(session.shape, devices, plan.split.layers)
    assert found is not None, "a speed is not known"
    return found.per_second


def samples(session: Session, count: int, seed: int, least_per_device: int = 1) -> list[Plan]:
    """Splits and orders that fit; the first few leave somebody out."""
    dice, found, workload = random.Random(seed), list[Plan](), session.workload
    assert workload is not None
    layers = workload.shape.layers
    for _ in range(20_000):
        if len(found) == count:
            break
        order = list(session.devices)
        dice.shuffle(order)
        # Attached cards and workers may stand in any order.
        cuts = sorted(dice.randint(0, layers) for _ in order[1:])
        counts = [b - a for a, b in zip([0, *cuts], [*cuts, layers], strict=True)]
        slow = sum(n for d, n in zip(order, counts, strict=True) if d.backend == "cpu")
        if layers * 0.6 < slow < layers or (len(found) > 3 and min(counts) < least_per_device):
            continue
        split = Split(tuple(counts), layers)
        if forecast(workload, split, order).fits:
            found.append(Plan(tuple(order), split))
    return found


def lesson_split(session: Session) -> Plan:
    """Something of the model on every device."""
    workload = session.workload
    assert workload is not None
    plans = samples(session, 60, 11)
    return max(plans, key=lambda plan: min(plan.split.layers))


def compared(bench: Bench, plans: Sequence[Plan], learned: Learned, out: Path, what: str, end: float) -> list[float]:
    """Prints a row for each split: what was predicted, what was measured. Returns how far off, as parts."""
    print(f"\n| {what}: split in device order | predicted tok/s | measured | off |\n|---|---|---|---|", flush=True)
    off = list[float]()
    for plan in plans:
        if time.monotonic() > end:
            print(f"(stopped after {len(off)} of {len(plans)}: no time left)", flush=True)
            break
        told = expected_of(learned, bench.session, plan)
        try:
            bench.launch(plan)
            measured = bench.ask(QUICK_S, told)
        except HettuiError as error:
            print(f"| {split_words(plan)} | {told:.1f} | failed: {str(error)[:80]} | |", flush=True)
            continue
        off.append(told / measured - 1)
        print(f"| {split_words(plan)} | {told:.1f} | {measured:.1f} | {off[-1]:+.0%} |", flush=True)
        with (out / "learning.jsonl").open("a") as file:
            file.write(json.dumps({"what": what, "split": shape_of(plan), "told": told, "measured": measured}) + "\n")
    if off:
        size = sorted(abs(x) for x in off)
        print(f"\n{what}: median {statistics.median(size):.1%}, worst {size[-1]:.1%} of {len(size)} splits", flush=True)
    return off


@contextmanager
def somebody_else(binaries: Path, model: Path, card: int, *, dry: bool) -> Iterator[None]:
    """Matrix products on a card, by a program of nobody's here."""
    if dry:
        argv, env = [sys.executable, "-c", "while True: pass"], dict(os.environ)
    else:
        # On cores of nobody's here: a thread that spins beside one of a worker's would slow the worker, not the card.
        rest = f"{_CORES_TAKEN}-{cores - 1}" if (cores := os.cpu_count() or 0) > _CORES_TAKEN else _MASTER_CORES
        argv = [
            "taskset",
            "-c",
            rest,
            str(binaries / "llama-bench"),
            "-m",
            str(model),
            "-ngl",
            "99",
            "-p",
            "2048",
            "-n",
            "0",
            "-r",
            "100000",
        ]
        env = os.environ | {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": str(card)}
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
    try:
        time.sleep(1 if dry else 12)
        yield
    finally:
        process.kill()
        process.wait()


def factors(learned: Learned, session: Session, names: Sequence[str]) -> dict[str, float]:
    """Milliseconds of one block, of each device by itself."""
    assert session.shape is not None
    found = {}
    for device in learned.with_measured(session.devices):
        if device.name in names:
            below = below_s(session.shape, pace(device))
            found[device.name] = 1e3 * (below[2] - below[1])
    return found


def taught(bench: Bench, plan: Plan) -> float:
    """One answer, and what it teaches. Tokens a second."""
    bench.launch(plan)
    rough = bench.ask(1.0, None)
    before = bench.learned_answers()
    rate = bench.ask(ANSWER_S, rough)
    deadline = time.monotonic() + 10
    while bench.learned_answers() <= before and not bench.session.learned.now and time.monotonic() < deadline:
        time.sleep(0.1)
    return rate


def run(
    bench: Bench, binaries: Path, out: Path, model: Path, end: float, loaded: int, others: int, *, dry: bool
) -> None:
    session = bench.session
    lesson = lesson_split(session)
    names = [d.name for d in session.devices]
    rate = taught(bench, lesson)
    assert session.learned.speeds, "the answer taught nothing: too short, or the sensors say nothing"
    alone = deepcopy(session.learned)
    print(f"One answer at {split_words(lesson)}: {rate:.1f} tok/s, told {expected_of(alone, session, lesson):.1f}.")
    print(
        "ms of one block: " + ", ".join(f"{k} {v:.3f}" for k, v in factors(alone, session, names).items()), flush=True
    )
    plans = [p for p in samples(session, OTHERS + 1, 5) if shape_of(p) != shape_of(lesson)][:others]
    compared(bench, plans, alone, out, "alone", end - 170)
    # What the others taught meanwhile is left aside: the second half begins with one answer as well.
    session.learned.speeds = dict(alone.speeds)
    before = bench.best()
    print(f"\nThe planner's plan alone: {split_words(before)}", flush=True)
    with somebody_else(binaries, model, loaded, dry=dry):
        rate = taught(bench, lesson)
        slow = {
            d.name: session.learned.now[speed_key(d)] for d in session.devices if speed_key(d) in session.learned.now
        }
        print(f"\nWith somebody else on the last card: {rate:.1f} tok/s; now slower: {slow}", flush=True)
        clean = [name for name in names if name != f"card{loaded}"]
        now, then = factors(session.learned, session, clean), factors(alone, session, clean)
        print("| clean device | ms of a block alone | beside a loaded card | off |\n|---|---|---|---|")
        for name in clean:
            print(f"| {name} | {then[name]:.3f} | {now[name]:.3f} | {now[name] / then[name] - 1:+.0%} |", flush=True)
        known, plan = deepcopy(session.learned), bench.best()
        print(f"\nThe planner's next plan: {split_words(plan)}", flush=True)
        rows = [plan, *(p for p in samples(session, LOADED_OTHERS, 23) if shape_of(p) != shape_of(plan))]
        told_before = len((out / "learning.jsonl").read_text().splitlines()) if (out / "learning.jsonl").exists() else 0
        compared(bench, rows, known, out, "loaded", end - 25)
        lines = [json.loads(x) for x in (out / "learning.jsonl").read_text().splitlines()[told_before:]]
        if lines and tuple(map(tuple, lines[0]["split"])) == shape_of(plan):
            best = max(x["measured"] for x in lines)
            print(
                f"\nThe next plan is {lines[0]['measured'] / best:.2f} of the best of {len(lines)} splits.", flush=True
            )
    session.learned.speeds = dict(alone.speeds)
    deadline = time.monotonic() + 20
    while session.learned.now and time.monotonic() < deadline:
        time.sleep(0.2)
    after = bench.best()
    same = shape_of(after) == shape_of(before)
    print(f"\nThe other program has ended: {'the plan is the old one again' if same else 'ANOTHER PLAN'}: ", end="")
    print(f"{split_words(after)}; still excused: {session.learned.now or 'nobody'}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binaries", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=520)
    parser.add_argument(
        "--others", type=int, default=OTHERS, help="splits that are compared while nobody else computes"
    )
    parser.add_argument("--cards", type=int, choices=(1, 2), default=2)
    parser.add_argument("--dry", action="store_true")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "learning.jsonl").unlink(missing_ok=True)
    small = Path(demo_model(cache_dir(), lambda done, total: None)) if options.dry else Path()
    with tempfile.TemporaryDirectory(prefix="hettui-learning-") as name:
        folder = Path(name)
        os.environ |= {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("STATE", "CONFIG", "CACHE")}
        libraries = f"{options.binaries}:{os.environ.get('LD_LIBRARY_PATH', '')}"
        os.environ |= {"LD_LIBRARY_PATH": libraries, "XDG_RUNTIME_DIR": str(folder / "run")}
        (folder / "run").mkdir(mode=0o700)
        binaries = options.binaries if options.dry else wrapped(options.binaries, folder / "bin")
        os.environ["LLAMA_CPP_BIN"] = str(binaries)
        if options.dry:
            model = small
        else:
            metadata, tensors = MODELS["llama-8b"]()
            model = write_gguf(folder / "model.gguf", with_tokenizer(metadata, _VOCABULARY), tensors)
        session = open_session(load(config(folder, model, model.stat().st_size, options.cards, dry=options.dry)))
        missing = [d.missing for d in session.devices if d.missing]
        if missing:
            sys.exit("\n".join(missing))
        devices = tuple(replace(d, speed=None) for d in session.devices)
        session = replace(session, devices=devices, learned=Learned(host_bytes_per_s=session.learned.host_bytes_per_s))
        with own_run("learning") as runs, build_engine(folder / "logs", runs, 0.5) as engine:
            try:
                cards = 2 if options.dry else options.cards
                run(
                    Bench(engine, session),
                    options.binaries,
                    options.out,
                    model,
                    end,
                    cards - 1,
                    options.others,
                    dry=options.dry,
                )
            finally:
                engine.stop().result()


if __name__ == "__main__":
    main()
