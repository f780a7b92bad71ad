"""`hettui tune` against everything else: what it ends at, and what the best of a large sample of splits does.

    python -m tests.bench.tuning DIRECTORY_WITH_THE_BINARIES --only cpu|cards-cpu|loaded [--out FOLDER]
    python -m tests.bench.tuning --tiny

Three unlike clusters, each device on cores of its own (taskset; 16 cores): CPU workers of 8, 4 and 2 threads; one
card and CPU workers of 8 and 4; two cards, of which another program uses one (llama-bench, matrix products). First
the search as `hettui tune` does it, from the plan that hettui begins with; its trials are printed. Then every split
that fits where those are no more than `--samples`, else as many of them, half of them near the one that was found;
one answer each. The found one, the start and the best three of the sample are measured again in turns: the ratio is
of those. A cluster takes less than ten minutes (`--seconds`); its figures are appended to FOLDER/tuning.jsonl.
`--tiny` takes two CPU workers and SmolLM2, for two cores: it shows that the script works, not how good the search is.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

from hettui.adapters.files.config_toml import load
from hettui.adapters.files.paths import cache_dir
from hettui.adapters.library.demo_model import demo_model
from hettui.adapters.llama.binaries import find_engine
from hettui.domain.errors import HettuiError
from hettui.domain.memory.forecast import forecast
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.planner.learned import Learned
from hettui.domain.session.session import Session
from hettui.domain.tuning.report import TuneOutcome, split_words, tune_json, tune_text
from hettui.domain.tuning.search import launch_of, shape_of
from hettui.services.events import Event, TuneEnded
from hettui.wiring.engine import build_engine
from hettui.wiring.ownership import own_run
from hettui.wiring.sessions import open_session, request_for
from hettui.wiring.tuning import Wanted, job_of
from tests.bench.learning import Bench, expected_of, samples, somebody_else
from tests.gguf_files import with_tokenizer, write_gguf
from tests.truth.measure import free_port
from tests.truth.models import MODELS

MEASURE_S = 2.0
ROUNDS, BEST_OF_SAMPLE = 3, 3
_VOCABULARY = 128256


@dataclass(frozen=True)
class Row:
    """One device of a cluster."""

    name: str
    id: str = "cpu"
    threads: int | None = None
    cores: str = ""
    part: float = 0.6
    """Of the model: its budget."""


@dataclass(frozen=True)
class Wish:
    """A cluster."""

    rows: tuple[Row, ...]
    model: str
    master_cores: str
    loaded: bool = False


CPUS = (
    Row("cpu8", threads=8, cores="0-7"),
    Row("cpu4", threads=4, cores="8-11"),
    Row("cpu2", threads=2, cores="12-13"),
)
CARDS = (Row("card0", "CUDA0"), Row("card1", "CUDA1"))
CLUSTERS = {
    "cpu": Wish(CPUS, "llama-1b", "14-15"),
    "cards-cpu": Wish((CARDS[0], *CPUS[:2]), "llama-8b", "12-15"),
    "loaded": Wish(CARDS, "llama-8b", "12-15", loaded=True),
    "tiny": Wish((Row("one", threads=1, cores="0", part=0.8), Row("two", threads=1, cores="1", part=0.9)), "", "0-1"),
}


def moved(wish: Wish, first_core: int) -> Wish:
    """The same cluster on cores further up, beside another bench of a machine with enough of them."""

    def up(cores: str) -> str:
        return "-".join(str(int(core) + first_core) for core in cores.split("-")) if cores else ""

    rows = tuple(replace(row, cores=up(row.cores)) for row in wish.rows)
    return replace(wish, rows=rows, master_cores=up(wish.master_cores))


def wrapped(binaries: tuple[Path, Path], folder: Path, wish: Wish, ports: dict[str, int]) -> Path:
    """llama-server and the rpc server, each on its cores: a worker is known by its port."""
    folder.mkdir()
    cases = "".join(f'*" -p {ports[r.name]} "*) cores={r.cores};; ' for r in wish.rows if r.cores)
    chosen = {
        "llama-server": f"cores={wish.master_cores}",
        "ggml-rpc-server": f'cores={wish.master_cores}; case " $* " in {cases}esac',
    }
    for program, (name, choose) in zip(binaries, chosen.items(), strict=True):
        script = folder / name
        script.write_text(f'#!/bin/sh\n{choose}\nexec taskset -c "$cores" "{program}" "$@"\n')
        script.chmod(0o755)
    return folder


def config(folder: Path, wish: Wish, model: Path, ports: dict[str, int]) -> Path:
    """As a user would write it, without layers."""
    weights = model.stat().st_size
    text = f'[model]\npath = "{model}"\n[serving]\nport = 0\nctx-size = 2048\nparallel = 1\nflash-attn = "on"\n'
    for row in wish.rows:
        budget = int(row.part * weights) + (700 << 20 if row.id != "cpu" else 80 << 20)
        text += f'[[devices]]\nname = "{row.name}"\nid = "{row.id}"\nbudget = {budget}\n'
        if row.threads:
            text += f'via = "worker"\nthreads = {row.threads}\nport = {ports[row.name]}\n'
    path = folder / "cluster.toml"
    path.write_text(text)
    return path


def tuned(bench: Bench, start: Plan, most_trials: int) -> TuneOutcome:
    """As `hettui tune` does it."""
    ended, outcomes = threading.Event(), list[TuneOutcome]()

    def hear(event: Event) -> None:
        if isinstance(event, TuneEnded):
            outcomes.append(event.outcome)
            ended.set()

    bench.engine.subscribe(hear)
    bench.learner.expect(bench.session)
    wanted = Wanted(most_trials=most_trials)
    bench.engine.tune(job_of(bench.session, start, lambda plan: request_for(bench.session, plan), wanted)).result()
    ended.wait()
    bench.engine.unsubscribe(hear)
    return outcomes[0]


def everything(session: Session, most: int) -> list[Plan] | None:
    """Every split in every order that fits; None where those are more."""
    workload, found = session.workload, list[Plan]()
    assert workload is not None
    layers = workload.shape.layers
    for order in permutations(session.devices):
        for split in _counts(layers, len(order)):
            if any(n == 0 for n in split) and order != tuple(sorted(order, key=lambda d: d.name)):
                # Where one is idle its place says nothing.
                continue
            if forecast(workload, Split(split, layers), order).fits:
                found.append(Plan(order, Split(split, layers)))
                if len(found) > most:
                    return None
    return found


def _counts(layers: int, devices: int) -> list[tuple[int, ...]]:
    if devices == 1:
        return [(layers,)]
    return [(n, *rest) for n in range(layers + 1) for rest in _counts(layers - n, devices - 1)]


def near(session: Session, plan: Plan, count: int, seed: int) -> list[Plan]:
    """One to three layers moved between two devices, now and then two devices traded."""
    dice, found, workload = random.Random(seed), dict[object, Plan](), session.workload
    assert workload is not None
    for _ in range(2000):
        if len(found) == count:
            break
        devices, layers = list(plan.devices), list(plan.split.layers)
        giver, taker = dice.sample(range(len(devices)), 2)
        moved = dice.randint(0, min(3, layers[giver]))
        layers[giver], layers[taker] = layers[giver] - moved, layers[taker] + moved
        if dice.random() < 0.3:
            a, b = dice.sample(range(len(devices)), 2)
            devices[a], devices[b], layers[a], layers[b] = devices[b], devices[a], layers[b], layers[a]
        split = Split(tuple(layers), plan.split.total_layers)
        tried = replace(plan, devices=tuple(devices), split=split)
        if shape_of(tried) != shape_of(plan) and forecast(workload, split, devices).fits:
            found.setdefault(shape_of(tried), tried)
    return list(found.values())


def measured(bench: Bench, plan: Plan, about: float) -> float:
    """Tokens a second; 0 for what does not come up. A slow split is asked for less, by what was learned meanwhile."""
    try:
        bench.launch(plan)
        with suppress(AssertionError):
            about = min(about, expected_of(bench.session.learned, bench.session, plan))
        return bench.ask(MEASURE_S, about)
    except HettuiError as error:
        print(f"  {split_words(plan)}: {str(error)[:80]}", flush=True)
        return 0.0


def run(name: str, bench: Bench, options: argparse.Namespace, end: float) -> None:
    session = bench.session
    start = session.initial_plan
    assert start is not None
    began_s = time.monotonic()
    outcome = tuned(bench, start, options.trials)
    tuning = outcome.tuning
    print(
        f"\n## {name}: {len(tuning.trials)} launches, {time.monotonic() - began_s:.0f} s\n\n"
        f"```\n{tune_text(outcome)}\n```"
    )
    best, first = tuning.best.plan, tuning.trials[0].plan
    plain = replace(session, devices=best.devices)
    whole = everything(plain, options.samples)
    plans = (
        whole or [*near(plain, best, options.samples // 2, 3), *samples(plain, options.samples, 7)][: options.samples]
    )
    rates: list[tuple[float, Plan]] = []
    for plan in plans:
        if time.monotonic() > end - options.last:
            break
        rates.append((measured(bench, plan, tuning.best_rate), plan))
    rates.sort(key=lambda one: -one[0])
    again = {launch_of(p): p for p in (best, first, *(plan for _, plan in rates[:BEST_OF_SAMPLE]))}
    figures: dict[object, list[float]] = {key: [] for key in again}
    for number in range(ROUNDS):
        for key in list(again)[:: 1 if number % 2 else -1]:
            if time.monotonic() < end or not figures[key]:
                figures[key].append(measured(bench, again[key], tuning.best_rate))
    means = {key: statistics.mean(found) for key, found in figures.items()}
    top = max(means, key=lambda key: means[key])
    what = "every split that fits" if whole else f"a sample of {len(rates)} splits"
    print(f"\n| measured again, {ROUNDS} in turns | tok/s |\n|---|---|")
    for key, plan in again.items():
        mark = " (found)" if plan is best else " (start)" if plan is first else ""
        print(f"| {split_words(plan)}{mark} | {means[key]:.2f} ± {statistics.pstdev(figures[key]):.2f} |")
    ratio = means[launch_of(best)] / means[top]
    print(f"\n{name}: **{ratio:.3f} of the best of {what}** ({len(rates)} measured), ", end="")
    print(f"{means[launch_of(best)] / means[launch_of(first)]:.2f} of the start", flush=True)
    with (options.out / "tuning.jsonl").open("a") as file:
        row = {"cluster": name, "ratio": ratio, "sample": len(rates), "whole": bool(whole), "tune": tune_json(outcome)}
        file.write(json.dumps(row) + "\n")


def prepared(wish: Wish, options: argparse.Namespace, folder: Path) -> Session:
    """A session of the cluster of which nothing was ever measured."""
    if wish.model:
        metadata, tensors = MODELS[options.model or wish.model]()
        model = write_gguf(folder / "model.gguf", with_tokenizer(metadata, _VOCABULARY), tensors)
        found = (options.binaries / "llama-server", options.binaries / "ggml-rpc-server")
        libraries = f"{options.binaries}:{os.environ.get('LD_LIBRARY_PATH', '')}"
        os.environ["LD_LIBRARY_PATH"] = libraries
    else:
        model = Path(demo_model(cache_dir(), lambda done, total: None))
        programs = find_engine(None, {"PATH": "/nowhere"})
        found = (Path(programs.server), Path(programs.rpc_server or ""))
    ports = {row.name: free_port() for row in wish.rows}
    os.environ |= {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("STATE", "CONFIG", "CACHE")}
    os.environ |= {
        "XDG_RUNTIME_DIR": str(folder / "run"),
        "LLAMA_CPP_BIN": str(wrapped(found, folder / "bin", wish, ports)),
    }
    (folder / "run").mkdir(mode=0o700)
    session = open_session(load(config(folder, wish, model, ports)))
    if missing := [d.missing for d in session.devices if d.missing]:
        sys.exit("\n".join(missing))
    devices = tuple(replace(d, speed=None) for d in session.devices)
    return replace(session, devices=devices, learned=Learned(host_bytes_per_s=session.learned.host_bytes_per_s))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binaries", type=Path, nargs="?")
    parser.add_argument("--only", choices=[name for name in CLUSTERS if name != "tiny"])
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--model", choices=list(MODELS), help="in place of the cluster's own: a small one loads faster")
    parser.add_argument("--samples", type=int, default=44)
    parser.add_argument("--trials", type=int, default=5, help="launches of the search")
    parser.add_argument("--first-core", type=int, default=0, help="the cluster's cores are counted from this one")
    parser.add_argument("--last", type=float, default=90, help="seconds kept for the last comparison in turns")
    parser.add_argument("--seconds", type=float, default=540)
    parser.add_argument("--out", type=Path, default=Path("tuning"))
    options = parser.parse_args()
    name = "tiny" if options.tiny else options.only
    if name is None or (options.binaries is None and not options.tiny):
        parser.error("name the binaries and a cluster (--only), or --tiny")
    end = time.monotonic() + options.seconds
    options.out.mkdir(parents=True, exist_ok=True)
    wish = moved(CLUSTERS[name], options.first_core)
    with tempfile.TemporaryDirectory(prefix="hettui-tuning-") as place:
        folder = Path(place)
        session = prepared(wish, options, folder)
        model = folder / "model.gguf"
        other = somebody_else(options.binaries, model, 1, dry=False) if wish.loaded else nullcontext()
        with own_run("tuning") as runs, build_engine(folder / "logs", runs, 0.5) as engine, other:
            try:
                run(name, Bench(engine, session), options, end)
            finally:
                engine.stop().result()


if __name__ == "__main__":
    main()
