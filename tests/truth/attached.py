"""Loads with a card that the master drives itself, and something on the host: layers, experts, single tensors.

    python -m tests.truth.attached b11434=DIR_WITH_THE_BINARIES CUDA0 --out attached.jsonl [--parallel 4]

Such a card also computes large batches for the host, and copies the host's weights into its compute buffer for that.
Rows are as those of `make`, with the backend of the attached card. It can be stopped and continued.

    … --out attached-more.jsonl --more 60

Instead, in turn: a projector, LoRA adapters or a control vector, a draft model, the model's own MTP block, on the card
or beside it.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock, get_ident
from typing import Any

from tests.gguf_files import write_gguf
from tests.truth.make import (
    _SLOW,
    CUT,
    _numbers,
    arguments,
    beside_arguments,
    beside_cases,
    beside_numbers,
    draft_arguments,
    draft_cases,
    header_of,
    identity,
    needs_words,
    written_beside,
)
from tests.truth.measure import Engine, Held, LoadFailed, load
from tests.truth.models import MODELS, qwen35_with_mtp

BACKENDS = {"CUDA": "cuda", "Vulkan": "vulkan", "ROCm": "hip"}
_PARTS = ("up", "down", "gate", "gate_up", "up|gate", "up|down|gate|gate_up")


def cases(build: str, backend: str, seed: int, each: int) -> Iterator[dict[str, Any]]:
    """For every model some with layers on the host, and for those with experts also with experts there."""
    dice = random.Random(seed)
    for name in (n for n in MODELS if n not in _SLOW):
        blocks = max(CUT.get(name, 3), 4)
        experts = any("_exps." in t[0] for t in MODELS[name](blocks)[1])
        for number in range(each * (2 if experts else 1)):
            layers = blocks + 1
            params: dict[str, Any] = {
                "ctx_size": dice.choice([1000, 2048, 4096, 4096, 10000, 16384]),
                "parallel": dice.choice([1, 1, 1, 2, 4, -1]),
                "ubatch_size": dice.choice([16, 128, 512, 512, 512, 1024]),
            }
            if dice.random() < 0.2:
                params["flash_attn"] = "off"
            elif dice.random() < 0.3:
                params |= {"cache_type_k": "q8_0", "cache_type_v": "q8_0", "flash_attn": "on"}
            if dice.random() < 0.2:
                params["load_mode"] = "none"
            if experts and number % 2:
                if dice.random() < 0.5:
                    params["n_cpu_moe"] = dice.randint(1, blocks)
                else:
                    chosen = sorted(dice.sample(range(blocks), dice.randint(1, blocks)))
                    numbers = "|".join(map(str, chosen))
                    params["override_tensor"] = [f"blk\\.({numbers})\\.ffn_({dice.choice(_PARTS)})_exps=CPU"]
                layers -= dice.choice([0, 0, 0, 1, 2])
            else:
                layers -= dice.choice([1, 2, 2, 3, layers - 1])
            first = layers if dice.random() < 0.6 else dice.randint(1, layers)
            split = [first] if first == layers else [first, layers - first]
            yield {
                "model": name, "blocks": blocks, "build": build, "split": split, "params": params, "attached": backend,
            }  # fmt: skip


def more_cases(build: str, backend: str, seed: int, count: int) -> Iterator[dict[str, Any]]:
    """Something beside the model: a projector and adapters, a draft model, an MTP block. The first device is the card,
    a second one a CPU worker."""
    dice = random.Random(seed)
    beside = list(beside_cases(list(MODELS), [build], 4 * count, seed))
    drafts = list(draft_cases(list(MODELS), [build], 4 * count, seed))
    for number in range(count):
        kind = number % 3
        case = beside.pop(0) if kind == 0 else drafts.pop(0)
        if kind == 2:
            draft: dict[str, Any] = {"type": "draft-mtp", "n_max": dice.choice([1, 2, 3, 4])}
            params = {"ctx_size": 2048, "ubatch_size": 256, "parallel": dice.choice([1, 1, 2]), "draft": draft}
            case = {"model": "qwen35-mtp", "blocks": 8, "build": build, "split": [10], "params": params, "draft": ""}
        layers = sum(case["split"])
        first = layers if number % 2 else dice.randint(1, layers)
        case |= {"split": [first] if first == layers else [first, layers - first], "attached": backend}
        places = ["0", "0", "host", *(["1"] if first < layers else [])]
        if kind == 0 and "device" in case["beside"]:
            case["beside"] = case["beside"] | {"device": dice.choice(places)}
        elif kind == 1:
            said = case["params"]["draft"] | {"device": dice.choice(places)}
            case["params"] = case["params"] | {"draft": said}
        yield case


def model_of(case: dict[str, Any]) -> Any:
    if case["model"] == "qwen35-mtp":
        return qwen35_with_mtp(case["blocks"])
    return header_of(case["model"], case["blocks"], speaks=needs_words(case))


def loaded(engine: Engine, case: dict[str, Any], folder: Path, card: str) -> dict[str, Any]:
    """One load as a row. Raises LoadFailed."""
    name = f"{case['model']}-{case['blocks']}-{get_ident()}"
    path, args = write_gguf(folder / f"{name}.gguf", *model_of(case)), arguments(case["params"], case["build"])
    variables: dict[str, str] = {}
    if "beside" in case:
        words, variables = beside_arguments(case, written_beside(case, folder), card)
        args += words
    elif draft := case["params"].get("draft"):
        if draft.get("type") == "draft-mtp":
            args += ["--spec-type", "draft-mtp", "--spec-draft-n-max", str(draft["n_max"])]
        else:
            other = folder / f"draft-{name}.gguf"
            write_gguf(other, *header_of(case["draft"], case["draft_blocks"], speaks=False))
            args += draft_arguments(draft, other, card)
    reading = load(engine, path, case["split"], args, attached=(card,), beside="beside" in case, variables=variables)
    row = case | {"devices": [_numbers(d) for d in reading.devices], "host": _numbers(reading.host)}
    if "draft" in case:
        held = reading.draft or [Held()] * len(case["split"])
        row |= {"draft_devices": [_numbers(d) for d in held], "draft_host": _numbers(reading.draft_host)}
    if "beside" in case:
        row |= beside_numbers(reading) | {"beside_card": list(reading.printed.get(card, (0, 0)))}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", metavar="BUILD=DIRECTORY")
    parser.add_argument("device", help="the engine's name of the card")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parallel", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--each", type=int, default=3, help="loads of every model; twice as many with experts")
    parser.add_argument("--more", type=int, default=0, metavar="N", help="N loads with something beside the model")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    build, _, binaries = options.engine.partition("=")
    engine = Engine(build, Path(binaries) / "llama-server", Path(binaries) / "ggml-rpc-server")
    backend = BACKENDS[options.device.rstrip("0123456789")]
    lines = options.out.read_text().splitlines() if options.out.exists() else []
    known = {identity(json.loads(line)) for line in lines}
    lock = Lock()
    with TemporaryDirectory() as folder, ThreadPoolExecutor(options.parallel) as pool:

        def measure(case: dict[str, Any]) -> None:
            try:
                row = loaded(engine, case, Path(folder), options.device)
            except LoadFailed as e:
                print("FAILED", identity(case), str(e)[-300:], flush=True)
                return
            with lock, options.out.open("a") as out:
                out.write(json.dumps(row) + "\n")

        wanted = [
            c
            for c in (
                more_cases(build, backend, options.seed, options.more)
                if options.more
                else cases(build, backend, options.seed, options.each)
            )
            if (not options.only or c["model"] in options.only.split(",")) and identity(c) not in known
        ]
        list(pool.map(measure, wanted))


if __name__ == "__main__":
    main()
