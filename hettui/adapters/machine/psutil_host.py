"""This machine's CPU and memory, and what our processes take of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

from hettui.adapters.files.bounded import kernel_text
from hettui.adapters.machine.cpu_sensors import CpuSensors
from hettui.adapters.machine.limits import memory_limit, usable_cpus
from hettui.domain.devices.device import Hardware
from hettui.domain.records import dataclass
from hettui.domain.telemetry.readings import DeviceSample, Holder
from hettui.domain.text import clean_line
from hettui.ports import TelemetryTarget


@dataclass(frozen=True, slots=True)
class _Reading:
    resident_bytes: int
    percent: float
    name: str


class ProcessSource:
    """Implements TelemetrySource for CPU devices: the resident memory and CPU time of their processes."""

    def __init__(self, sys_root: Path = Path("/sys")) -> None:
        self._sys_root = sys_root
        self._sensors: CpuSensors | None = None
        self._memory_bytes: int | None = None
        """Of the machine, or what this process may take of it: it does not change."""
        self._known: dict[int, object] = {}
        """psutil processes by pid: they remember the CPU time of the last sample."""

    @staticmethod
    def is_about(target: TelemetryTarget) -> bool:
        return target.backend == "cpu"

    def sample(self, targets: Sequence[TelemetryTarget]) -> dict[str, DeviceSample]:
        wanted = [target for target in targets if target.backend == "cpu"]
        pids = {pid for target in wanted for pid in target.pids}
        self._known = {pid: process for pid, process in self._known.items() if pid in pids}
        if not wanted:
            return {}
        cpu = self._cpu()
        # Twice the same process, a master that is also a device's, is asked once: the second answer would be 0 %.
        readings = {pid: reading for pid in sorted(pids) if (reading := self._process(pid))}
        return {
            target.name: replace(
                cpu,
                total_bytes=target.budget_bytes or self._memory_bytes,
                **_of_processes({pid: readings[pid] for pid in target.pids if pid in readings}),
            )
            for target in wanted
        }

    def _cpu(self) -> DeviceSample:
        """What all CPU devices share."""
        import psutil

        if self._sensors is None or self._memory_bytes is None:
            self._sensors = CpuSensors(self._sys_root)
            memory = psutil.virtual_memory()
            self._memory_bytes, _ = memory_limit().of(memory.total, memory.available)
        return DeviceSample(
            temperature_c=self._sensors.temperature_c(),
            slowdown_c=self._sensors.slowdown_c,
            shutdown_c=self._sensors.shutdown_c,
            clock_mhz=self._sensors.clock_mhz(),
            clock_max_mhz=self._sensors.clock_max_mhz,
        )

    def _process(self, pid: int) -> _Reading | None:
        """Its memory, and CPU percent since the last sample; None when it is gone."""
        import psutil

        try:
            process = self._known.setdefault(pid, psutil.Process(pid))
            assert isinstance(process, psutil.Process)  # noqa: S101 - the map is typed loosely: psutil is imported late
            # A pid that was given to somebody else raises here, because the start time differs.
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                return None
            with process.oneshot():
                return _Reading(process.memory_info().rss, process.cpu_percent(None), clean_line(process.name(), 40))
        except psutil.Error:
            return None

    def close(self) -> None:
        self._known.clear()


class _Use(TypedDict):
    used_bytes: int | None
    own_bytes: int | None
    utilisation_percent: float | None
    holders: tuple[Holder, ...] | None


def _of_processes(readings: dict[int, _Reading]) -> _Use:
    if not readings:
        return _Use(used_bytes=None, own_bytes=None, utilisation_percent=None, holders=None)
    resident = sum(reading.resident_bytes for reading in readings.values())
    largest_first = sorted(readings.items(), key=lambda item: (-item[1].resident_bytes, item[0]))
    return _Use(
        used_bytes=resident,
        own_bytes=resident,
        utilisation_percent=sum(reading.percent for reading in readings.values()),
        holders=tuple(Holder(pid, reading.name, reading.resident_bytes) for pid, reading in largest_first),
    )


def cpu_hardware() -> Hardware:
    """The CPU with what this process may take of the machine's memory and cores."""
    import psutil

    memory = psutil.virtual_memory()
    total_bytes, free_bytes = memory_limit().of(memory.total, memory.available)
    temperature = CpuSensors().temperature_c()
    return Hardware(
        id="cpu",
        name=f"{_cpu_name()} ({usable_cpus()} threads)",
        backend="cpu",
        total_bytes=total_bytes,
        free_bytes=free_bytes,
        engine_name="CPU",
        temperature_c=None if temperature is None else round(temperature),
    )


def _cpu_name() -> str:
    text = kernel_text("/proc/cpuinfo")
    line = next((line for line in text.splitlines() if line.startswith("model name")), "")
    return clean_line(line.partition(":")[2].strip(), 60) or "CPU"
