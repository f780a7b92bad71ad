"""Mutates GGUF headers and looks for anything but a ModelFileError: a crash, a hang, memory without bound.

    python -m tests.fuzz_gguf --minutes 10 [--seed 1]

A header that survives is planned with, too: what a file says decides loops and sizes there as well.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from hettui.adapters.llama.gguf import read_model
from hettui.domain.errors import ModelFileError
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.split import Split
from hettui.domain.session.model_report import model_text
from tests.gguf_files import header, llama
from tests.truth.make import CUT
from tests.truth.models import MODELS

SLOW_S = 2.0
"""Reading and planning one header must not take longer."""
_INTERESTING = (0, 1, 2, 3, 4, 6, 8, 9, 12, 31, 32, 127, 128, 255)
_INTERESTING_64 = (0, 1, 255, 4096, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)


def seeds() -> list[bytes]:
    """Sound headers, whose data is a hole behind them."""
    small = ["llama-1b", "qwen3next", "gemma3n", "deepseek-v2-lite", "granitehybrid", "jamba", "lfm2", "glm4moe"]
    found = [header(*llama())[0]]
    found += [header(*MODELS[name](CUT.get(name, 3)))[0] for name in small]
    return found


def mutate(data: bytes, dice: random.Random) -> bytes:
    """A few changes of the kinds that break parsers."""
    out = bytearray(data)
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(out)) if out else 0
        kind = dice.randrange(6)
        if kind == 0 and out:
            out[at] = dice.choice(_INTERESTING)
        elif kind == 1 and out:
            out[at] ^= 1 << dice.randrange(8)
        elif kind == 2:
            out[at : at + 8] = dice.choice(_INTERESTING_64).to_bytes(8, "little")
        elif kind == 3:
            del out[at : at + dice.randint(1, 64)]
        elif kind == 4:
            out[at:at] = out[at : at + dice.randint(1, 64)]
        else:
            del out[at:]
    return bytes(out)


def try_one(data: bytes, path: Path, hole_bytes: int) -> bool:
    """Reads and plans; True when the header was accepted. Anything but a ModelFileError passes through."""
    with path.open("wb") as file:
        file.write(data)
        file.truncate(len(data) + hole_bytes)
    try:
        shape = ModelShape.of(read_model(str(path)))
    except ModelFileError:
        return False
    split = Split((shape.layers // 2, shape.layers - shape.layers // 2), shape.layers)
    for params in (RuntimeParams(), RuntimeParams(flash_attn="off", parallel=3, cache_type_k="q8_0")):
        for build in (10068, 11434):
            forecast(Workload(shape, params, build), split)
    model_text(Workload(shape, RuntimeParams()))
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    dice, sound = random.Random(options.seed), seeds()
    tried = accepted = 0
    slowest = 0.0
    end = time.monotonic() + options.minutes * 60
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with TemporaryDirectory() as folder:
        path = Path(folder) / "m.gguf"
        while time.monotonic() < end:
            data = mutate(dice.choice(sound), dice)
            start = time.monotonic()
            try:
                accepted += try_one(data, path, dice.choice([0, 1 << 20, 1 << 40]))
            except Exception:
                Path("fuzz-failure.gguf").write_bytes(data)
                print(f"seed {options.seed}, case {tried}: kept as fuzz-failure.gguf", file=sys.stderr)
                raise
            took = time.monotonic() - start
            slowest = max(slowest, took)
            if took > SLOW_S:
                Path("fuzz-slow.gguf").write_bytes(data)
                print(f"case {tried} took {took:.1f} s: kept as fuzz-slow.gguf", file=sys.stderr)
            tried += 1
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{tried} headers, {accepted} accepted, slowest {slowest * 1000:.0f} ms, memory +{grown_mib:.0f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
