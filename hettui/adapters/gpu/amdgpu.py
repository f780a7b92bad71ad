"""AMD cards by the files of the kernel driver amdgpu: no ROCm needed, no subprocess.

Names and units: Documentation/gpu/amdgpu/thermal.rst and driver-misc.rst of the kernel.
Not read: `pcie_bw`, which holds the reader up for a second and counts packets whose size nobody knows.
"""

from __future__ import annotations

import re
from pathlib import Path

from hettui.adapters.gpu.amdgpu_metrics import Evidence, is_apu, throttles
from hettui.adapters.gpu.drm_source import CardReader, DrmSource
from hettui.adapters.gpu.pci_cards import AMD
from hettui.adapters.gpu.pci_names import card_name
from hettui.adapters.gpu.pcie_link import amd_slot_port, link, most
from hettui.adapters.machine.sysfs import (
    DrmCard,
    celsius,
    children,
    driver_version,
    hwmon_of,
    is_asleep,
    labelled,
    read_bytes,
    read_number,
    read_text,
    size_bytes,
    threshold_c,
    watts,
)
from hettui.domain.devices.device import Hardware
from hettui.domain.patterns import late_pattern
from hettui.domain.telemetry.bounds import believed_memory
from hettui.domain.telemetry.readings import DeviceSample, Throttle
from hettui.domain.text import clean_line

_LEVEL = late_pattern(r"^\s*\w+:\s*([0-9]{1,6})\s*mhz\s*(\*?)", re.IGNORECASE | re.MULTILINE)
_UNCORRECTED = late_pattern(r"^ue:\s*([0-9]{1,12})\s*$", re.MULTILINE)


class AmdGpuSource(DrmSource):
    """Implements TelemetrySource for cards whose kernel driver is amdgpu."""

    drivers = frozenset({"amdgpu"})
    vendor = AMD

    def reader(self, card: DrmCard) -> CardReader:
        return AmdCard(card, self._sys, self._proc)


