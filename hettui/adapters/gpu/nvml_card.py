"""One NVIDIA card's readings, each at its own pace.

What a call costs was measured on an H100 (driver 580): memory 34 µs, clock event reasons and link 0.4 ms each, power
2 ms, utilisation 4 ms, PCIe throughput 20 ms in each direction. So memory and temperature are read every time, the
dearer ones every two seconds, or four while the card does nothing, the dearest every ten, and what never changes once.
Of a card on which our processes compute, for how much of the time it is busy is read every second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hettui.adapters.gpu.nvml_errors import LOST
from hettui.domain.telemetry.readings import DeviceSample, Holder, Link, Throttle
from hettui.domain.text import clean_line

# A little less than whole seconds: a round that comes a moment early must not wait for the next one.
EVERY_SECOND = 0.9
EVERY_TWO_SECONDS = 1.9
EVERY_FOUR_SECONDS = 3.9
EVERY_TEN_SECONDS = 9.5
UNDER_LOAD_PERCENT = 5

_NEVER_WILL = (3, 13, 25, 26)
"""NVML's error codes: not supported, function not found, version mismatch, deprecated."""

_REASONS = (
    (0x40, Throttle.HOT_HARDWARE),
    (0x80, Throttle.POWER_BRAKE),
    (0x20, Throttle.HOT),
    (0x04, Throttle.POWER_LIMIT),
    (0x10, Throttle.SYNC),
)
"""nvml.h, nvmlClocksEventReasons. Idle (0x1) and clocks that somebody set (0x2, 0x100) are no harm."""
_HW_SLOWDOWN, _ITS_CAUSES = 0x08, 0x40 | 0x80
_MOST_SLICES = 16
_EVERY_BIT = 0xFFFFFFFF
_MEMORY_TEMPERATURE_FIELD = 82
"""NVML_FI_DEV_MEMORY_TEMP"""


