"""The planner's split against others on a real cluster: one NVIDIA GPU and two CPU workers, all behind rpc servers.

    python -m tests.bench.cluster DIRECTORY_WITH_THE_BINARIES --out cluster.jsonl

Every device gets a budget that makes the cluster necessary; all splits are measured in turns, so that what the machine
does besides hits all alike. Needs 16 cores: workers are pinned to 8 and 4 of them, the master to the rest.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import statistics
import subprocess
import time
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory

from hettui.adapters.gguf import read_model
from hettui.domain.device import Device
from hettui.domain.memory import forecast
from hettui.domain.model import ModelShape
from hettui.domain.objectives import best_plan
from hettui.domain.params import OBJECTIVES, RuntimeParams
from hettui.domain.split import Split, proportional
from hettui.domain.units import GIB
from tests.gguf_files import write_gguf
from tests.truth.measure import free_port
from tests.truth.models import MODELS

TOKENS = 16
PARAMS = RuntimeParams(ctx_size=512)
DEVICES = (
    Device("gpu", via="worker", backend="cuda", budget_bytes=int(3.2 * GIB), bandwidth_bytes_per_s=3.35e12),
    Device("cpu8", via="worker", threads=8, budget_bytes=int(2.6 * GIB)),
    Device("cpu4", via="worker", threads=4, budget_bytes=int(2.6 * GIB)),
)
_CORES = {"gpu": "12-13", "cpu8": "0-7", "cpu4": "8-11"}
_MASTER_CORES = "14-15"

Chosen = tuple[tuple[str, int], ...]
"""Devices in order, each with its layers; idle ones left out."""


def splits(shape: ModelShape, count: int) -> dict[str, Chosen]:
    """The planner's, the usual ones, and a sample of everything that fits."""
    found: dict[str, Chosen] = {}
    for objective in OBJECTIVES:
        plan = best_plan(shape, PARAMS, DEVICES, objective).plan
        found[f"planner, {objective}"] = _chosen([d.name for d in plan.devices], plan.split.layers)
    names = [d.name for d in DEVICES]
    found["even"] = _chosen(names, proportional([1.0] * 3, shape.layers))
    found["by budget"] = _chosen(names, proportional([float(d.budget_bytes or 0) for d in DEVICES], shape.layers))
    dice = random.Random(1)
    everything = [
        _chosen([d.name for d in order], (a, b, shape.layers - a - b))
        for order in permutations(DEVICES)
        for a in range(shape.layers + 1)
        for b in range(shape.layers + 1 - a)
        if forecast(shape, PARAMS, Split((a, b, shape.layers - a - b), shape.layers), order).fits
    ]
    others = sorted(set(everything) - set(found.values()))
    for n, chosen in enumerate(dice.sample(others, min(count, len(others)))):
        found[f"sample {n + 1}"] = chosen
    return found


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


def measure(binaries: Path, model: Path, ports: dict[str, int], chosen: Chosen | None) -> float:
    """Tokens a second of one stream; without a split llama.cpp's own."""
    names = list(ports) if chosen is None else [name for name, _ in chosen]
    argv = ["taskset", "-c", _MASTER_CORES, str(binaries / "llama-bench"), "-m", str(model), "-ngl", "99", "-t", "2"]
    argv += ["--rpc", ",".join(f"127.0.0.1:{ports[n]}" for n in names), "-p", "0", "-n", str(TOKENS), "-r", "1"]
    argv += ["-dev", "/".join(f"RPC{i}" for i in range(len(names))), "-fa", "1", "-o", "json"]
    if chosen is not None:
        argv += ["-ts", "/".join(str(n) for _, n in chosen)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise RuntimeError(done.stderr[-500:])
    return float(json.loads(done.stdout)[0]["avg_ts"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binaries", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=500, help="no new round after that")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    with TemporaryDirectory() as folder:
        model = write_gguf(Path(folder) / "llama-8b.gguf", *MODELS["llama-8b"]())
        shape = ModelShape.of(read_model(model))
        chosen: dict[str, Chosen | None] = {**splits(shape, options.samples), "llama.cpp's own": None}
        workers, ports = [], {}
        try:
            for device in DEVICES:
                ports[device.name] = port = free_port()
                lent = ["-d", "CUDA0"] if device.backend == "cuda" else ["-d", "CPU", "-t", str(device.threads)]
                argv = ["taskset", "-c", _CORES[device.name], str(options.binaries / "ggml-rpc-server")]
                argv += ["-H", "127.0.0.1", "-p", str(port), *lent]
                workers.append(
                    subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, restore_signals=False)
                )
                _wait(port)
            speeds: dict[str, list[float]] = {name: [] for name in chosen}
            for _ in range(options.rounds):
                for name, split in chosen.items():
                    if time.monotonic() > end:
                        break
                    try:
                        speeds[name].append(measure(options.binaries, model, ports, split))
                    except (RuntimeError, ValueError, subprocess.TimeoutExpired) as error:
                        print(name, str(error)[-300:], flush=True)
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
    for name, found in sorted(speeds.items(), key=lambda item: -statistics.mean(item[1] or [0.0])):
        row = {"split": name, "layers": chosen[name], "tokens_per_second": found}
        with options.out.open("a") as out:
            out.write(json.dumps(row) + "\n")
        if found:
            spread = statistics.stdev(found) if len(found) > 1 else 0.0
            layers = ", ".join(f"{d} {n}" for d, n in chosen[name] or ()) or "by free memory"
            print(f"| {name} | {layers} | {statistics.mean(found):.2f} ± {spread:.2f} |", flush=True)


if __name__ == "__main__":
    main()
