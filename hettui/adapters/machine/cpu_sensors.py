"""The CPU's own temperature and clock, from sysfs.

psutil would ask every sensor of the machine for one temperature, disks and graphics cards included, which wakes some
of them up, and every core for the clock. Here the CPU's files are found once and only those are read.
"""

from __future__ import annotations

from pathlib import Path

from hettui.adapters.machine.sysfs import celsius, children, read_number, read_text, threshold_c

_CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal")
_MOST_CHANNELS = 64
_MOST_CORES = 8
"""So many cores are asked for their clock, spread over all: on large machines every answer interrupts a core."""


class CpuSensors:
    """Finds the files when it is made. Every reading may be None."""

    def __init__(self, sys_root: Path = Path("/sys")) -> None:
        self._inputs: list[str] = []
        self.slowdown_c: float | None = None
        """From here the CPU lowers its clocks."""
        self.shutdown_c: float | None = None
        for chip in children(sys_root / "class" / "hwmon"):
            name = read_text(f"{chip}/name", 64)
            if name in _CHIPS:
                self._add(str(chip), name)
        cores = [f"{core}/cpufreq" for core in children(sys_root / "devices" / "system" / "cpu")]
        clocks = [core for core in cores if read_number(f"{core}/scaling_cur_freq", 1, 10**8) is not None]
        self._cores = clocks[:: max(1, len(clocks) // _MOST_CORES)][:_MOST_CORES]
        highest = [khz for core in cores if (khz := read_number(f"{core}/cpuinfo_max_freq", 1, 10**8))]
        self.clock_max_mhz = max(highest) / 1000 if highest else None

    def _add(self, chip: str, name: str) -> None:
        found = [f"{chip}/temp{n}" for n in range(1, _MOST_CHANNELS) if read_text(f"{chip}/temp{n}_input", 32)]
        self._inputs += [f"{path}_input" for path in found]
        high = _lowest([threshold_c(f"{path}_max") for path in found])
        critical = _lowest([threshold_c(f"{path}_crit") for path in found])
        if name == "coretemp":
            # Intel's "critical" is the junction's maximum, where the clocks fall; its "high" turns fans up. Where it
            # shuts down is not told.
            self.slowdown_c = critical
        else:
            self.slowdown_c, self.shutdown_c = high, critical

    def temperature_c(self) -> float | None:
        """The hottest place."""
        readings = [value for path in self._inputs if (value := celsius(path)) is not None]
        return max(readings) if readings else None

    def clock_mhz(self) -> float | None:
        """The fastest of the cores that are asked: the others may be idle."""
        readings = [khz for core in self._cores if (khz := read_number(f"{core}/scaling_cur_freq", 1, 10**8))]
        return max(readings) / 1000 if readings else None


def _lowest(values: list[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)
