"""llama-bench: its command line for a split of ours, and what it prints.

It takes lists with `/` where llama-server takes `,` (b11434): with a comma it runs a test for each entry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hettui.domain.bench.run import BenchPlan, BenchResult, BenchSample, BenchTest
from hettui.domain.errors import EngineError
from hettui.domain.json_text import parse_json
from hettui.domain.llama.options import flag, spoken
from hettui.domain.llama.params import TENSOR_MODE
from hettui.domain.plan.experts import override

_ALIKE = ("batch-size", "ubatch-size", "cache-type-k", "cache-type-v", "gpu-layers", "n-cpu-moe")
"""Options that both programs spell alike."""
_MOST_BLOCKS = 512
"""`LLAMA_MAX_LAYERS`."""


def llama_bench_argv(program: str, master: Sequence[str], plan: BenchPlan) -> list[str]:
    """The same model, devices, split and batches as the master with this command line."""
    options = spoken(master)
    argv = [program, flag("model"), options["model"], "-o", "json", "-r", str(plan.repeats)]
    argv += ["-p", ",".join(map(str, plan.prompts)) or "0", "-n", ",".join(map(str, plan.generates)) or "0"]
    argv += ["-d", ",".join(map(str, plan.depths))]
    if "rpc" in options:
        argv += [flag("rpc"), options["rpc"]]
    if "device" in options:
        argv += ["-dev", options["device"].replace(",", "/")]
    if "tensor-split" in options:
        argv += [flag("tensor-split"), options["tensor-split"].replace(",", "/")]
    if options.get("split-mode") == TENSOR_MODE:
        argv += [flag("split-mode"), TENSOR_MODE]
    for name in _ALIKE:
        if name in options:
            argv += [flag(name), options[name]]
    if apart := _apart(options):
        argv += [flag("override-tensor"), ";".join(apart)]
    if options.get("flash-attn") in ("on", "off"):
        argv += [flag("flash-attn"), options["flash-attn"]]
    return argv


def _apart(options: Mapping[str, str]) -> list[str]:
    """What stays on the host. Between patterns llama-bench takes a semicolon, and it has no `--n-cpu-ffn` (b11434)."""
    patterns = [one for one in options.get("override-tensor", "").split(",") if one]
    blocks = options.get("n-cpu-ffn", "")
    return [*patterns, *override(range(min(int(blocks), _MOST_BLOCKS)), "FFN")] if blocks.isdecimal() else patterns


def read_llama_bench(text: str) -> tuple[BenchResult, ...]:
    """Its `-o json`. Raises EngineError for anything else."""
    try:
        rows = parse_json(text)
        results = []
        for row in rows:
            test = BenchTest(int(row["n_prompt"]), int(row["n_gen"]), int(row.get("n_depth", 0)))
            tokens = test.prompt or test.generate
            samples = tuple(BenchSample(tokens, float(ns) / 1e9) for ns in row["samples_ns"])
            results.append(BenchResult(test, samples))
        return tuple(results)
    except (ValueError, KeyError, TypeError) as error:
        raise EngineError("llama-bench printed something that is no result of it: run it by hand to see") from error
