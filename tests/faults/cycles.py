"""Starts and stops the real cluster again and again and prints what grows: descriptors, threads, memory.

`python -m tests.faults.cycles --count 100`
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from hettui.adapters.files.paths import cache_dir
from hettui.adapters.library.demo_model import demo_model
from hettui.adapters.llama.binaries import find_engine
from hettui.adapters.processes.local import LocalRunner
from hettui.adapters.processes.run_folder import RunFolder
from hettui.domain.cluster.launch import Cluster
from hettui.domain.llama.params import RuntimeParams, Serving
from hettui.domain.plan.split import Split
from hettui.services.cluster.world import Request
from hettui.wiring.engine import build_engine
from tests.faults.owner import DEVICES
from tests.faults.rig import LAYERS

KIB = 1024


@dataclass(frozen=True)
class Reading:
    """What this process holds after so many cycles."""

    cycles: int
    descriptors: int
    threads: int
    resident_kib: int
    children: int


def _now(cycles: int, runs: RunFolder) -> Reading:
    gc.collect()
    status = Path("/proc/self/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    marked = len(LocalRunner(runs.mark).marked())
    return Reading(
        cycles, len(list(Path("/proc/self/fd").iterdir())), threading.active_count(), int(resident.split()[1]), marked
    )


def run(count: int, model: Path, folder: Path, every: int) -> list[Reading]:
    """One engine, `count` starts and stops; a reading before, every so often, and at the end."""
    programs = find_engine(None, {"PATH": "/nowhere"})
    cluster = Cluster(str(model), RuntimeParams(ctx_size=512), Serving(port=0), DEVICES, programs)
    request = Request(cluster, Split(LAYERS, 31), 40_000_000)
    runs, readings = RunFolder(folder), []
    # What was there before is not looked through six times.
    gc.freeze()
    with build_engine(folder / "logs", runs) as engine:
        for cycle in range(count + 1):
            if cycle % every == 0 or cycle in (1, count):
                readings.append(_now(cycle, runs))
            if cycle < count:
                engine.start(request).result(60)
                engine.stop().result(60)
    return readings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    options = parser.parse_args()
    model = demo_model(cache_dir(), lambda done, total: None)
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hettui-cycles-") as folder:
        readings = run(options.count, model, Path(folder), max(1, options.count // 10))
    print("cycles  descriptors  threads  resident MiB  processes left")
    for r in readings:
        print(f"{r.cycles:6}  {r.descriptors:11}  {r.threads:7}  {r.resident_kib / KIB:12.1f}  {r.children:14}")
    print(f"{options.count} cycles in {time.monotonic() - begun_s:.0f} s")


if __name__ == "__main__":
    main()
