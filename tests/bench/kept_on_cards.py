"""A long context over a new split on two cards: seconds to the next token, kept and read again, and the file's size.

    python -m tests.bench.kept_on_cards DIRECTORY_WITH_THE_BINARIES [--tokens 30000] [--devices CUDA0,CUDA1]

Weights are zero: what is measured does not depend on them. `--dry` takes a tiny model and no device. Needs nothing but
Python beside the binaries.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hettui.adapters.llama.gguf import read_model
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.workload import Workload
from hettui.domain.model.shape import ModelShape
from hettui.domain.slots.launch_terms import terms_of
from tests import tiny_models
from tests.gguf_files import with_tokenizer, write_gguf
from tests.truth.models import MODELS

PORT = 29187
_LOAD_S = 400.0


def _post(path: str, body: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """The answer, and how long it took."""
    data = json.dumps(body).encode()
    address, kind = f"http://127.0.0.1:{PORT}{path}", {"Content-Type": "application/json"}
    asked = urllib.request.Request(address, data, kind)
    begun_s = time.perf_counter()
    with urllib.request.urlopen(asked, timeout=600) as answer:  # noqa: S310 - ours
        found: dict[str, Any] = json.load(answer)
    return found, time.perf_counter() - begun_s


@contextmanager
def server(argv: list[str], env: dict[str, str]) -> Iterator[float]:
    """Runs it; the seconds until it was ready."""
    begun_s = time.perf_counter()
    with Path(os.devnull).open("wb") as nowhere:
        process = subprocess.Popen(argv, env=env, stdout=nowhere, stderr=nowhere)
    try:
        while time.perf_counter() - begun_s < _LOAD_S and process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=2) as answer:
                    if answer.status == 200:
                        break
            except OSError:
                time.sleep(0.1)
        yield time.perf_counter() - begun_s
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binaries", type=Path)
    parser.add_argument("--tokens", type=int, default=30_000)
    parser.add_argument("--model", default="qwen3moe")
    parser.add_argument("--devices", default="CUDA0,CUDA1")
    parser.add_argument("--splits", default="25,24 33,16", help="before and after, in layers")
    parser.add_argument("--dry", action="store_true")
    options = parser.parse_args()
    env = os.environ | {"LD_LIBRARY_PATH": f"{options.binaries}:{os.environ.get('LD_LIBRARY_PATH', '')}"}
    with TemporaryDirectory() as folder:
        place = Path(folder)
        if options.dry:
            model = tiny_models.write(place, "dense")
            options.tokens, placed = 1500, [["-dev", "none", "-ngl", "0", "-t", "1"]] * 2
            ctx, vocabulary = 2048, 400
        else:
            metadata, tensors = MODELS[options.model]()
            vocabulary = int(next(v for k, v in metadata.items() if k.endswith(".vocab_size")))
            model = write_gguf(place / "model.gguf", with_tokenizer(metadata, vocabulary), tensors)
            ctx = options.tokens + 4096
            layers = [str(sum(map(int, s.split(",")))) for s in options.splits.split()]
            placed = [
                ["-dev", options.devices, "-ngl", n, "-ts", s]
                for n, s in zip(layers, options.splits.split(), strict=True)
            ]
        usual = [
            str(options.binaries / "llama-server"),
            "-m",
            str(model),
            "--port",
            str(PORT),
            "-c",
            str(ctx),
            "-np",
            "1",
        ]
        usual += ["-fa", "on", "-fit", "off", "--slot-save-path", folder]
        prompt = [300 + n % (vocabulary - 300) for n in range(options.tokens)]
        body = {"prompt": prompt, "n_predict": 1, "cache_prompt": True}
        terms = terms_of(
            Workload(ModelShape.of(read_model(str(model))), RuntimeParams(ctx_size=ctx, flash_attn="on")), "", ""
        )
        with server([*usual, *placed[0]], env):
            _, cold_s = _post("/completion", body)
            saved, save_s = _post("/slots/0?action=save", {"filename": "kept.ctx"})
        size, said = (place / "kept.ctx").stat().st_size, terms.saved_bytes(saved["n_saved"])
        with server([*usual, *placed[1]], env) as load_s:
            _, restore_s = _post("/slots/0?action=restore", {"filename": "kept.ctx"})
            kept, kept_s = _post("/completion", body | {"prompt": [*prompt, 301]})
        with server([*usual, *placed[1]], env):
            lost, lost_s = _post("/completion", body | {"prompt": [*prompt, 301]})
        print("| tokens | cold s | save s | file MiB | forecast | load s | restore s | next token, kept | read again |")
        print("|---|---|---|---|---|---|---|---|---|")
        print(
            f"| {saved['n_saved']:,} | {cold_s:.1f} | {save_s:.2f} | {size / 2**20:.1f} | {said / size - 1:+.2%} | "
            f"{load_s:.1f} | {restore_s:.2f} | {kept_s:.2f} s ({kept['timings']['cache_n']:,} reused) | "
            f"{lost_s:.1f} s ({lost['timings']['cache_n']:,}) |"
        )


if __name__ == "__main__":
    main()