class AmdCard:
    """Reads one card. Limits and thresholds are kept from the last `refresh`."""

    def __init__(self, card: DrmCard, sys_root: Path, proc_root: Path) -> None:
        self._card = card
        self._sys = sys_root
        self._proc = proc_root
        self._device = str(card.device)
        self._hwmon = hwmon_of(card.device)
        self._temperatures = labelled(self._hwmon, "temp")
        self._clock = labelled(self._hwmon, "freq").get("sclk")
        self._port = amd_slot_port(card.device)
        self._ras = [str(file) for file in children(card.device / "ras") if file.name.endswith("_err_count")]
        self._limits: dict[str, float | None] = {}
        self._shutdown_c: float | None = None
        self._power_limit_w: float | None = None
        self._clock_max_mhz: float | None = None
        self._total_bytes: int | None = None
        self._ecc_errors: int | None = None
        self._link_max = most(self._port)
        # An APU's memory is the machine's: what is carved out for it says nothing about what a model may take.
        table = None if is_asleep(card.device) else read_bytes(f"{self._device}/gpu_metrics")
        self._is_apu = "vddnb" in labelled(self._hwmon, "in") or is_apu(table)
        self.regions = frozenset({"vram", "gtt"}) if self._is_apu else frozenset({"vram"})

    def refresh(self) -> None:
        self._limits = {label: threshold_c(f"{path}_crit") for label, path in self._temperatures.items()}
        main = self._main_sensor()
        self._shutdown_c = threshold_c(f"{self._temperatures[main]}_emergency") if main else None
        self._power_limit_w = watts(f"{self._hwmon}/power1_cap") or None
        self._clock_max_mhz = max((mhz for mhz, _ in self._levels()), default=None)
        self._ecc_errors = self._uncorrected()

    def sample(self, asleep: bool) -> DeviceSample:
        if self._total_bytes is None:
            self._total_bytes = self._memory("total")
        used = self._memory("used")
        if asleep:
            return DeviceSample(used_bytes=used, total_bytes=self._total_bytes, asleep=True)
        heat = {label: celsius(f"{path}_input") for label, path in self._temperatures.items()}
        main = self._main_sensor()
        power_w = self._power()
        return DeviceSample(
            used_bytes=used,
            total_bytes=self._total_bytes,
            utilisation_percent=read_number(f"{self._device}/gpu_busy_percent", 0, 100),
            temperature_c=heat.get(main) if main else self._only_temperature(),
            memory_temperature_c=heat.get("mem"),
            slowdown_c=self._limits.get(main) if main else None,
            shutdown_c=self._shutdown_c,
            fan_percent=self._fan(),
            power_w=power_w,
            power_limit_w=self._power_limit_w,
            clock_mhz=self._clock_now(),
            clock_max_mhz=self._clock_max_mhz,
            throttles=self._throttles(heat, power_w),
            link_now=link(self._port, "current"),
            link_max=self._link_max,
            ecc_errors=self._ecc_errors,
        )

    def hardware(self, asleep: bool) -> Hardware:
        if not asleep:
            self.refresh()
        now = self.sample(asleep)
        left = None if self._total_bytes is None or now.used_bytes is None else self._total_bytes - now.used_bytes
        total, free = believed_memory(self._total_bytes, left)
        slot = link(self._port, "current")
        return Hardware(
            id=f"pci:{self._card.pci_address}",
            name=self._name(),
            backend="rocm",
            integrated=self._is_apu,
            # Of an APU it is for the engine to say how much of the machine's memory it would take.
            total_bytes=None if self._is_apu else total,
            free_bytes=None if self._is_apu else free,
            pci_address=self._card.pci_address,
            driver=driver_version(self._sys, self._proc, self._card.driver),
            temperature_c=None if now.temperature_c is None else round(now.temperature_c),
            pcie_link=str(slot) if slot else None,
        )

    def _name(self) -> str:
        own = clean_line(read_text(f"{self._device}/product_name", 256) or "", 80).strip()
        return own or card_name("AMD", self._card.device, self._sys.parent)

    def _memory(self, which: str) -> int | None:
        """Of a card its own memory; of an APU also what it borrows from the machine (GTT)."""
        vram = size_bytes(f"{self._device}/mem_info_vram_{which}")
        if not self._is_apu:
            return vram
        borrowed = size_bytes(f"{self._device}/mem_info_gtt_{which}")
        return None if vram is None or borrowed is None else vram + borrowed

    def _main_sensor(self) -> str | None:
        """The junction where there is one: the hottest place of the chip, by which the firmware lowers the clocks.

        amd-smi monitor shows it as the GPU's temperature. nvtop shows the edge, which is 10 to 30 °C cooler and may
        look well while the card throttles.
        """
        return next((label for label in ("junction", "edge") if label in self._temperatures), None)

    def _only_temperature(self) -> float | None:
        """Of drivers from before the labels."""
        return celsius(f"{self._hwmon}/temp1_input")

    def _power(self) -> float | None:
        """The average where there is one, as everywhere; newer chips give the present power only."""
        average = watts(f"{self._hwmon}/power1_average")
        return watts(f"{self._hwmon}/power1_input") if average is None else average

    def _fan(self) -> float | None:
        speed = read_number(f"{self._hwmon}/pwm1", 0, 65535)
        highest = read_number(f"{self._hwmon}/pwm1_max", 1, 65535)
        return None if speed is None or highest is None or speed > highest else 100 * speed / highest

    def _levels(self) -> list[tuple[float, bool]]:
        """The steps of the compute units' clock in MHz, and which of them is in use."""
        text = read_text(f"{self._device}/pp_dpm_sclk") or ""
        return [(float(mhz), bool(star)) for mhz, star in _LEVEL.findall(text)]

    def _clock_now(self) -> float | None:
        if self._clock is not None:
            hertz = read_number(f"{self._clock}_input", 0, 10**11)
            if hertz is not None:
                return hertz / 1e6
        return next((mhz for mhz, in_use in self._levels() if in_use), None)

    def _throttles(self, heat: dict[str, float | None], power_w: float | None) -> tuple[Throttle, ...] | None:
        def seen(label: str) -> tuple[float | None, float | None]:
            return heat.get(label), self._limits.get(label)

        evidence = Evidence(seen("edge"), seen("junction"), seen("mem"), (power_w, self._power_limit_w))
        return throttles(read_bytes(f"{self._device}/gpu_metrics"), evidence)

    def _uncorrected(self) -> int | None:
        """Errors that ECC could not repair, of all parts of the chip that count them."""
        texts = [read_text(path) or "" for path in self._ras]
        counts = [int(match[1]) for text in texts if (match := _UNCORRECTED.search(text))]
        return sum(counts) if counts else None
