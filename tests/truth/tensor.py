"""Loads with `-sm tensor`: what every device then holds, and which models llama.cpp refuses.

    python -m tests.truth.tensor b10068=DIR b11434=OTHER_DIR [--parallel 2] [--only llama-8b,…]

CPU workers on the loopback stand for the cards: what a device gets of a tensor does not depend on its backend, but for
the padding of quantised rows in CUDA. All of them belong to one worker process, so that newer builds open no port for
their own exchange. On a machine with cards, where the master prints the largest device's buffers only:

    python -m tests.truth.tensor b11434=DIR CUDA0,CUDA1 --out FILE

It can be stopped and continued. A row has `devices` (weights, context, compute), and `exchange` where a prompt was
read: what the devices take for adding up each other's results. Or it has `refused`. With cards it has `largest`, and
what the driver says that each of them holds more than before (`used_mib`).
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock, get_ident
from typing import Any

from tests.gguf_files import write_gguf
from tests.truth.attached import BACKENDS
from tests.truth.make import _SLOW, CUT, arguments, header_of, identity
from tests.truth.measure import _FREED, _PLACED, MIB, Engine, LoadFailed, Reading, load
from tests.truth.models import MODELS

TABLE = Path(__file__).with_name("tensor.jsonl")

_META = re.compile(r":\s+Meta\([^)]*\) (model|KV|RS|compute) buffer size =\s*([\d.]+) MiB")
_HOST = re.compile(r"\w+:\s+(?:CPU|\w+_Host)\w* (model|KV|RS|compute) buffer size =\s*([\d.]+) MiB")
_REASON = re.compile(r"not implemented for architecture|GGML_ASSERT|unsupported mul_mat split states")
_READ_ONCE = ("qwen2-0.5b", "qwen3-0.6b", "granitemoe", "gemma3-1b", "lfm2", "llama-1b")
"""Models that are small enough to read many tokens on a small machine. All others read a few: some loads end only when
something is computed."""


_NOT_BY_WORKERS = ("qwen3next", "qwen35", "qwen35moe")
"""A worker's check of addresses ends it as soon as these compute (b11434); what is reserved is known before."""


def cases(
    builds: Sequence[str], count: int, seed: int, names: Sequence[str], *, workers: bool = True
) -> Iterator[dict[str, Any]]:
    """Every model with equal shares first, then by dice: shares, cache types, slots, contexts; now and then layers or
    experts on the host."""
    dice = random.Random(seed)
    for number in range(count):
        for name in names:
            blocks = max(CUT.get(name, 3), 3)
            params: dict[str, Any] = {"prompt": 300 if name in _READ_ONCE else 8}
            if workers and name in _NOT_BY_WORKERS:
                params = {}
            split = [blocks + 1, blocks + 1]
            if number:
                split = dice.choice([[3, 1], [1, 3], [5, 2], [13, 20], [2, 3], [1, 1, 1], [5, 3, 4], [1, 7]])
                split = [n * (blocks + 1) for n in split]
                params |= {"prompt": 8} if params else {}
                params |= {
                    "ctx_size": dice.choice([1000, 2048, 4096, 8192, 16384]),
                    "parallel": dice.choice([1, 1, 2, 4, -1]),
                    "ubatch_size": dice.choice([64, 256, 512, 512, 1024]),
                }
                if dice.random() < 0.4:
                    kind = dice.choice(["q8_0", "q8_0", "q4_0", "bf16", "f32"])
                    params |= {"cache_type_k": kind, "cache_type_v": kind, "flash_attn": "on"}
                if dice.random() < 0.15:
                    split = dice.choice([[1, 2], [2, 1]])
                elif dice.random() < 0.15 and any("_exps." in t[0] for t in MODELS[name](blocks)[1]):
                    params["n_cpu_moe"] = dice.randint(1, blocks)
            for build in builds:
                yield {"model": name, "blocks": blocks, "build": build, "split": split, "params": params}


def held(reading: Reading, count: int) -> dict[str, Any]:
    """What every device holds by the worker's allocations, and what the master prints."""
    lines = [(found[1], float(found[2])) for found in _META.finditer(reading.log)]
    # Reserved again and again, the buffer is what it was in the end.
    kinds = [*(line for line in lines if line[0] != "compute"), [line for line in lines if line[0] == "compute"][-1]]
    host = dict.fromkeys(("model", "context", "compute"), 0)
    for found in _HOST.finditer(reading.log):
        kind = found[1] if found[1] in host else "context"
        size = round(float(found[2]) * MIB)
        host[kind] = size if kind == "compute" else host[kind] + size
    largest = [round(mib * MIB) for _, mib in kinds]
    row: dict[str, Any] = {"largest": _by_kind(kinds, largest), "host": list(host.values())}
    if reading.allocations and "alloc_buffer" in reading.allocations:
        each = [_live(reading.allocations, device) for device in range(count)]
        placed = _placed(each, [mib for _, mib in kinds])
        row["devices"] = [_by_kind(kinds, sizes) for sizes in placed]
        rest = [sizes[len([s for s in mine if s]) :] for sizes, mine in zip(each, placed, strict=True)]
        row["exchange"] = [sum(sizes) for sizes in rest]
    return row


