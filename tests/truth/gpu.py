"""What loads on a real NVIDIA GPU reserve, and what CUDA takes beside llama.cpp's buffers.

    python -m tests.truth.gpu DIRECTORY_WITH_THE_BINARIES --out gpu.jsonl

Needs nothing but Python and nvidia-smi. MiB with two decimals is all that a master prints about its own devices.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

from tests.gguf_files import write_gguf
from tests.truth.make import CUT, arguments
from tests.truth.measure import MIB, free_port
from tests.truth.models import MODELS

_BUFFER = re.compile(r"(\w+):\s+(\S+)\s+(model|KV|RS|compute) buffer size\s*=\s*([\d.]+) MiB")
_KINDS = {"model": 0, "KV": 1, "RS": 1, "compute": 2}

SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"flash_attn": "off"},
    {"ctx_size": 16384, "parallel": 2, "cache_type_k": "q8_0", "cache_type_v": "q8_0", "flash_attn": "on"},
)


def used_mib() -> int:
    """Memory in use on the first GPU, by all processes and the driver."""
    out = subprocess.run(
        ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", "0"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(out.stdout.split()[0])


def _wait_ready(port: int, process: subprocess.Popen[bytes], timeout_s: float = 240) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("it did not get ready")


def measure(binaries: Path, model: Path, workers: list[str], devices: str, split: list[int], args: list[str]) -> Any:
    """`workers`: what each worker lends (`CUDA0`, `CPU`). Loads, warms up, and reads the GPU's memory."""
    before = used_mib()
    started: list[subprocess.Popen[bytes]] = []
    with ExitStack() as stack:
        endpoints, log = [], stack.enter_context(TemporaryFile())
        for lent in workers:
            port = free_port()
            argv: list[str | Path] = [binaries / "ggml-rpc-server", "-H", "127.0.0.1", "-p", str(port), "-d", lent]
            silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            started.append(subprocess.Popen(argv, restore_signals=False, **silent))  # type: ignore[call-overload]
            endpoints.append(f"127.0.0.1:{port}")
        time.sleep(2 if workers else 0)
        port = free_port()
        argv = [binaries / "llama-server", "-m", model, "--host", "127.0.0.1", "--port", str(port)]
        argv += ["--rpc", ",".join(endpoints)] if endpoints else []
        argv += ["-dev", devices, "-ngl", str(sum(split)), "-ts", ",".join(map(str, split)), "-fit", "off", "-lv", "4"]
        master = subprocess.Popen([*argv, *args], stdout=log, stderr=subprocess.STDOUT, env=os.environ)
        started.append(master)
        try:
            _wait_ready(port, master)
            after = used_mib()
        finally:
            for process in reversed(started):
                process.kill()
                process.wait()
        log.seek(0)
        text = log.read().decode(errors="replace")
    found: dict[str, list[int]] = {}
    last: dict[tuple[str, str, str], float] = {}
    for source, name, kind, mib in _BUFFER.findall(text):
        key = (name, kind, source if kind == "compute" else f"{source}{len(last)}")
        last[key] = float(mib)
    for (name, kind, _), mib_value in last.items():
        found.setdefault(name.partition("[")[0], [0, 0, 0])[_KINDS[kind]] += round(mib_value * MIB)
    return {"buffers": found, "used_before_mib": before, "used_after_mib": after}


CLUSTERS: tuple[tuple[str, list[str], str, int], ...] = (
    ("attached", [], "CUDA0", 1),
    ("attached and worker", ["CPU"], "CUDA0,RPC0", 2),
    ("workers", ["CUDA0", "CPU"], "RPC0,RPC1", 2),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binaries", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--only",
        default="llama-8b,qwen2-0.5b,qwen3moe,gemma3-12b,gpt-oss-20b,phi3,deepseek-v2-lite,mamba2,granite,lfm2",
    )
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        for name in options.only.split(","):
            blocks = CUT.get(name, 3)
            path = write_gguf(Path(folder) / f"{name}.gguf", *MODELS[name](blocks))
            for params in SETTINGS:
                for cluster, workers, devices, count in CLUSTERS:
                    half = (blocks + 1) // 2
                    split = [blocks + 1] if count == 1 else [blocks + 1 - half, half]
                    case = {"model": name, "blocks": blocks, "cluster": cluster, "split": split, "params": params}
                    try:
                        case |= measure(options.binaries, path, workers, devices, split, arguments(params, "b11434"))
                    except (RuntimeError, OSError) as error:
                        case["error"] = str(error)
                    with options.out.open("a") as out:
                        out.write(json.dumps(case) + "\n")
                    print(json.dumps(case), flush=True)


if __name__ == "__main__":
    main()
