"""NVIDIA cards by NVML. Every reading is optional: what a card does not tell is None."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hettui.domain.device import Hardware
from hettui.domain.telemetry import DeviceSample, Link
from hettui.domain.text import clean_line
from hettui.ports import TelemetryTarget


class NvmlSource:
    """Implements TelemetrySource. NVML is opened by the first call, on the thread that makes it."""

    def __init__(self, nvml: Any = None) -> None:
        """`nvml` is the pynvml module, or a stand-in."""
        self._nvml = nvml
        self._opened: bool | None = None
        """None: not tried yet."""
        self._handles: dict[str, Any] = {}
        """By UUID and by PCI address, both in lower case."""

    # -- finding -------------------------------------------------------------------------------------------

    def list_cards(self) -> tuple[Hardware, ...]:
        """All NVIDIA cards in PCI order; none without a driver."""
        cards = []
        for handle in self._all_handles():
            read, nvml = self._read, self._nvml
            memory = read(nvml.nvmlDeviceGetMemoryInfo, handle)
            pci = _pci_address(read(nvml.nvmlDeviceGetPciInfo, handle))
            uuid = _text(read(nvml.nvmlDeviceGetUUID, handle))
            cards.append(
                Hardware(
                    id=f"pci:{pci}" if pci else f"uuid:{uuid}",
                    name=clean_line(_text(read(nvml.nvmlDeviceGetName, handle)) or "NVIDIA GPU", 80),
                    backend="cuda",
                    total_bytes=getattr(memory, "total", None),
                    free_bytes=getattr(memory, "free", None),
                    pci_address=pci,
                    uuid=uuid,
                    driver=_text(read(nvml.nvmlSystemGetDriverVersion)),
                    temperature_c=read(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU),
                    pcie_link=_link_text(self._link(handle, "Curr")),
                    bandwidth_bytes_per_s=self._bandwidth(handle),
                )
            )
        return tuple(sorted(cards, key=lambda card: card.pci_address or ""))

    def _bandwidth(self, handle: Any) -> float | None:
        """Twice the memory's clock times the width of its bus: GDDR and HBM send on both edges."""
        nvml = self._nvml
        width_bits = self._read(lambda: nvml.nvmlDeviceGetMemoryBusWidth(handle))
        clock_mhz = self._read(lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_MEM))
        return 2e6 * clock_mhz * width_bits / 8 if width_bits and clock_mhz else None

    def _open(self) -> bool:
        if self._opened is None:
            try:
                if self._nvml is None:
                    import pynvml

                    self._nvml = pynvml
                self._nvml.nvmlInit()
                self._opened = True
            except Exception:  # no driver, no library, no permission: there are no NVIDIA cards for us
                self._opened = False
        return self._opened

    def _all_handles(self) -> list[Any]:
        if not self._open():
            return []
        count = self._read(self._nvml.nvmlDeviceGetCount) or 0
        handles = [self._read(self._nvml.nvmlDeviceGetHandleByIndex, index) for index in range(count)]
        return [handle for handle in handles if handle is not None]

    def _handle(self, target: TelemetryTarget) -> Any:
        if not self._handles:
            for handle in self._all_handles():
                for key in (
                    _text(self._read(self._nvml.nvmlDeviceGetUUID, handle)),
                    _pci_address(self._read(self._nvml.nvmlDeviceGetPciInfo, handle)),
                ):
                    if key:
                        self._handles[key.lower()] = handle
        for key in (target.uuid, target.pci_address):
            if key and key.lower() in self._handles:
                return self._handles[key.lower()]
        return None

    # -- reading -------------------------------------------------------------------------------------------

    def _read(self, query: Callable[..., Any], *arguments: Any) -> Any:
        """The one place where a reading may fail: not supported, no permission, card lost, all are None."""
        try:
            return query(*arguments)
        except (self._nvml.NVMLError, OSError, AttributeError, UnicodeDecodeError):
            return None

    def sample(self, targets: Sequence[TelemetryTarget]) -> dict[str, DeviceSample]:
        if not any(target.backend != "cpu" for target in targets) or not self._open():
            return {}
        samples = {}
        for target in targets:
            handle = self._handle(target)
            if handle is not None:
                samples[target.name] = self._sample(handle, target)
        return samples

    def _sample(self, handle: Any, target: TelemetryTarget) -> DeviceSample:
        read, nvml = self._read, self._nvml
        memory = read(nvml.nvmlDeviceGetMemoryInfo, handle)
        utilisation = read(nvml.nvmlDeviceGetUtilizationRates, handle)
        return DeviceSample(
            used_bytes=getattr(memory, "used", None),
            total_bytes=getattr(memory, "total", None),
            own_bytes=self._own_bytes(handle, target.pids),
            utilisation_percent=getattr(utilisation, "gpu", None),
            temperature_c=read(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU),
            slowdown_c=read(
                nvml.nvmlDeviceGetTemperatureThreshold, handle, nvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN
            ),
            power_w=_watts(read(nvml.nvmlDeviceGetPowerUsage, handle)),
            power_limit_w=_watts(read(nvml.nvmlDeviceGetEnforcedPowerLimit, handle)),
            link_now=self._link(handle, "Curr"),
            link_max=self._link(handle, "Max"),
        )

    def _own_bytes(self, handle: Any, pids: tuple[int, ...]) -> int | None:
        """What our processes hold; None when the driver does not say, as inside some containers."""
        processes = self._read(self._nvml.nvmlDeviceGetComputeRunningProcesses, handle)
        if processes is None or not pids:
            return None
        used = [p.usedGpuMemory for p in processes if p.pid in pids]
        return None if not used or None in used else sum(used)

    def _link(self, handle: Any, which: str) -> Link | None:
        generation = self._read(getattr(self._nvml, f"nvmlDeviceGet{which}PcieLinkGeneration"), handle)
        width = self._read(getattr(self._nvml, f"nvmlDeviceGet{which}PcieLinkWidth"), handle)
        return None if generation is None or width is None else Link(generation, width)

    def close(self) -> None:
        if self._opened:
            self._read(self._nvml.nvmlShutdown)
        self._opened = None
        self._handles.clear()


def _link_text(link: Link | None) -> str | None:
    return None if link is None else str(link)


def _text(value: Any) -> str | None:
    """Older NVML bindings give bytes."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    return clean_line(value, 120) if isinstance(value, str) and value else None


def _pci_address(info: Any) -> str | None:
    """`0000:01:00.0` as the kernel writes it; NVML has eight digits of domain and upper case."""
    text = _text(getattr(info, "busId", None))
    if text is None:
        return None
    domain, _, rest = text.lower().partition(":")
    return f"{domain[-4:]:0>4}:{rest}"


def _watts(milliwatts: Any) -> float | None:
    return None if milliwatts is None else milliwatts / 1000
