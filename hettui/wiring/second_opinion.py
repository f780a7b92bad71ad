"""The same tests by llama-bench on the same devices, where it is found beside llama-server or on PATH.

It loads the model itself, so the cluster must be gone; the workers are started anew for it.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from hettui.adapters.llama.bench import find_llama_bench, run_llama_bench
from hettui.adapters.llama.rpc_probe import Prober
from hettui.adapters.processes.local import LocalProcess, LocalRunner
from hettui.adapters.processes.tcp_ports import LocalPorts
from hettui.domain.bench.llama_bench import llama_bench_argv, read_llama_bench
from hettui.domain.bench.run import BenchPlan, BenchResult
from hettui.domain.cluster.launch import LaunchPlan, default_ports, plan_launch
from hettui.domain.errors import EngineError, LaunchError
from hettui.domain.plan.plan import Plan
from hettui.domain.session.session import Session, runnable

_WORKER_READY_S = 30.0
_END_S = 5.0


def program_of(session: Session) -> str:
    """The llama-bench that belongs to the session's engine. Raises EngineError when there is none."""
    if session.cluster is None:
        raise EngineError(session.problem or "no llama.cpp binaries were found")
    program = find_llama_bench(session.cluster.engine.server)
    if program is None:
        raise EngineError(
            f"there is no llama-bench beside {session.cluster.engine.server} or on PATH: build llama.cpp's tools"
        )
    return str(program)


def second_opinion(program: str, session: Session, plan: BenchPlan) -> tuple[BenchResult, ...]:
    """Blocks, as long as llama-bench takes. Raises EngineError when it fails."""
    split = session.initial_plan
    if split is None:
        raise EngineError(session.problem or "the configuration names no model")
    return asyncio.run(_run(program, session, split, plan))


async def _run(program: str, session: Session, split: Plan, plan: BenchPlan) -> tuple[BenchResult, ...]:
    cluster, ports = runnable(session, split), LocalPorts()
    chosen: dict[str, int] = {}
    for name, port in default_ports(cluster.devices).items():
        chosen[name] = ports.free("127.0.0.1", port, frozenset(chosen.values()))
    launch = plan_launch(cluster, split.split, chosen)
    with tempfile.TemporaryDirectory(prefix="hettui-llama-bench-") as folder:
        started: list[LocalProcess] = []
        try:
            await _start_workers(launch, Path(folder), started)
            argv = llama_bench_argv(program, launch.master.argv, plan)
            return read_llama_bench(await run_llama_bench(argv, launch.master.env))
        finally:
            for process in started:
                process.terminate()
            for process in started:
                await _gone(process)


async def _start_workers(launch: LaunchPlan, folder: Path, started: list[LocalProcess]) -> None:
    runner, prober = LocalRunner(), Prober()
    for number, spec in enumerate(launch.workers):
        started.append(runner.start(spec, folder / f"worker-{number}.log"))
    deadline = time.monotonic() + _WORKER_READY_S
    for spec in launch.workers:
        while True:
            try:
                await prober.probe(*spec.address, 2.0)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise LaunchError(f"{spec.name} did not become ready for llama-bench") from None
                await asyncio.sleep(0.1)


async def _gone(process: LocalProcess) -> None:
    try:
        await asyncio.wait_for(process.wait(), _END_S)
    except TimeoutError:
        process.kill()
        await process.wait()
