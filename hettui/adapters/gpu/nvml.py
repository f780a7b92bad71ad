"""NVIDIA cards by NVML. Every reading is optional: what a card does not tell is None."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hettui.adapters.gpu.nvml_card import NvmlCard
from hettui.adapters.gpu.nvml_errors import NO_DRIVER, refused_altogether, refused_card
from hettui.adapters.gpu.pci_cards import NVIDIA, REST_S, PciCard, may_sleep, pci_cards, unused
from hettui.adapters.gpu.pci_names import card_name
from hettui.adapters.machine.sysfs import is_asleep
from hettui.domain.devices.device import Hardware
from hettui.domain.devices.identity import card_uuid, in_pci_order, pci_address
from hettui.domain.telemetry.bounds import believed_link, believed_memory, within
from hettui.domain.telemetry.readings import DeviceSample
from hettui.domain.text import clean_line
from hettui.ports import TelemetryTarget

LOOK_AGAIN_S = 10.0
"""A card that was lost may come back after a reset: so often it is looked for."""


class NvmlSource:
    """Implements TelemetrySource. NVML is opened by the first call, on the thread that makes it."""

    def __init__(
        self, nvml: Any = None, clock: Callable[[], float] = time.monotonic, sys_root: Path = Path("/sys")
    ) -> None:
        """`nvml` is the pynvml module, or a stand-in."""
        self._nvml = nvml
        self._clock = clock
        self._sys = sys_root
        self._opened: bool | None = None
        """None: not tried yet."""
        self._cards: dict[str, NvmlCard] = {}
        """By UUID and by PCI address, both in lower case."""
        self._gone: dict[str, str] = {}
        """By the target's name: why a card cannot be read that could be before."""
        self._resting: dict[str, tuple[float, DeviceSample]] = {}
        """By the target's name: until when a card that may fall asleep is left alone, and what it said last."""
        self._look_at_s = 0.0
        self.problems: tuple[str, ...] = ()
        """What the driver refuses, in sentences, as of the last `list_cards`."""

    # -- finding -------------------------------------------------------------------------------------------

    def list_cards(self) -> tuple[Hardware, ...]:
        """All NVIDIA cards in PCI order, a cut one as its slices; none without a driver."""
        self.problems = ()
        asleep = [card for card in pci_cards(self._sys, NVIDIA) if card.asleep and card.driver in (None, "nvidia")]
        found = [self._sleeping(card) for card in asleep]
        for card in self._all_cards():
            slices = card.slices()
            found += [self._hardware(part, card) for part in slices] or [self._hardware(card)]
        self.problems += unused(self._sys, NVIDIA) if not found else ()
        return tuple(sorted(found, key=lambda card: in_pci_order(card.pci_address)))

    def _hardware(self, card: NvmlCard, whole: NvmlCard | None = None) -> Hardware:
        """`whole`: the card of which `card` is a slice."""
        around = whole or card
        memory, pci, uuid = card.memory(), _pci_address(around.ask("PciInfo")), card_uuid(_text(card.ask("UUID")))
        link, capability = believed_link(around.link("Curr")), around.ask("CudaComputeCapability")
        total_bytes, free_bytes = believed_memory(getattr(memory, "total", None), getattr(memory, "free", None))
        by_address = pci is not None and whole is None
        return Hardware(
            id=f"pci:{pci}" if by_address else f"uuid:{uuid}" if uuid else f"nvml:{card.number}",
            name=clean_line(_text(card.ask("Name")) or "NVIDIA GPU", 80),
            backend="cuda",
            total_bytes=total_bytes,
            free_bytes=free_bytes,
            pci_address=pci,
            # Without its slices' names the whole card's is no name for what CUDA gives.
            uuid=None if card.is_cut else uuid,
            driver=self._driver(),
            temperature_c=within("temperature_c", around.ask("Temperature", self._nvml.NVML_TEMPERATURE_GPU)),
            pcie_link=None if link is None else str(link),
            bandwidth_bytes_per_s=None if around.is_cut else self._bandwidth(card),
            compute_capability=_capability(capability),
            trouble=f"{around.lost}: see dmesg" if around.lost else None,
        )

    def _sleeping(self, card: PciCard) -> Hardware:
        """What the bus says of a card that is powered down: NVML would wake it up."""
        name = card_name("NVIDIA", card.folder, self._sys.parent)
        return Hardware(id=f"pci:{card.address}", name=name, backend="cuda", pci_address=card.address)

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
            here = any(card.driver == "nvidia" for card in pci_cards(self._sys, NVIDIA))
            if self._nvml is None and not here and not _has_library():
                self._opened = False
                return False
            try:
                if self._nvml is None:
                    import pynvml

                    self._nvml = pynvml
                self._nvml.nvmlInit()
                self._opened = True
            except Exception as error:  # no driver, no library, no permission: there are no NVIDIA cards for us
                self._opened = False
                if here or not (getattr(error, "value", None) in NO_DRIVER or isinstance(error, ImportError)):
                    self.problems = (refused_altogether(error),)
        return self._opened

    def _all_cards(self, *, wake: bool = False) -> list[NvmlCard]:
        """Those that are awake; with `wake` all of them."""
        bus = () if wake else pci_cards(self._sys, NVIDIA)
        asleep = any(card.asleep for card in bus)
        awake = [card.address for card in bus if not card.asleep]
        if (asleep and not awake) or not self._open():
            return []
        if asleep:
            handles = [self._quietly(self._nvml.nvmlDeviceGetHandleByPciBusId, address) for address in awake]
        else:
            handles = self._by_number()
        return [NvmlCard(self._nvml, handle, i) for i, handle in enumerate(handles) if handle is not None]

    def _by_number(self) -> list[Any]:
        try:
            count = self._nvml.nvmlDeviceGetCount()
        except (self._nvml.NVMLError, OSError) as error:
            self.problems += (refused_altogether(error),)
            return []
        handles: list[Any] = []
        refused: dict[int, Exception] = {}
        for number in range(count):
            try:
                handles.append(self._nvml.nvmlDeviceGetHandleByIndex(number))
            except (self._nvml.NVMLError, OSError, UnicodeDecodeError) as error:
                refused[number] = error
        where = self._the_other_one(handles) if len(refused) == 1 else None
        self.problems += tuple(refused_card(n + 1, count, error, where) for n, error in refused.items())
        return handles

    def _the_other_one(self, handles: Sequence[Any]) -> str | None:
        """The one card of the bus that is none of these; None when that is not one."""
        known = {_pci_address(NvmlCard(self._nvml, handle).ask("PciInfo")) for handle in handles}
        others = [card.address for card in pci_cards(self._sys, NVIDIA) if card.address not in known]
        return others[0] if len(others) == 1 else None

    # -- reading -------------------------------------------------------------------------------------------

    @staticmethod
    def is_about(target: TelemetryTarget) -> bool:
        return bool(target.uuid or target.pci_address)

    def sample(self, targets: Sequence[TelemetryTarget]) -> dict[str, DeviceSample]:
        now_s, samples = self._clock(), {}
        for target in targets:
            if not self.is_about(target):
                continue
            left_alone = None if target.pids else self._left_alone(target, now_s)
            sample = left_alone or self._read(target, now_s)
            if sample is not None:
                samples[target.name] = sample
        return samples

    def _left_alone(self, target: TelemetryTarget, now_s: float) -> DeviceSample | None:
        """What is said of a card that is asleep, or that would never fall asleep if it were asked; None: ask it."""
        if is_asleep(self._folder(target)):
            self._resting.pop(target.name, None)
            return DeviceSample(asleep=True)
        until_s, before = self._resting.get(target.name, (now_s, None))
        return before if now_s < until_s else None

    def _folder(self, target: TelemetryTarget) -> Path:
        """The kernel's; one that is not there for a card without an address."""
        return self._sys / "bus" / "pci" / "devices" / (pci_address(target.pci_address) or "none")

    def _read(self, target: TelemetryTarget, now_s: float) -> DeviceSample | None:
        card = self._card(target, now_s) if self._opened is not False else None
        if card is None:
            gone = self._gone.get(target.name)
            return DeviceSample(lost=gone) if gone else None
        sample = card.read(now_s, target.pids)
        self._resting.pop(target.name, None)
        if sample.lost:
            self._forget(card, now_s)
            self._gone[target.name] = sample.lost
            return sample
        self._gone.pop(target.name, None)
        if not target.pids and sample.utilisation_percent == 0 and self._may_sleep(target):
            self._resting[target.name] = (now_s + REST_S, sample)
        return sample

    def _may_sleep(self, target: TelemetryTarget) -> bool:
        return may_sleep(self._folder(target))

    def _card(self, target: TelemetryTarget, now_s: float) -> NvmlCard | None:
        found = self._known(target)
        if found is None and now_s >= self._look_at_s:
            self._look_at_s = now_s + LOOK_AGAIN_S
            if self._gone:
                # After a reset of the driver only a new beginning sees the card again.
                self._quietly(self._nvml.nvmlShutdown)
                self._opened = None
                self._cards.clear()
            for card in self._all_cards(wake=bool(target.pids)):
                for key in (_text(card.ask("UUID")), _pci_address(card.ask("PciInfo"))):
                    if key:
                        self._cards.setdefault(key.lower(), card)
            found = self._known(target)
        return found

    def _known(self, target: TelemetryTarget) -> NvmlCard | None:
        keys = (key.lower() for key in (target.uuid, pci_address(target.pci_address)) if key)
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


def _capability(numbers: Any) -> str | None:
    return "{}.{}".format(*numbers) if isinstance(numbers, list | tuple) and len(numbers) == 2 else None


def _pci_address(info: Any) -> str | None:
    """`0000:01:00.0` as the kernel writes it; NVML has eight digits of domain and upper case."""
    return pci_address(_text(getattr(info, "busId", None)))


def _has_library() -> bool:
    """What pynvml opens as well. Where it is not, 9 ms of imports need not be paid."""
    import ctypes

    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return False
    return True
