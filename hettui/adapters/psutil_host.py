"""This machine's CPU and memory, and what our processes take of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from hettui.domain.device import Hardware
from hettui.domain.telemetry import DeviceSample
from hettui.domain.text import clean_line
from hettui.ports import TelemetryTarget

_CPU_CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal")


class ProcessSource:
    """Implements TelemetrySource for CPU devices: the resident memory and CPU time of their processes."""

    def __init__(self) -> None:
        self._known: dict[int, object] = {}
        """psutil processes by pid: they remember the CPU time of the last sample."""

    def sample(self, targets: Sequence[TelemetryTarget]) -> dict[str, DeviceSample]:
        import psutil

        wanted = [target for target in targets if target.backend == "cpu"]
        pids = {pid for target in wanted for pid in target.pids}
        self._known = {pid: process for pid, process in self._known.items() if pid in pids}
        temperature_c = _cpu_temperature() if wanted else None
        samples = {}
        for target in wanted:
            readings = [reading for pid in target.pids if (reading := self._process(pid))]
            resident = sum(size for size, _ in readings) if readings else None
            samples[target.name] = DeviceSample(
                used_bytes=resident,
                own_bytes=resident,
                total_bytes=target.budget_bytes or psutil.virtual_memory().total,
                utilisation_percent=sum(percent for _, percent in readings) if readings else None,
                temperature_c=temperature_c,
            )
        return samples

    def _process(self, pid: int) -> tuple[int, float] | None:
        """Resident bytes and CPU percent since the last sample; None when it is gone."""
        import psutil

        try:
            process = self._known.setdefault(pid, psutil.Process(pid))
            assert isinstance(process, psutil.Process)  # noqa: S101 - the map is typed loosely: psutil is imported late
            # A pid that was given to somebody else raises here, because the start time differs.
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                return None
            return process.memory_info().rss, process.cpu_percent(None)
        except psutil.Error:
            return None

    def close(self) -> None:
        self._known.clear()


def _cpu_temperature() -> float | None:
    import psutil

    try:
        chips = psutil.sensors_temperatures()
    except (AttributeError, OSError):
        return None
    readings = [entry.current for chip in _CPU_CHIPS for entry in chips.get(chip, ()) if entry.current]
    return max(readings) if readings else None


def cpu_hardware() -> Hardware:
    """The CPU with the machine's memory."""
    import psutil

    memory = psutil.virtual_memory()
    temperature = _cpu_temperature()
    return Hardware(
        id="cpu",
        name=f"{_cpu_name()} ({os.cpu_count() or 1} threads)",
        backend="cpu",
        total_bytes=memory.total,
        free_bytes=memory.available,
        engine_name="CPU",
        temperature_c=None if temperature is None else round(temperature),
    )


def _cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "CPU"
    line = next((line for line in text.splitlines() if line.startswith("model name")), "")
    return clean_line(line.partition(":")[2].strip(), 60) or "CPU"
