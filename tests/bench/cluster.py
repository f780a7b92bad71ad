"""The planner's split against others on a real cluster of unlike devices.

    python -m tests.bench.cluster DIRECTORY_WITH_THE_BINARIES --devices gpu,cpu8,cpu4 --out cluster.jsonl

All devices lie behind rpc servers, each pinned to cores of its own; 16 cores are needed. Budgets make the cluster
necessary. First a few splits are run to learn the devices' speeds, as hettui does from every answer; then the
planner's splits, the usual ones, neighbours of the planner's split and a random sample of everything that fits are
measured once each. The rounds after that, in turns, so that what the machine does besides hits all alike, are for the
planner's, the usual ones and the best of the others.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory

from hettui.adapters.llama.gguf import read_model
from hettui.adapters.machine.memory_speed import read_speed
from hettui.domain.devices.device import Device
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.aim import Objective
from hettui.domain.plan.split import Split, proportional
from hettui.domain.planner.learned import Learned
from hettui.domain.planner.objectives import best_plan
from hettui.domain.speed.pace import stages_s
from hettui.domain.speed.shares import Decode
from tests.gguf_files import write_gguf
from tests.truth.measure import free_port
from tests.truth.models import MODELS

TOKENS = 16
PARAMS = RuntimeParams(ctx_size=512)
DEVICES = {
    "gpu": Device("gpu", via="worker", backend="cuda", bandwidth_bytes_per_s=3.35e12),
    "cpu8": Device("cpu8", via="worker", threads=8),
    "cpu4": Device("cpu4", via="worker", threads=4),
    "cpu2": Device("cpu2", via="worker", threads=2),
}
_HOLDS = {"gpu": 0.5, "cpu8": 0.6, "cpu4": 0.6, "cpu2": 0.6}
"""Budgets as parts of the model: no device holds it all."""
_CORES = {"cpu8": "0-7", "cpu4": "8-11", "cpu2": "12-13", "gpu": "12-13"}
_MASTER_CORES = "14-15"

Chosen = tuple[tuple[str, int], ...]
"""Devices in order, each with its layers; idle ones left out."""


class Everything:
    """All splits in all orders that fit."""

    def __init__(self, shape: ModelShape, devices: Sequence[Device]) -> None:
        self.shape, self.devices = shape, tuple(devices)
        self.by_name = {d.name: d for d in devices}
        self.all = sorted(
            {
                _chosen([d.name for d in order], layers)
                for order in permutations(devices)
                for layers in _counts(shape.layers, len(devices))
                if forecast(Workload(shape, PARAMS), Split(layers, shape.layers), order).fits
            }
        )

    def planner(self, learned: Learned, objective: Objective) -> Chosen:
        devices = learned.with_measured(self.devices)
        plan = best_plan(Workload(self.shape, PARAMS), devices, objective).plan
        return _chosen([d.name for d in plan.devices], plan.split.layers)

    def expected_s(self, chosen: Chosen, learned: Learned) -> float:
        devices = learned.with_measured([self.by_name[name] for name, _ in chosen])
        return sum(stages_s(self.shape, devices, [n for _, n in chosen]).values())

    def learn(self, learned: Learned, chosen: Chosen, tokens_per_second: float) -> None:
        devices = [self.by_name[name] for name, _ in chosen]
        split = Split(tuple(n for _, n in chosen), self.shape.layers)
        learned.add_decode(self.shape, devices, split, Decode(1 / tokens_per_second))

    def usual(self) -> dict[str, Chosen]:
        names, count = [d.name for d in self.devices], len(self.devices)
        budgets = [float(d.budget_bytes or 0) for d in self.devices]
        return {
            "even": _chosen(names, proportional([1.0] * count, self.shape.layers)),
            "by budget": _chosen(names, proportional(budgets, self.shape.layers)),
        }

    def neighbours(self, chosen: Chosen) -> list[Chosen]:
        """One layer moved between two devices, or two devices traded, or both."""
        near = []
        for other in self.all:
            mine, theirs = dict(chosen), dict(other)
            moved = sum(abs(mine.get(d.name, 0) - theirs.get(d.name, 0)) for d in self.devices)
            if other != chosen and moved <= 2:
                near.append(other)
        return near


def _with_budget(device: Device, shape: ModelShape) -> Device:
    return replace(device, budget_bytes=device.overhead_bytes + int(_HOLDS[device.name] * shape.weights_bytes))


def _counts(layers: int, devices: int) -> list[tuple[int, ...]]:
    if devices == 1:
        return [(layers,)]
    return [(n, *rest) for n in range(layers + 1) for rest in _counts(layers - n, devices - 1)]


def _chosen(names: list[str], layers: tuple[int, ...] | list[int]) -> Chosen:
    return tuple((name, n) for name, n in zip(names, layers, strict=True) if n)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _wait(port: int) -> None:
    deadline = time.monotonic() + 30
    while not _answers(port):
        if time.monotonic() > deadline:
            raise RuntimeError("a worker did not start")
        time.sleep(0.05)


class Bench:
    """The rpc servers, and one llama-bench at a time over them."""

    def __init__(self, binaries: Path, model: Path, *, pinned: bool) -> None:
        self._binaries, self._model, self._pinned = binaries, model, pinned
        self._ports: dict[str, int] = {}
        self._workers: list[subprocess.Popen[bytes]] = []

    def _on(self, cores: str) -> list[str]:
        return ["taskset", "-c", cores] if self._pinned else []

    def start(self, devices: Sequence[Device]) -> None:
        for device in devices:
            self._ports[device.name] = port = free_port()
            lent = ["-d", "CUDA0"] if device.backend == "cuda" else ["-d", "CPU", "-t", str(device.threads)]
            argv = [*self._on(_CORES[device.name]), str(self._binaries / "ggml-rpc-server")]
            argv += ["-H", "127.0.0.1", "-p", str(port), *lent]
            self._workers.append(
                subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, restore_signals=False)
            )
            _wait(port)

    def stop(self) -> None:
        for worker in self._workers:
            worker.kill()
            worker.wait()

    def measure(self, chosen: Chosen | None) -> float:
        """Tokens a second of one stream; without a split llama.cpp's own."""
        names = list(self._ports) if chosen is None else [name for name, _ in chosen]
        argv = [*self._on(_MASTER_CORES), str(self._binaries / "llama-bench"), "-m", str(self._model), "-ngl", "99"]
        argv += ["--rpc", ",".join(f"127.0.0.1:{self._ports[n]}" for n in names), "-p", "0", "-n", str(TOKENS)]
        argv += ["-r", "1", "-t", "2", "-dev", "/".join(f"RPC{i}" for i in range(len(names))), "-fa", "1", "-o", "json"]
        if chosen is not None:
            argv += ["-ts", "/".join(str(n) for _, n in chosen)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise RuntimeError(done.stderr[-500:])
        return float(json.loads(done.stdout)[0]["avg_ts"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binaries", type=Path)
    parser.add_argument("--devices", default="gpu,cpu8,cpu4")
    parser.add_argument("--model", default="llama-8b", choices=sorted(MODELS))
    parser.add_argument("--blocks", type=int, help="cut to so many; all when left out")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=12)
    parser.add_argument("--neighbours", type=int, default=8)
    parser.add_argument("--best", type=int, default=4, help="of samples and neighbours, measured in every round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=500, help="no new round after that")
    parser.add_argument("--unpinned", action="store_true", help="without cores of their own: only to try this out")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    with TemporaryDirectory() as folder:
        header = MODELS[options.model]
        model = write_gguf(Path(folder) / "model.gguf", *(header(options.blocks) if options.blocks else header()))
        shape = ModelShape.of(read_model(model))
        everything = Everything(shape, [_with_budget(DEVICES[n], shape) for n in options.devices.split(",")])
        print(f"{len(everything.all)} splits fit", flush=True)
        bench = Bench(options.binaries, model, pinned=not options.unpinned)
        try:
            bench.start(everything.devices)
            speeds, chosen = run(bench, everything, options, end)
        finally:
            bench.stop()
    best = max(statistics.mean(found) for found in speeds.values() if found)
    for name, found in sorted(speeds.items(), key=lambda item: -statistics.mean(item[1] or [0.0])):
        row = {"split": name, "layers": chosen[name], "tokens_per_second": found}
        with options.out.open("a") as out:
            out.write(json.dumps(row) + "\n")
        if found:
            mean, spread = statistics.mean(found), statistics.stdev(found) if len(found) > 1 else 0.0
            layers = ", ".join(f"{d} {n}" for d, n in chosen[name] or ()) or "by free memory"
            print(f"| {name} | {layers} | {mean:.2f} ± {spread:.2f} ({len(found)}) | {mean / best:.2f} |", flush=True)


def run(
    bench: Bench, everything: Everything, options: argparse.Namespace, end: float
) -> tuple[dict[str, list[float]], dict[str, Chosen | None]]:
    """Tokens a second of every split by its name, and the splits."""
    learned = Learned(host_bytes_per_s=read_speed())
    named: dict[str, Chosen | None] = {
        "planner, latency, by data": everything.planner(learned, "latency"),
        "planner, balanced": everything.planner(learned, "balanced"),
        **everything.usual(),
    }
    lessons = [c for c in named.values() if c is not None]
    for lesson in dict.fromkeys([*lessons, *everything.all[:: max(1, len(everything.all) // 3)]]):
        measured = bench.measure(lesson)
        expected = 1 / everything.expected_s(lesson, learned)
        print(f"lesson {lesson}: {measured:.2f}, expected {expected:.2f}", flush=True)
        everything.learn(learned, lesson, measured)
    best = everything.planner(learned, "latency")
    named["planner, latency, measured"] = best
    named["planner, throughput, measured"] = everything.planner(learned, "throughput")
    named["llama.cpp's own"] = None
    known, dice, others = set(named.values()), random.Random(1), dict[str, Chosen | None]()
    near = [s for s in everything.neighbours(best) if s not in known]
    for n, one in enumerate(dice.sample(near, min(options.neighbours, len(near)))):
        others[f"neighbour {n + 1}"] = one
    rest = [s for s in everything.all if s not in known and s not in others.values()]
    for n, one in enumerate(dice.sample(rest, min(options.samples, len(rest)))):
        others[f"sample {n + 1}"] = one
    speeds: dict[str, list[float]] = {name: [] for name in (*named, *others)}
    _measure(bench, named | others, speeds, end)
    finalists = sorted((n for n in others if speeds[n]), key=lambda n: -speeds[n][0])[: options.best]
    for _ in range(1, options.rounds):
        _measure(bench, named | {n: others[n] for n in finalists}, speeds, end)
    return speeds, named | others


def _measure(bench: Bench, splits: dict[str, Chosen | None], speeds: dict[str, list[float]], end: float) -> None:
    for name, split in splits.items():
        if time.monotonic() > end:
            return
        try:
            speeds[name].append(bench.measure(split))
        except (RuntimeError, ValueError, subprocess.TimeoutExpired) as error:
            print(name, str(error)[-300:], flush=True)


if __name__ == "__main__":
    main()
