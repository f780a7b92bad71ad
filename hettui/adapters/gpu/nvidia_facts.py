"""What NVIDIA's driver says of itself and its cards beside readings: versions, persistence, usual limits, kinds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from hettui.adapters.gpu.nvml_card import NvmlCard
from hettui.adapters.machine.sysfs import read_text
from hettui.domain.devices.identity import pci_address
from hettui.domain.doctor.facts import NvidiaFacts
from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass
from hettui.domain.telemetry.bounds import within
from hettui.domain.text import clean_line

_MODULE = late_pattern(r"NVRM version: .*?(Open Kernel Module|Kernel Module).*?\s(\d{3,4}\.[0-9.]{1,16})")
_VGPU = (1, 2)
"""NVML_GPU_VIRTUALIZATION_MODE: passed through, lent in parts."""
_MOST_CARDS = 64


@dataclass(frozen=True, slots=True)
class NvidiaCard:
    """Beside its readings."""

    persistence: bool | None = None
    power_default_w: float | None = None
    power_least_w: float | None = None
    sliced: bool = False
    virtual: bool = False


def nvidia_facts(nvml: Any = None, proc_root: Path = Path("/proc")) -> tuple[NvidiaFacts, dict[str, NvidiaCard]]:
    """The driver, and cards by PCI address. Never raises: what is not told is None."""
    loaded = driver_module(proc_root)
    try:
        if nvml is None:
            import pynvml

            nvml = pynvml
        nvml.nvmlInit()
    except Exception:  # no driver, no library, no permission: what refuses is told elsewhere
        return loaded, {}
    try:
        library = _asked(nvml, "nvmlSystemGetDriverVersion")
        cuda = _asked(nvml, "nvmlSystemGetCudaDriverVersion_v2")
        cards = dict(_cards(nvml))
    finally:
        _asked(nvml, "nvmlShutdown")
    pair = (cuda // 1000, cuda % 1000 // 10) if isinstance(cuda, int) and cuda > 0 else None
    library = library.decode("utf-8", "replace") if isinstance(library, bytes) else library
    return replace(loaded, library=clean_line(library, 40) if isinstance(library, str) else None, cuda=pair), cards


def driver_module(proc_root: Path = Path("/proc")) -> NvidiaFacts:
    """The loaded kernel module alone: one small file."""
    match = _MODULE.search(read_text(f"{proc_root}/driver/nvidia/version") or "")
    return NvidiaFacts(match[2], match[1].startswith("Open")) if match else NvidiaFacts()


def _cards(nvml: Any) -> Any:
    count = _asked(nvml, "nvmlDeviceGetCount")
    for number in range(min(count, _MOST_CARDS) if isinstance(count, int) else 0):
        handle = _asked(nvml, "nvmlDeviceGetHandleByIndex", number)
        if handle is None:
            continue
        card = NvmlCard(nvml, handle, number)
        told = getattr(card.ask("PciInfo"), "busId", None)
        address = pci_address(told.decode("ascii", "replace") if isinstance(told, bytes) else told)
        if address is not None:
            yield address, _card(card)


def _card(card: NvmlCard) -> NvidiaCard:
    persistence, bounds = card.ask("PersistenceMode"), card.ask("PowerManagementLimitConstraints")
    least = bounds[0] if isinstance(bounds, list | tuple) and bounds else None
    return NvidiaCard(
        None if persistence is None else persistence == 1,
        _watts(card.ask("PowerManagementDefaultLimit")),
        _watts(least),
        card.is_cut,
        card.ask("VirtualizationMode") in _VGPU[1:],
    )


def _watts(milliwatts: Any) -> float | None:
    found: float | None = within("power_limit_w", milliwatts / 1000 if isinstance(milliwatts, int) else None)
    return found


def _asked(nvml: Any, query: str, *arguments: Any) -> Any:
    try:
        return getattr(nvml, query)(*arguments)
    except Exception:  # NVMLError, a function that an old library lacks, a damaged answer: all mean "not told"
        return None