class NvmlCard:
    """A card's handle with what is known of it."""

    def __init__(self, nvml: Any, handle: Any, number: int = 0) -> None:
        self._nvml = nvml
        self._handle = handle
        self.number = number
        """Among those of its driver."""
        self._refused: set[str] = set()
        """What the card does not support: not asked again."""
        self._names: dict[int, str] = {}
        self._fixed: DeviceSample | None = None
        self._slow = DeviceSample()
        self._medium_s = self._slow_s = self._load_s = -1e9
        """When the slower readings were last taken."""
        self._used_bytes: int | None = None
        """At that moment."""
        self._seen_us = 0
        """The driver's time of the last reading of who computes."""
        self._cut: bool | None = None
        """None: not asked yet."""
        self.lost: str | None = None

    def ask(self, name: str, *arguments: Any) -> Any:
        """`nvmlDeviceGet{name}`; None for whatever goes wrong. This is the one place where a reading may fail."""
        query: Callable[..., Any] | None = getattr(self._nvml, f"nvmlDeviceGet{name}", None)
        key = f"{name}{arguments}"
        if query is None or key in self._refused:
            return None
        try:
            return query(self._handle, *arguments)
        except self._nvml.NVMLError as error:
            code = getattr(error, "value", None)
            if code in _NEVER_WILL:
                self._refused.add(key)
            self.lost = LOST.get(code, self.lost) if code is not None else self.lost
        except (OSError, AttributeError, UnicodeDecodeError):
            pass
        return None

    def read(self, now_s: float, pids: tuple[int, ...] = ()) -> DeviceSample:
        """All readings, of which the slower ones may be some seconds old. `pids` are this cluster's."""
        if self._fixed is None:
            self._fixed = self._read_fixed()
        memory = self.memory()
        used_bytes = getattr(memory, "used", None)
        if now_s - self._medium_s >= (EVERY_FOUR_SECONDS if self._rests(used_bytes) else EVERY_TWO_SECONDS):
            self._medium_s, self._used_bytes = now_s, used_bytes
            self._slow = self._read_medium(self._slow, pids)
            if now_s - self._slow_s >= EVERY_TEN_SECONDS:
                self._slow_s = now_s
                self._slow = self._read_slow(self._slow)
        fixed = self._fixed
        if pids and self._rests(used_bytes):
            # What was said of somebody else's work must not outlive it.
            self._slow = replace(self._slow, own_busy_percent=0.0, others_busy_percent=0.0)
        elif pids and now_s - self._load_s >= EVERY_SECOND:
            # Where a token's time goes is read from these: a mean over the last second is wanted for each second.
            self._load_s = now_s
            if self._medium_s != now_s:
                load = getattr(self.ask("UtilizationRates"), "gpu", self._slow.utilisation_percent)
                self._slow = replace(self._slow, utilisation_percent=load)
            own, others = self._who_computes(self._slow.holders, pids)
            self._slow = replace(self._slow, own_busy_percent=own, others_busy_percent=others)
        elif not pids:
            self._slow = replace(self._slow, own_busy_percent=None, others_busy_percent=None)
        sample = replace(
            self._slow,
            used_bytes=used_bytes,
            total_bytes=getattr(memory, "total", None),
            temperature_c=self.ask("Temperature", self._nvml.NVML_TEMPERATURE_GPU),
            throttles=self._throttles(),
            slowdown_c=fixed.slowdown_c,
            shutdown_c=fixed.shutdown_c,
            clock_max_mhz=fixed.clock_max_mhz,
            link_max=fixed.link_max,
        )
        return DeviceSample(lost=self.lost) if self.lost else sample

    def _rests(self, used_bytes: int | None) -> bool:
        """It did nothing when last asked, and nobody has taken or given back memory since."""
        return self._slow.utilisation_percent == 0 and used_bytes == self._used_bytes

    def _read_fixed(self) -> DeviceSample:
        nvml = self._nvml
        return DeviceSample(
            slowdown_c=self.ask("TemperatureThreshold", nvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN),
            shutdown_c=self.ask("TemperatureThreshold", nvml.NVML_TEMPERATURE_THRESHOLD_SHUTDOWN),
            clock_max_mhz=self.ask("MaxClockInfo", nvml.NVML_CLOCK_SM),
            link_max=self.link("Max"),
        )

    def _read_medium(self, before: DeviceSample, pids: tuple[int, ...]) -> DeviceSample:
        holders = self._holders()
        energy_mj = self.ask("TotalEnergyConsumption")
        return replace(
            before,
            holders=holders,
            own_bytes=_held_by(holders, pids),
            utilisation_percent=getattr(self.ask("UtilizationRates"), "gpu", None),
            memory_temperature_c=self._memory_temperature(),
            fan_percent=self.ask("FanSpeed"),
            power_w=_thousandth(self.ask("PowerUsage")),
            clock_mhz=self.ask("ClockInfo", self._nvml.NVML_CLOCK_SM),
            link_now=self.link("Curr"),
            energy_j=_thousandth(energy_mj),
        )

    def _who_computes(
        self, holders: tuple[Holder, ...] | None, pids: tuple[int, ...]
    ) -> tuple[float | None, float | None]:
        """Percent of the time, by us and by others. Unknown where ours are not among the processes that the driver
        counts: inside some containers it counts pids otherwise, and our own would pass for strangers."""
        samples = self.ask("ProcessUtilization", self._seen_us)
        if not isinstance(samples, list | tuple):
            return None, None
        first = not self._seen_us
        self._seen_us = max([self._seen_us, *(s.timeStamp for s in samples)])
        if first:
            # All that the driver remembers: older than this second.
            return None, None
        loads: dict[int, list[float]] = {}
        for sample in samples:
            loads.setdefault(sample.pid, []).append(sample.smUtil)
        means = {pid: sum(found) / len(found) for pid, found in loads.items()}
        if not any(pid in pids for pid in (*means, *(h.pid for h in holders or ()))):
            return None, None
        own = sum(load for pid, load in means.items() if pid in pids)
        return min(own, 100.0), min(sum(means.values()) - own, 100.0)

    def _read_slow(self, before: DeviceSample) -> DeviceSample:
        nvml = self._nvml
        busy = (before.utilisation_percent or 0) >= UNDER_LOAD_PERCENT
        # 20 ms each, during which the driver counts: not worth it on an idle card.
        received, sent = (
            (self.ask("PcieThroughput", nvml.NVML_PCIE_UTIL_RX_BYTES) if busy else None),
            (self.ask("PcieThroughput", nvml.NVML_PCIE_UTIL_TX_BYTES) if busy else None),
        )
        return replace(
            before,
            power_limit_w=_thousandth(self.ask("EnforcedPowerLimit")),
            received_bytes_per_s=None if received is None else received * 1000.0,
            sent_bytes_per_s=None if sent is None else sent * 1000.0,
            ecc_errors=self.ask("TotalEccErrors", nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC),
        )

    @property
    def is_cut(self) -> bool:
        """It is cut into slices (MIG): what it has as a whole is nobody's to use."""
        if self._cut is None:
            mode = self.ask("MigMode")
            self._cut = isinstance(mode, list | tuple) and bool(mode) and mode[0] == 1
        return self._cut

    def slices(self) -> list[NvmlCard]:
        """Of a card that is cut; none where the driver does not tell."""
        most = self.ask("MaxMigDeviceCount") if self.is_cut else 0
        handles = (self.ask("MigDeviceHandleByIndex", number) for number in range(min(most or 0, _MOST_SLICES)))
        return [NvmlCard(self._nvml, handle, self.number) for handle in handles if handle is not None]

    def memory(self) -> Any:
        """`total`, `used` and `free`. The newer call keeps what the driver reserves apart from what is used, as
        nvidia-smi does; drivers before 510 have the older one only. None of a card that is cut into slices."""
        if self.is_cut:
            return None
        version = getattr(self._nvml, "nvmlMemory_v2", None)
        newer = None if version is None else self.ask("MemoryInfo", version)
        return newer if newer is not None else self.ask("MemoryInfo")

    def link(self, which: str) -> Link | None:
        """`which` is `Curr` or `Max`."""
        generation, width = self.ask(f"{which}PcieLinkGeneration"), self.ask(f"{which}PcieLinkWidth")
        return None if not generation or not width else Link(generation, width)

    def _throttles(self) -> tuple[Throttle, ...] | None:
        bits = self.ask("CurrentClocksEventReasons")
        if bits is None:  # Drivers before 535 have the older name only.
            bits = self.ask("CurrentClocksThrottleReasons")
        # All bits at once is what a call leaves behind that has not answered.
        if not isinstance(bits, int) or bits & _EVERY_BIT == _EVERY_BIT:
            return None
        found = [throttle for bit, throttle in _REASONS if bits & bit]
        if bits & _HW_SLOWDOWN and not bits & _ITS_CAUSES:
            found.insert(0, Throttle.SLOWDOWN)
        return tuple(found)

    def _memory_temperature(self) -> float | None:
        values = self.ask("FieldValues", (_MEMORY_TEMPERATURE_FIELD,))
        if not values or values[0].nvmlReturn != 0:
            return None
        # HBM says it; cards that do not have the sensor may answer with 0.
        return values[0].value.uiVal or None

    def _holders(self) -> tuple[Holder, ...] | None:
        """Who holds memory; None when the driver does not say, as inside some containers."""
        compute, graphics = self.ask("ComputeRunningProcesses"), self.ask("GraphicsRunningProcesses")
        if compute is None and graphics is None:
            return None
        used: dict[int, int | None] = {}
        for process in (*(graphics or ()), *(compute or ())):
            used[process.pid] = process.usedGpuMemory
        self._names = {pid: self._names.get(pid) or self._name(pid) for pid in used}
        holders = [Holder(pid, self._names[pid], size) for pid, size in used.items()]
        return tuple(sorted(holders, key=lambda h: (-(h.used_bytes or 0), h.pid)))

    def _name(self, pid: int) -> str:
        try:
            name = self._nvml.nvmlSystemGetProcessName(pid)
        except (self._nvml.NVMLError, AttributeError, OSError, UnicodeDecodeError):
            return ""
        # A path, a command line or a bare name, in bytes or text.
        text = name.decode("utf-8", errors="replace") if isinstance(name, bytes) else str(name)
        return clean_line(text.split(" ")[0].rsplit("/", 1)[-1], 40)


def _held_by(holders: tuple[Holder, ...] | None, pids: tuple[int, ...]) -> int | None:
    """What these processes hold; None when that is not known of any of them."""
    sizes = [h.used_bytes for h in holders or () if h.pid in pids]
    known = [size for size in sizes if size is not None]
    return sum(known) if known and len(known) == len(sizes) else None


def _thousandth(value: int | None) -> float | None:
    return None if value is None else value / 1000
