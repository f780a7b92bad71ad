"""Intel cards by the files of the kernel drivers i915 and xe.

Names and units: Documentation/ABI/testing/sysfs-driver-intel-{i915,xe}-hwmon and the drivers' own documents.
Not there without root: how much of a card's memory is in use altogether, and how busy it is. Both stay unknown; what
our own processes hold of it is known from their fdinfo.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hettui.adapters.gpu.drm_source import CardReader, DrmSource
from hettui.adapters.gpu.pci_names import card_name
from hettui.adapters.gpu.pcie_link import intel_slot_port, link, most
from hettui.adapters.machine.sysfs import (
    DrmCard,
    celsius,
    children,
    driver_version,
    hwmon_of,
    labelled,
    read_number,
    size_bytes,
    threshold_c,
    watts,
)
from hettui.domain.devices.device import Hardware
from hettui.domain.telemetry.bounds import within
from hettui.domain.telemetry.readings import DeviceSample, Throttle

_SHORTEST_S = 0.05
"""Between two readings of the energy counter: it steps, and a shorter time makes noise of it."""

_REASONS = (
    ("thermal", Throttle.HOT),
    ("ratl", Throttle.HOT),
    ("pl1", Throttle.POWER_LIMIT),
    ("pl2", Throttle.POWER_LIMIT),
    ("pl4", Throttle.POWER_LIMIT),
)
"""By what the name of the file contains. Any other reason (prochot, the regulator's current) is the hardware's."""


class IntelGpuSource(DrmSource):
    """Implements TelemetrySource for cards whose kernel driver is i915 or xe."""

    drivers = frozenset({"i915", "xe"})

    def reader(self, card: DrmCard) -> CardReader:
        return IntelCard(card, self._sys, self._proc, self._clock)


class IntelCard:
    """Reads one card."""

    regions = frozenset({"local0", "local1", "vram0", "vram1"})

    def __init__(self, card: DrmCard, sys_root: Path, proc_root: Path, clock: Callable[[], float]) -> None:
        self._card = card
        self._sys = sys_root
        self._proc = proc_root
        self._clock = clock
        self._hwmon = hwmon_of(card.device)
        self._package, self._memory = self._sensors()
        # Channel 1 is the card, 2 the chip's package: some boards count only the latter.
        self._channel = next((n for n in (1, 2) if self._energy_uj(n) is not None), 1)
        self._now_mhz, self._max_mhz = self._clock_files()
        self._status, self._reasons = self._throttle_files()
        self._port = intel_slot_port(card.device)
        self._link_max = most(self._port)
        self._power_limit_w: float | None = None
        self._total_bytes: int | None = None
        self._before: tuple[float, int] | None = None
        """Time and energy counter of the last sample."""

    def _sensors(self) -> tuple[str | None, str | None]:
        """Of the package and of the memory. i915 has one sensor and no label for it."""
        names = labelled(self._hwmon, "temp")
        first = None if names else f"{self._hwmon}/temp1"
        return names.get("pkg", first), names.get("vram")

    def _clock_files(self) -> tuple[str, str]:
        if self._card.driver == "xe":
            folder = f"{self._card.device}/tile0/gt0/freq0"
            return f"{folder}/act_freq", f"{folder}/rp0_freq"
        per_gt = self._card.node / "gt" / "gt0"
        if per_gt.is_dir():
            return f"{per_gt}/rps_act_freq_mhz", f"{per_gt}/rps_RP0_freq_mhz"
        return f"{self._card.node}/gt_act_freq_mhz", f"{self._card.node}/gt_RP0_freq_mhz"

    def _throttle_files(self) -> tuple[str, tuple[tuple[str, Throttle], ...]]:
        """The file that says whether anything does, and one for each reason."""
        if self._card.driver == "xe":
            folder, start = self._card.device / "tile0" / "gt0" / "freq0" / "throttle", "reason_"
            status = folder / "status"
        else:
            folder, start = self._card.node / "gt" / "gt0", "throttle_reason_"
            status = folder / "throttle_reason_status"
        files = [file for file in children(folder) if file.name.startswith(start) and file != status]
        return str(status), tuple((str(file), _reason(file.name.removeprefix(start))) for file in files)

    def refresh(self) -> None:
        # 0 is how the driver says that the limit is off.
        self._power_limit_w = watts(f"{self._hwmon}/power{self._channel}_max") or None

    def sample(self, asleep: bool) -> DeviceSample:
        if self._total_bytes is None:
            self._total_bytes = self._total()
        if asleep:
            self._before = None
            return DeviceSample(total_bytes=self._total_bytes, asleep=True)
        energy_uj = self._energy_uj(self._channel)
        package = self._package
        return DeviceSample(
            total_bytes=self._total_bytes,
            temperature_c=celsius(f"{package}_input") if package else None,
            memory_temperature_c=celsius(f"{self._memory}_input") if self._memory else None,
            slowdown_c=threshold_c(f"{package}_crit") if package else None,
            shutdown_c=threshold_c(f"{package}_emergency") if package else None,
            power_w=self._power(energy_uj),
            power_limit_w=self._power_limit_w,
            clock_mhz=read_number(self._now_mhz, 0, 100_000),
            clock_max_mhz=read_number(self._max_mhz, 1, 100_000),
            throttles=self._throttles(),
            link_now=link(self._port, "current"),
            link_max=self._link_max,
            energy_j=None if energy_uj is None else energy_uj / 1e6,
        )

    def hardware(self, asleep: bool) -> Hardware:
        if not asleep:
            self.refresh()
        now = self.sample(asleep)
        slot = link(self._port, "current")
        return Hardware(
            id=f"pci:{self._card.pci_address}",
            name=card_name("Intel", self._card.device, self._sys.parent),
            backend="sycl",
            # A processor's own graphics has been at this place since there is one.
            integrated=self._card.pci_address.endswith(":00:02.0"),
            total_bytes=self._total_bytes,
            pci_address=self._card.pci_address,
            driver=driver_version(self._sys, self._proc, self._card.driver),
            temperature_c=None if now.temperature_c is None else round(now.temperature_c),
            pcie_link=str(slot) if slot else None,
        )

    def _total(self) -> int | None:
        """Where the driver says it: xe for each tile, some builds of i915 for the card."""
        tiles = [file for file in children(self._card.device) if file.name.startswith("tile")]
        sizes = [size_bytes(f"{tile}/{inner}physical_vram_size_bytes") for tile in tiles for inner in ("", "memory/")]
        known = [size for size in sizes if size]
        return sum(known) if known else size_bytes(f"{self._card.node}/lmem_total_bytes") or None

    def _energy_uj(self, channel: int) -> int | None:
        return read_number(f"{self._hwmon}/energy{channel}_input", 0, 1 << 62)

    def _power(self, energy_uj: int | None) -> float | None:
        """From the energy since the last sample. None for the first, and when the counter began anew."""
        now_s = self._clock()
        before = self._before
        if before is not None and energy_uj is not None and now_s - before[0] < _SHORTEST_S:
            return None
        self._before = None if energy_uj is None else (now_s, energy_uj)
        if before is None or energy_uj is None or energy_uj < before[1]:
            return None
        power_w: float | None = within("power_w", (energy_uj - before[1]) / 1e6 / (now_s - before[0]))
        return power_w

    def _throttles(self) -> tuple[Throttle, ...] | None:
        if (status := read_number(self._status, 0, 1)) is None:
            return None
        if status == 0:
            return ()
        found = [reason for file, reason in self._reasons if read_number(file, 0, 1) == 1]
        return tuple(dict.fromkeys(found)) or (Throttle.SLOWDOWN,)


def _reason(name: str) -> Throttle:
    return next((reason for part, reason in _REASONS if part in name), Throttle.SLOWDOWN)
