"""Builds the engine over the real adapters."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from hettui.adapters.door.control import DoorLine
from hettui.adapters.files.context_folder import ContextFolderAdapter
from hettui.adapters.gpu.amdgpu import AmdGpuSource
from hettui.adapters.gpu.intel_gpu import IntelGpuSource
from hettui.adapters.gpu.nvml import NvmlSource
from hettui.adapters.hosts.far_ends import FarEnds
from hettui.adapters.hosts.watching import FarSource, HostBook
from hettui.adapters.llama.http import HttpLlamaClient
from hettui.adapters.llama.own_build import OwnBuildAdapter
from hettui.adapters.llama.rpc_probe import Prober
from hettui.adapters.machine.psutil_host import ProcessSource
from hettui.adapters.processes import tcp_info
from hettui.adapters.processes.local import LocalRunner
from hettui.adapters.processes.log_files import LogFolder
from hettui.adapters.processes.run_folder import RunFolder
from hettui.adapters.processes.tcp_ports import LocalPorts
from hettui.ports import TelemetrySource
from hettui.services.cluster.world import World
from hettui.services.engine import Engine
from hettui.services.telemetry.poller import SourceFactory


class SystemClock:
    """Implements Clock."""

    def monotonic(self) -> float:
        return time.monotonic()


class _KernelMeter:
    def sent_bytes(self, ports: Sequence[int]) -> dict[int, int] | None:
        return tcp_info.sent_bytes(ports)


def telemetry_sources() -> tuple[SourceFactory, ...]:
    """One for each kind of device. Those of a driver that runs no card here are left out: each has a thread."""
    kinds = (AmdGpuSource, IntelGpuSource)
    return (NvmlSource, ProcessSource, *(kind for kind in kinds if kind.present()))


class _FarFactory:
    """Makes the source of other hosts' readings."""

    far = True

    def __init__(self, book: HostBook, mark: str) -> None:
        self._book, self._mark = book, mark

    def __call__(self) -> FarSource:
        return FarSource(self._book, self._mark, _readers_of)


def _readers_of(sys_root: Path, proc_root: Path) -> tuple[TelemetrySource, ...]:
    return (AmdGpuSource(sys_root, proc_root), IntelGpuSource(sys_root, proc_root))


def build_engine(
    log_folder: Path,
    runs: RunFolder,
    interval_s: float = 1.0,
    *,
    read_only: str | None = None,
    sensors: Sequence[SourceFactory] | None = None,
    takes_over: bool = False,
    book: HostBook | None = None,
) -> Engine:
    """An engine whose processes log into `log_folder` and are recorded in `runs`. Start it with `with`.

    `book`: the hosts whose devices are watched too; None: this machine's only.
    """
    world = World(
        runner=LocalRunner(runs.mark, runs.folders),
        logs=LogFolder(log_folder),
        ports=LocalPorts(),
        prober=Prober(),
        clients=HttpLlamaClient,
        meter=_KernelMeter(),
        clock=SystemClock(),
        runs=runs,
        contexts=ContextFolderAdapter(),
        far=FarEnds(runs.mark),
        doors=DoorLine,
        own_build=OwnBuildAdapter(),
    )
    sources = telemetry_sources() if sensors is None else sensors
    if book is not None:
        sources = (*sources, _FarFactory(book, runs.mark))
    time_of_day = partial(time.strftime, "%H:%M:%S")
    return Engine(world, sources, interval_s, time_of_day, read_only=read_only, takes_over=takes_over)
