"""The CPU's temperature and clock, from trees like the kernel's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hettui.adapters.machine.cpu_sensors import CpuSensors
from hettui.adapters.machine.psutil_host import ProcessSource
from hettui.ports import TelemetryTarget
from hettui.wiring.engine import telemetry_sources
from tests.sysfs_trees import write


def intel(root: Path) -> None:
    write(root / "class/hwmon/hwmon0", {"name": "nvme", "temp1_input": "99000"})
    cores = {f"temp{n}_{kind}": value for n in (1, 2, 6) for kind, value in (("max", "80000"), ("crit", "100000"))}
    write(
        root / "class/hwmon/hwmon2",
        {"name": "coretemp", "temp1_input": "61000", "temp2_input": "72000", "temp6_input": "-1", **cores},
    )
    for core, khz in enumerate((800_000, 4_700_000, 1_200_000)):
        write(
            root / f"devices/system/cpu/cpu{core}/cpufreq",
            {"scaling_cur_freq": str(khz), "cpuinfo_max_freq": "5100000" if core == 1 else "3900000"},
        )
    write(root / "devices/system/cpu", {"online": "0-2"})


def test_intel_lowers_its_clocks_at_its_critical_temperature(tmp_path: Path) -> None:
    intel(tmp_path)
    cpu = CpuSensors(tmp_path)
    assert (cpu.temperature_c(), cpu.slowdown_c, cpu.shutdown_c) == (72.0, 100.0, None)
    assert (cpu.clock_mhz(), cpu.clock_max_mhz) == (4700.0, 5100.0)
    write(tmp_path / "class/hwmon/hwmon2", {"temp2_input": "nothing"})
    assert cpu.temperature_c() == 61.0


def test_other_makers_say_both_thresholds(tmp_path: Path) -> None:
    files = {"name": "k10temp", "temp1_input": "55125", "temp1_max": "90000", "temp1_crit": "105000"}
    write(tmp_path / "class/hwmon/hwmon0", files)
    cpu = CpuSensors(tmp_path)
    assert (cpu.temperature_c(), cpu.slowdown_c, cpu.shutdown_c) == (55.125, 90.0, 105.0)


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    cpu = CpuSensors(tmp_path)
    assert (cpu.temperature_c(), cpu.clock_mhz()) == (None, None)
    assert (cpu.slowdown_c, cpu.shutdown_c, cpu.clock_max_mhz) == (None, None, None)


def test_of_many_cores_a_few_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for core in range(100):
        write(tmp_path / f"devices/system/cpu/cpu{core}/cpufreq", {"scaling_cur_freq": str(1_000_000 + core)})
    cpu = CpuSensors(tmp_path)
    opened: list[str] = []
    really = os.open

    def noted(path: str, flags: int, *rest: int) -> int:
        opened.append(path)
        return really(path, flags, *rest)

    monkeypatch.setattr(os, "open", noted)
    assert cpu.clock_mhz() is not None
    assert len(opened) == 8


def test_a_cpu_device_carries_them_and_its_processes(tmp_path: Path) -> None:
    intel(tmp_path)
    source = ProcessSource(tmp_path)
    # The master is a device's process and the host's: asked twice it would be idle the second time.
    targets = [TelemetryTarget(name, "cpu", pids=(os.getpid(),)) for name in ("worker", "host")]
    source.sample(targets)
    sum(range(2_000_000))
    found = source.sample(targets)
    assert found["worker"] == found["host"]
    sample = found["host"]
    assert (sample.temperature_c, sample.slowdown_c, sample.clock_max_mhz) == (72.0, 100.0, 5100.0)
    assert sample.utilisation_percent is not None
    assert sample.utilisation_percent > 0
    assert sample.holders is not None
    assert [(h.pid, h.used_bytes) for h in sample.holders] == [(os.getpid(), sample.used_bytes)]
    assert sample.holders[0].name
    assert source.sample([TelemetryTarget("gone", "cpu")])["gone"].holders is None


def test_sources_of_drivers_that_run_no_card_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hettui.adapters.gpu.amdgpu.AmdGpuSource.present", lambda: True)
    monkeypatch.setattr("hettui.adapters.gpu.intel_gpu.IntelGpuSource.present", lambda: False)
    assert [type(make()).__name__ for make in telemetry_sources()] == ["NvmlSource", "ProcessSource", "AmdGpuSource"]
