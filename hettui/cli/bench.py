"""`hettui bench`: options in, a table or one document out, progress on stderr."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hettui.cli.progress import BenchProgress, SumProgress, show_fetch
from hettui.cli.signals import interruptible
from hettui.domain.errors import HettuiError, UsageError
from hettui.domain.text import clean_line

_MOST = 64
_MOST_WORD = 100


def run_bench(options: Namespace) -> int:
    if sum(bool(x) for x in (options.json, options.csv, options.markdown)) > 1:
        raise UsageError("--json, --csv and --markdown exclude each other")
    if options.compare:
        return _compare(options)
    if options.list:
        return _list(options)
    from hettui.domain.bench.run import BenchPlan
    from hettui.wiring import bench

    plan = BenchPlan(
        _sizes(options.n_prompt, "--n-prompt", 0),
        _sizes(options.n_gen, "--n-gen", 0),
        _sizes(options.n_depth, "--n-depth", 0, zero=True),
        _sizes(options.parallel, "--parallel", 1),
        options.repetitions,
    )
    if plan.repeats < 1 or not (plan.prompts or plan.generates):
        raise UsageError("nothing to measure: --n-prompt or --n-gen above 0, and --repetitions of at least 1")
    refused: HettuiError | None = None
    with interruptible():
        session = demo(options)
        may_start = starts_for(options, "this measurement")
        with bench.target(options.url, options.config, session, options.model, may_start) as where:
            if options.llama_bench:
                # Minutes before it is needed.
                bench.llama_bench_of(where)
            outcome = bench.measure(where, plan, BenchProgress())
            setting = where.describe(outcome)
        run = bench.finished_run(plan, outcome, setting, None if options.no_sum else SumProgress())
        bench.keep(run)
        if options.llama_bench and outcome.problem is None:
            print("llama-bench loads the model and measures the same …", file=sys.stderr)
            try:
                run = bench.keep(bench.with_second_opinion(run, where))
            except HettuiError as error:
                refused = error
    _print(run, options)
    if refused is not None:
        raise refused
    return 0 if run.problem is None else 1


def starts_for(options: Namespace, what: str) -> Callable[[str], bool]:
    """Whether the cluster of a configuration may be started for it: it takes memory of cards and may take minutes."""
    if options.start:
        return lambda path: True

    def ask(path: str) -> bool:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        question = f"Nothing runs. Start {clean_line(path, 200)} for {what}, and stop it then? [y/N] "
        print(question, end="", flush=True, file=sys.stderr)
        return sys.stdin.readline(_MOST_WORD).strip().lower() in ("y", "yes")

    return ask


def demo(options: Namespace) -> Any:
    """The demo cluster's session where `--demo` asks for it, else None."""
    if not options.demo:
        return None
    if options.url or options.config:
        raise UsageError("--demo starts a cluster of its own: leave CONFIG and --url out")
    from hettui.wiring.demo import demo_session

    session = demo_session(show_fetch)
    slots = max(_sizes(getattr(options, "parallel", "1"), "--parallel", 1), default=1)
    params = replace(session.config.params, parallel=min(slots, 4))
    config = replace(session.config, params=params)
    return replace(session, config=config, cluster=session.cluster and replace(session.cluster, params=params))


def _print(run: Any, options: Namespace) -> None:
    from hettui.domain.bench import report as bench_report
    from hettui.domain.bench.kept import run_json
    from hettui.domain.text import clean

    if options.json:
        print(json.dumps(bench_report.report_json(run, run_json(run)), indent=1))
    elif options.csv:
        print(clean(bench_report.csv_text(run)))
    else:
        print(clean(bench_report.markdown(run) if options.markdown else bench_report.text(run)))
    if any(result.samples for result in run.results):
        print(f"kept as {run.key}", file=sys.stderr)


def _compare(options: Namespace) -> int:
    from hettui.domain.bench.compare import compare_json, compare_text
    from hettui.wiring.bench import bench_folder

    a, b = (bench_folder().find(name) for name in options.compare)
    print(json.dumps(compare_json(a, b), indent=1) if options.json else compare_text(a, b))
    return 0


def _list(options: Namespace) -> int:
    from hettui.domain.tables import table
    from hettui.wiring.bench import bench_folder

    runs = bench_folder().runs()
    if options.json:
        print(json.dumps([{"key": r.key, "model": r.setting.model, "complete": r.problem is None} for r in runs]))
        return 0
    rows = [("run", "model", "tests", "")]
    for run in runs:
        found = "  ".join(f"{r.test.name} {r.rate.mean:.1f}" for r in run.results if r.rate)
        rows.append((run.key, run.setting.model, found, "" if run.problem is None else "not complete"))
    print("\n".join(table(rows)) if runs else "no runs are kept yet: hettui bench makes one")
    return 0


def _sizes(text: str, option: str, least: int, *, zero: bool = False) -> tuple[int, ...]:
    """`512,2048` as numbers; 0 alone leaves that kind out, as in llama-bench."""
    words = [w.strip() for w in str(text).split(",")]
    if not all(w.isdigit() and least <= int(w) <= 10_000_000 for w in words):
        raise UsageError(f"{option} {text}: it must be whole numbers such as 512,2048")
    numbers = tuple(dict.fromkeys(int(w) for w in words))
    if option == "--parallel" and max(numbers) > _MOST:
        raise UsageError(f"--parallel {text}: at most {_MOST} at once")
    return numbers if zero else tuple(n for n in numbers if n)
