"""Where the experts of a model that does not fit should lie: the planner's placement against a sweep of others.

    python -m tests.bench.expert_places DIRECTORY_WITH_THE_BINARIES --out FOLDER

A 30B-A3B shape (Qwen3 Coder, Q4_K_M, 48 blocks) over a card of 8 GiB that the master drives itself, one of 4 GiB behind
a worker, and the master's RAM. On a machine with one NVIDIA card both are that card, within budgets of so much. The
planner's plan is measured, then a sweep: both orders, so many layers on the small card, and as few experts in RAM as
make the rest fit; and whole layers on the CPU. The planner's and the best three are measured again in turns, and the
ratio is of those. `--seconds` says after how many nothing new is begun. Figures as JSON lines in FOLDER.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hettui.adapters.files.config_toml import load
from hettui.domain.devices.device import Device
from hettui.domain.errors import HettuiError
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.session.session import Session
from hettui.domain.tuning.report import split_words
from hettui.wiring.engine import build_engine
from hettui.wiring.ownership import own_run
from hettui.wiring.sessions import open_session
from tests.bench.learning import Bench
from tests.gguf_files import with_tokenizer, write_gguf
from tests.truth.models import MODELS

MEASURE_S = 3.0
ROUNDS, BEST_OF_SWEEP = 6, 3
THREADS = 12
"""Of 16 cores: this script, the worker and the driver have some, or every answer is another one by a tenth."""
SMALL_BYTES = 4 << 30
STEP = 2
"""Layers of the small card from one placement to the next."""


def config(folder: Path, model: Path) -> Path:
    path = folder / "cluster.toml"
    path.write_text(
        f'[model]\npath = "{model}"\n[serving]\nport = 0\nctx-size = 4096\nparallel = 1\n'
        f'threads = {THREADS}\nflash-attn = "on"\n'
        '[[devices]]\nname = "card8"\nid = "CUDA0"\nbudget = "8GiB"\n'
    )
    return path


def fits(session: Session, plan: Plan) -> bool:
    outlook = session.forecast(plan)
    return outlook is not None and outlook.fits


def with_fewest_away(session: Session, order: tuple[Device, ...], counts: tuple[int, ...]) -> Plan | None:
    """All layers on cards; so many of the attached card's last blocks without their experts that it fits."""
    attached = next(i for i, d in enumerate(order) if d.helps_host)
    split = Split(counts, sum(counts))
    for away in range(counts[attached] + 1):
        plan = Plan(order, split, away=tuple(away if i == attached else 0 for i in range(len(order))) if away else ())
        if fits(session, plan):
            return plan
    return None


def sweep(session: Session) -> Iterator[tuple[str, Plan]]:
    assert session.shape is not None
    layers = session.shape.layers
    big, small = sorted(session.devices, key=lambda d: not d.helps_host)
    for count in range(1, layers, STEP):
        if (plan := with_fewest_away(session, (big, small), (layers - count, count))) is not None:
            yield "experts", plan
        if (plan := with_fewest_away(session, (small, big), (count, layers - count))) is not None:
            yield "experts", plan
    for order in ((big, small), (small, big)):
        # As much on the cards as they hold.
        held = max(
            (
                plan.split.layers
                for a in range(layers)
                for b in range(layers - a)
                if fits(session, plan := Plan(order, Split((a, b), layers)))
            ),
            key=sum,
            default=None,
        )
        if held is not None:
            yield "layers", Plan(order, Split(held, layers))


def words(plan: Plan) -> str:
    """The layers by device, what lies on the host, and of how many blocks the experts do."""
    away = sum(plan.away)
    return split_words(plan) + (f", experts of {away} in RAM" if away else "")


def measured(bench: Bench, plan: Plan) -> float:
    bench.launch(plan)
    rough = bench.ask(0.5, None)
    return bench.ask(MEASURE_S, rough)


def run(bench: Bench, out: Path, end: float) -> None:
    session, half = bench.session, (time.monotonic() + end) / 2
    chosen = session.initial_plan
    assert chosen is not None
    print(f"RAM {session.beside.ram_bytes}, {session.beside.bytes_per_s} bytes/s")
    others = [(kind, plan) for kind, plan in sweep(session) if plan != chosen]
    print(f"{len(others)} placements beside the planner's\n\n| placement | tok/s |\n|---|---|", flush=True)
    found = list[tuple[float, str, Plan]]()
    for kind, plan in [("planner", chosen), *others]:
        if time.monotonic() > half:
            print(f"(stopped after {len(found)}: no time left)")
            break
        try:
            rate = measured(bench, plan)
        except HettuiError as error:
            print(f"| {kind}: {words(plan)} | failed: {str(error)[:100]} |", flush=True)
            continue
        found.append((rate, kind, plan))
        print(f"| {kind}: {words(plan)} | {rate:.1f} |", flush=True)
        with (out / "experts.jsonl").open("a") as file:
            row = {"kind": kind, "devices": [d.name for d in plan.devices], "layers": plan.split.layers}
            file.write(json.dumps(row | {"away": plan.away, "per_second": rate}) + "\n")
    best = sorted(found[1:], key=lambda row: -row[0])[:BEST_OF_SWEEP]
    again: dict[int, list[float]] = {n: [] for n in range(len(best) + 1)}
    for _ in range(ROUNDS):
        for number, (_, _, plan) in enumerate([found[0], *best]):
            if time.monotonic() < end:
                again[number].append(measured(bench, plan))
    rates = [statistics.median(row) for row in again.values() if row]
    told = (
        f"{statistics.median(row):.1f} ({min(row):.1f}–{max(row):.1f}, {len(row)})" for row in again.values() if row
    )
    print("\nIn turns: " + ", ".join(told))
    whole = max((rate for rate, kind, _ in found if kind == "layers"), default=None)
    print(f"The planner's is {rates[0] / max(rates):.3f} of the best of {len(found)}; whole layers on the CPU: {whole}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binaries", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=520)
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hettui-experts-") as name:
        folder = Path(name)
        os.environ |= {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("STATE", "CONFIG", "CACHE")}
        libraries = f"{options.binaries}:{os.environ.get('LD_LIBRARY_PATH', '')}"
        os.environ |= {"LD_LIBRARY_PATH": libraries, "XDG_RUNTIME_DIR": str(folder / "run")}
        os.environ["LLAMA_CPP_BIN"] = str(options.binaries)
        (folder / "run").mkdir(mode=0o700)
        metadata, tensors = MODELS["qwen3moe"]()
        model = write_gguf(folder / "model.gguf", with_tokenizer(metadata, 151936), tensors)
        session = open_session(load(config(folder, model)))
        if missing := [d.missing for d in session.devices if d.missing]:
            sys.exit("\n".join(missing))
        # A configuration may not have one card twice.
        (card,) = session.devices
        small = replace(card, name="card4", via="worker", budget_bytes=SMALL_BYTES)
        session = replace(session, devices=(card, small))
        with own_run("experts") as runs, build_engine(folder / "logs", runs, 0.5) as engine:
            try:
                run(Bench(engine, session), options.out, end)
            finally:
                engine.stop().result()


if __name__ == "__main__":
    main()
