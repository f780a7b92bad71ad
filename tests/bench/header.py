"""Reading a header against `gguf.GGUFReader`, and `hettui plan` on a model of 400 GB.

pip install gguf; python -m tests.bench.header
"""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from hettui.adapters.llama.gguf import read_model
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.split import Split
from tests.gguf_files import write_gguf
from tests.truth.models import MODELS

VOCABULARY = 151_936
REPEATS = 7


def seconds(action: Callable[[], object], repeats: int = REPEATS) -> float:
    """The median."""
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def _header_rows(folder: Path) -> list[tuple[str, str]]:
    from gguf import GGUFReader

    metadata, tensors = MODELS["qwen3moe"]()
    metadata |= {
        "tokenizer.ggml.tokens": [f"token{i}" for i in range(VOCABULARY)],
        "tokenizer.ggml.merges": [f"tok en{i}" for i in range(VOCABULARY)],
        "tokenizer.ggml.token_type": [1] * VOCABULARY,
    }
    path = write_gguf(folder / "vocabulary.gguf", metadata, tensors)
    ours = seconds(lambda: ModelShape.of(read_model(path)))
    theirs = seconds(lambda: GGUFReader(path), 3)
    return [
        (f"header with {VOCABULARY} tokens, hettui", f"{ours * 1000:.1f} ms"),
        ("the same, gguf.GGUFReader", f"{theirs * 1000:.0f} ms = {theirs / ours:.0f} times as long"),
    ]


def _plan_rows(folder: Path) -> list[tuple[str, str]]:
    path = write_gguf(folder / "deepseek-v3.gguf", *MODELS["deepseek-v3"]())
    argv = [sys.executable, "-m", "hettui", "plan", str(path), "--split", "20,20,22", "-c", "8192"]
    process_s = []
    for _ in range(REPEATS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(argv, stdout=subprocess.DEVNULL, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        process_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    shape = ModelShape.of(read_model(path))
    split = Split((20, 20, 22), shape.layers)
    forecast(Workload(shape, RuntimeParams()), split)
    again = seconds(lambda: forecast(Workload(shape, RuntimeParams()), split), 200)
    size = path.stat().st_size / 1e9
    return [
        (f"hettui plan on deepseek-v3 of {size:.0f} GB, process time", f"{statistics.median(process_s):.2f} s"),
        ("the forecast of a split, layouts known", f"{again * 1e6:.0f} µs"),
    ]


def main() -> None:
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    with TemporaryDirectory() as folder:
        for name, value in [*_header_rows(Path(folder)), *_plan_rows(Path(folder))]:
            print(f"{name:<60}{value}")


if __name__ == "__main__":
    main()
