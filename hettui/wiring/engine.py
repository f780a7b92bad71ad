"""Builds the engine over the real adapters."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from hettui.adapters import tcp_info
from hettui.adapters.llama_http import HttpLlamaClient
from hettui.adapters.log_files import LogFolder
from hettui.adapters.nvml import NvmlSource
from hettui.adapters.processes import LocalRunner
from hettui.adapters.psutil_host import ProcessSource
from hettui.adapters.rpc_probe import Prober
from hettui.adapters.tcp_ports import LocalPorts
from hettui.services.cluster import World
from hettui.services.engine import Engine


class SystemClock:
    """Implements Clock."""

    def monotonic(self) -> float:
        return time.monotonic()


class _KernelMeter:
    def sent_bytes(self, ports: Sequence[int]) -> dict[int, int] | None:
        return tcp_info.sent_bytes(ports)


def build_engine(log_folder: Path, interval_s: float = 1.0) -> Engine:
    """An engine whose processes log into `log_folder`. Start it with `with`."""
    world = World(
        runner=LocalRunner(),
        logs=LogFolder(log_folder),
        ports=LocalPorts(),
        prober=Prober(),
        clients=HttpLlamaClient,
        meter=_KernelMeter(),
        clock=SystemClock(),
    )
    return Engine(world, [NvmlSource(), ProcessSource()], interval_s)