def _by_kind(kinds: Sequence[tuple[str, float]], sizes: Sequence[int]) -> list[int]:
    """Weights, context, compute."""
    found = {"model": 0, "context": 0, "compute": 0}
    for (kind, _), size in zip(kinds, sizes, strict=True):
        found[kind if kind in found else "context"] += size
    return list(found.values())


def _live(allocations: str, device: int) -> list[int]:
    """The sizes of the buffers that a device still has, in the order in which they were made."""
    live: dict[str, tuple[int, int]] = {}
    for line in allocations.splitlines():
        if placed := _PLACED.search(line):
            live.pop(placed[3], None)
            live[placed[3]] = int(placed[1]), int(placed[2])
        elif freed := _FREED.search(line):
            live.pop(freed[1], None)
    return [size for place, size in live.values() if place == device]


def _placed(each: Sequence[Sequence[int]], mib: Sequence[float]) -> list[list[int]]:
    """Which buffer of each device is which. A device may lack some: a buffer of no bytes is not asked for. The largest
    one of each kind is what the master prints."""
    ways = []
    for sizes in each:
        mine = []
        for there in itertools.product((True, False), repeat=len(mib)):
            if not there[-1] or sum(there) > len(sizes):
                continue
            rest = iter(sizes)
            mine.append([next(rest) if flag else 0 for flag in there])
        ways.append(mine)
    for chosen in itertools.product(*ways):
        largest = [max(sizes) for sizes in zip(*chosen, strict=True)]
        if [f"{size / MIB:.2f}" for size in largest] == [f"{said:.2f}" for said in mib]:
            return [list(sizes) for sizes in chosen]
    raise LoadFailed(f"no allocations of {mib} MiB among {each}")


def _read_prompt(tokens: int, port: int) -> None:
    asked = {"prompt": [5] * tokens, "n_predict": 0, "cache_prompt": False}
    while True:
        line = HTTPConnection("127.0.0.1", port, timeout=300)
        line.request("POST", "/completion", json.dumps(asked), {"Content-Type": "application/json"})
        answer = line.getresponse()
        if answer.status == 200:
            return
        if answer.status != 503:
            raise LoadFailed(f"{answer.status}: {answer.read(300)!r}")
        # It is still loading.
        time.sleep(0.05)


def _used_mib() -> list[int]:
    """Of every card, as its driver says; empty where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    asked = [program, "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return [int(line) for line in subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()]


def why(log: str) -> str:
    """What says that it was refused, without places and times; empty where nothing does."""
    found = next((line[match.start() :] for line in log.splitlines() if (match := _REASON.search(line))), "")
    return found.strip()[:200]


def loaded(engine: Engine, case: dict[str, Any], folder: Path, cards: Sequence[str]) -> dict[str, Any]:
    params = dict(case["params"])
    tokens = params.pop("prompt", 0)
    path = folder / f"{case['model']}-{case['blocks']}-{get_ident()}.gguf"
    write_gguf(path, *header_of(case["model"], case["blocks"], speaks=bool(tokens)))
    argv = [*arguments(params, case["build"]), "-sm", "tensor"]
    before, after = _used_mib() if cards else [], list[int]()

    def once_there(port: int) -> None:
        if tokens:
            _read_prompt(tokens, port)
        after.extend(_used_mib() if cards else [])

    then, cards = once_there if tokens or cards else None, cards[: len(case["split"])]
    try:
        reading = load(engine, path, case["split"], argv, attached=cards, once_there=then, timeout_s=400)
    except LoadFailed as e:
        if reason := why(str(e)):
            return case | {"refused": reason}
        raise
    row = case | held(reading, len(case["split"]))
    if not tokens:
        row.pop("exchange", None)
    if cards:
        row |= {"attached": BACKENDS[cards[0].rstrip("0123456789")]}
        row |= {"used_mib": [b - a for a, b in zip(before, after, strict=True)][: len(cards)]}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="+", metavar="BUILD=DIRECTORY … [CARD,CARD]")
    parser.add_argument("--out", type=Path, default=TABLE)
    parser.add_argument("--parallel", type=int, default=0, help="loads side by side; with cards one, else two")
    parser.add_argument("--each", type=int, default=2, help="loads of every model")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    engines, cards = {}, list[str]()
    for text in options.words:
        build, equals, folder = text.partition("=")
        if equals:
            engines[build] = Engine(build, Path(folder) / "llama-server", Path(folder) / "ggml-rpc-server")
        else:
            cards = text.split(",")
    names = options.only.split(",") if options.only else [n for n in MODELS if n not in _SLOW]
    lines = options.out.read_text().splitlines() if options.out.exists() else []
    known = {identity(json.loads(line)) for line in lines}
    lock = Lock()
    with TemporaryDirectory() as folder, ThreadPoolExecutor(options.parallel or (1 if cards else 2)) as pool:

        def measure(case: dict[str, Any]) -> None:
            try:
                row = loaded(engines[case["build"]], case, Path(folder), cards)
            except (LoadFailed, OSError) as e:
                print("FAILED", identity(case), str(e)[-300:], flush=True)
                return
            with lock, options.out.open("a") as out:
                out.write(json.dumps(row) + "\n")

        most = len(cards) or 99
        thought_of = cases(list(engines), options.each, options.seed, names, workers=not cards)
        wanted = (c for c in thought_of if len(c["split"]) <= most)
        list(pool.map(measure, (c for c in wanted if identity(c) not in known)))


if __name__ == "__main__":
    main()
