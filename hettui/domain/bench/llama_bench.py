"""llama-bench: its command line for a split of ours, and what it prints.

It takes lists with `/` where llama-server takes `,` (b11434): with a comma it runs a test for each entry.
"""

from __future__ import annotations

from collections.abc import Sequence

from hettui.domain.bench.run import BenchPlan, BenchResult, BenchSample, BenchTest
from hettui.domain.errors import EngineError
from hettui.domain.json_text import parse_json

_SAME = {"-b": "-b", "-ub": "-ub", "-ctk": "-ctk", "-ctv": "-ctv", "-ngl": "-ngl", "-ncmoe": "-ncmoe"}
"""Options that both programs spell alike."""


def llama_bench_argv(program: str, master: Sequence[str], plan: BenchPlan) -> list[str]:
    """The same model, devices, split and batches as the master with this command line."""
    options = dict(zip(master, [*master[1:], ""], strict=True))
    argv = [program, "-m", options["-m"], "-o", "json", "-r", str(plan.repeats)]
    argv += ["-p", ",".join(map(str, plan.prompts)) or "0", "-n", ",".join(map(str, plan.generates)) or "0"]
    argv += ["-d", ",".join(map(str, plan.depths))]
    if "--rpc" in options:
        argv += ["--rpc", options["--rpc"]]
    if "--device" in options:
        argv += ["-dev", options["--device"].replace(",", "/")]
    if "-ts" in options:
        argv += ["-ts", options["-ts"].replace(",", "/")]
    for ours, theirs in _SAME.items():
        if ours in options:
            argv += [theirs, options[ours]]
    if options.get("-fa") in ("on", "off"):
        argv += ["-fa", options["-fa"]]
    return argv


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
