"""NVIDIA cards by NVML. Every reading is optional: what a card does not tell is None."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from hettui.adapters.gpu.nvml_card import NvmlCard
from hettui.domain.devices.device import Hardware
from hettui.domain.devices.identity import pci_address
from hettui.domain.telemetry.bounds import believed_link, believed_memory, within
from hettui.domain.telemetry.readings import DeviceSample
from hettui.domain.text import clean_line
from hettui.ports import TelemetryTarget

LOOK_AGAIN_S = 10.0
"""A card that was lost may come back after a reset: so often it is looked for."""


class NvmlSource:
    """Implements TelemetrySource. NVML is opened by the first call, on the thread that makes it."""

    def __init__(self, nvml: Any = None, clock: Callable[[], float] = time.monotonic) -> None:
        """`nvml` is the pynvml module, or a stand-in."""
        self._nvml = nvml
        self._clock = clock
        self._opened: bool | None = None
        """None: not tried yet."""
        self._cards: dict[str, NvmlCard] = {}
        """By UUID and by PCI address, both in lower case."""
        self._gone: dict[str, str] = {}
        """By the target's name: why a card cannot be read that could be before."""
        self._look_at_s = 0.0

    # -- finding -------------------------------------------------------------------------------------------

    def list_cards(self) -> tuple[Hardware, ...]:
        """All NVIDIA cards in PCI order; none without a driver."""
        return tuple(sorted((self._hardware(c) for c in self._all_cards()), key=lambda card: card.pci_address or ""))

    def _hardware(self, card: NvmlCard) -> Hardware:
        memory, pci, uuid = card.memory(), _pci_address(card.ask("PciInfo")), _text(card.ask("UUID"))
        link, capability = believed_link(card.link("Curr")), card.ask("CudaComputeCapability")
        total_bytes, free_bytes = believed_memory(getattr(memory, "total", None), getattr(memory, "free", None))
        return Hardware(
            id=f"pci:{pci}" if pci else f"uuid:{uuid}",
            name=clean_line(_text(card.ask("Name")) or "NVIDIA GPU", 80),
            backend="cuda",
            total_bytes=total_bytes,
            free_bytes=free_bytes,
            pci_address=pci,
            uuid=uuid,
            driver=self._driver(),
            temperature_c=within("temperature_c", card.ask("Temperature", self._nvml.NVML_TEMPERATURE_GPU)),
            pcie_link=None if link is None else str(link),
            bandwidth_bytes_per_s=self._bandwidth(card),
            compute_capability=None if capability is None else "{}.{}".format(*capability),
        )

    def _bandwidth(self, card: NvmlCard) -> float | None:
        """Twice the memory's clock times the width of its bus: GDDR and HBM send on both edges."""
        width_bits = card.ask("MemoryBusWidth")
        clock_mhz = card.ask("MaxClockInfo", self._nvml.NVML_CLOCK_MEM)
        known = isinstance(width_bits, int) and isinstance(clock_mhz, int)
        found: float | None = within("bandwidth_bytes_per_s", 2e6 * clock_mhz * width_bits / 8) if known else None
        return found

    def _driver(self) -> str | None:
        return _text(self._quietly(self._nvml.nvmlSystemGetDriverVersion))

    def _quietly(self, query: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return query(*arguments)
        except (self._nvml.NVMLError, OSError, UnicodeDecodeError):
            return None

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

    def _all_cards(self) -> list[NvmlCard]:
        if not self._open():
            return []
        count = self._quietly(self._nvml.nvmlDeviceGetCount) or 0
        handles = [self._quietly(self._nvml.nvmlDeviceGetHandleByIndex, index) for index in range(count)]
        return [NvmlCard(self._nvml, handle) for handle in handles if handle is not None]

    # -- reading -------------------------------------------------------------------------------------------

    def sample(self, targets: Sequence[TelemetryTarget]) -> dict[str, DeviceSample]:
        wanted = [t for t in targets if t.uuid or t.pci_address]
        if not wanted or not self._open():
            return {}
        now_s, samples = self._clock(), {}
        for target in wanted:
            card = self._card(target, now_s)
            if card is not None:
                samples[target.name] = sample = card.read(now_s, target.pids)
                if sample.lost:
                    self._forget(card, now_s)
                    self._gone[target.name] = sample.lost
                else:
                    self._gone.pop(target.name, None)
            elif target.name in self._gone:
                samples[target.name] = DeviceSample(lost=self._gone[target.name])
        return samples

    def _card(self, target: TelemetryTarget, now_s: float) -> NvmlCard | None:
        found = self._known(target)
        if found is None and now_s >= self._look_at_s:
            self._look_at_s = now_s + LOOK_AGAIN_S
            if self._gone:
                # After a reset of the driver only a new beginning sees the card again.
                self._quietly(self._nvml.nvmlShutdown)
                self._opened = None
                self._cards.clear()
            for card in self._all_cards():
                for key in (_text(card.ask("UUID")), _pci_address(card.ask("PciInfo"))):
                    if key:
                        self._cards.setdefault(key.lower(), card)
            found = self._known(target)
        return found

    def _known(self, target: TelemetryTarget) -> NvmlCard | None:
        keys = (key.lower() for key in (target.uuid, target.pci_address) if key)
        return next((self._cards[key] for key in keys if key in self._cards), None)

    def _forget(self, lost: NvmlCard, now_s: float) -> None:
        self._cards = {key: card for key, card in self._cards.items() if card is not lost}
        self._look_at_s = now_s + LOOK_AGAIN_S

    def close(self) -> None:
        if self._opened:
            self._quietly(self._nvml.nvmlShutdown)
        self._opened = None
        self._cards.clear()


def _text(value: Any) -> str | None:
    """Older NVML bindings give bytes."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    return clean_line(value, 120) if isinstance(value, str) and value else None


def _pci_address(info: Any) -> str | None:
    """`0000:01:00.0` as the kernel writes it; NVML has eight digits of domain and upper case."""
    return pci_address(_text(getattr(info, "busId", None)))
