"""What the sources for AMD and Intel cards share: finding the cards, asking each, noticing one that is gone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Protocol

from hettui.adapters.gpu.drm_clients import DrmClients, Held
from hettui.adapters.gpu.pci_cards import REST_S, may_sleep, unused
from hettui.adapters.machine.sysfs import DrmCard, children, drm_cards, is_asleep, read_bytes
from hettui.domain.devices.device import Hardware
from hettui.domain.records import dataclass
from hettui.domain.telemetry.readings import DeviceSample
from hettui.ports import TelemetryTarget

_SLOW_ROUNDS = 10
"""What hardly changes (limits, thresholds, whose processes use cards) is read every tenth round."""

_GONE = "it is gone from the PCI bus: it fell off, or was taken out"
_UNBOUND = "its driver let go of it: unloaded, or given to a virtual machine"
_SILENT = "its driver does not answer any more: a reset, or it hangs; see dmesg"

SYS, PROC = Path("/sys"), Path("/proc")


class CardReader(Protocol):
    """Reads one card. Never raises; what is not there is None."""

    regions: frozenset[str]
    """Kinds of memory that count as the card's, in the words of its driver's fdinfo."""

    def refresh(self) -> None:
        """Reads again what hardly changes. Not for a card that is asleep."""

    def sample(self, asleep: bool) -> DeviceSample:
        """`asleep`: read nothing that would wake the card up."""

    def hardware(self, asleep: bool) -> Hardware:
        """The card as discovery lists it, without a name in the engine."""


@dataclass(slots=True)
class _Watched:
    card: DrmCard
    reader: CardReader
    answered: bool = False
    """Its sensors have said something: from then on silence means that something happened."""
    stale: bool = True
    """What hardly changes has to be read before the next sample."""
    silent: bool = False
    rest_until_s: float = -1e9
    """Until then it is not asked: it does nothing, and would fall asleep."""
    last: DeviceSample | None = None


class DrmSource:
    """Implements TelemetrySource and list_cards for the cards of some kernel drivers."""

    drivers: ClassVar[frozenset[str]]
    vendor: ClassVar[int | None] = None
    """Whose cards are named when another driver has them; None: nobody misses those."""

    def __init__(
        self,
        sys_root: Path = SYS,
        proc_root: Path = PROC,
        clock: Callable[[], float] = time.monotonic,
        dev_root: Path = Path("/dev"),
    ) -> None:
        self._dev = dev_root
        self._sys = sys_root
        self._proc = proc_root
        self._clock = clock
        self._cards: dict[str, _Watched] | None = None
        """By PCI address; None: not looked for yet."""
        self._clients = DrmClients(proc_root)
        self._round = 0
        self.problems: tuple[str, ...] = ()
        """What the driver refuses, in sentences, as of the last `list_cards`."""

    @classmethod
    def present(cls, sys_root: Path = SYS) -> bool:
        """Whether there is a card for this source at all."""
        return bool(drm_cards(sys_root, cls.drivers))

    def reader(self, card: DrmCard) -> CardReader:
        raise NotImplementedError

    def list_cards(self) -> tuple[Hardware, ...]:
        """All its cards in PCI order; none without a driver."""
        self.problems = unused(self._sys, self.vendor) if self.vendor is not None else ()
        listed = []
        for card in drm_cards(self._sys, self.drivers):
            found = self.reader(card).hardware(is_asleep(card.device))
            listed.append(replace(found, trouble=self._not_allowed(card)))
        return tuple(listed)

    def _not_allowed(self, card: DrmCard) -> str | None:
        """Why programs of this user cannot use a card that is well: its node is not theirs."""
        nodes = [self._dev / "dri" / n.name for n in children(card.device / "drm") if n.name.startswith("render")]
        nodes += [self._dev / "kfd"] if card.driver == "amdgpu" else []
        shut = [str(node) for node in nodes if node.exists() and not os.access(node, os.R_OK | os.W_OK)]
        if not shut:
            return None
        return f"this user may not open {' and '.join(shut)}: add the user to the groups render and video, log in anew"

    def sample(self, targets: Sequence[TelemetryTarget]) -> dict[str, DeviceSample]:
        wanted = [(t, t.pci_address.lower()) for t in targets if t.pci_address and t.backend != "cpu"]
        if not wanted:
            return {}
        if self._cards is None:
            self._cards = self._found()
        mine = [(target, address) for target, address in wanted if address in self._cards]
        if not mine:
            return {}
        slow = self._round % _SLOW_ROUNDS == 0
        self._round += 1
        held = self._clients.read((pid for target, _ in mine for pid in target.pids), look_around=slow)
        samples = {}
        for target, address in mine:
            sample = None if target.pids else self._resting(address)
            sample = sample or self._sample(address, slow, ours=bool(target.pids))
            if sample is not None:
                samples[target.name] = self._with_holders(sample, held, target.pids, address)
        return samples

    def close(self) -> None:
        self._cards = None

    def _found(self) -> dict[str, _Watched]:
        cards = drm_cards(self._sys, self.drivers)
        found = {card.pci_address: _Watched(card, self.reader(card)) for card in cards}
        self._clients.regions |= {address: watched.reader.regions for address, watched in found.items()}
        return found

    def _resting(self, address: str) -> DeviceSample | None:
        """What a card that would never fall asleep if it were asked said last; None: ask it."""
        assert self._cards is not None  # noqa: S101 - sample() has looked for them
        watched = self._cards[address]
        left_alone = self._clock() < watched.rest_until_s and not is_asleep(watched.card.device)
        return watched.last if left_alone and _is_there(watched.card) else None

    def _sample(self, address: str, slow: bool, *, ours: bool) -> DeviceSample | None:
        """None for a card that has never answered: its absence is no news."""
        assert self._cards is not None  # noqa: S101 - sample() has looked for them
        watched = self._cards[address]
        if not _is_there(watched.card) or (watched.silent and slow):
            # Back after a reset of the bus, or its driver loaded anew: other folders, the same address.
            again = self._found().get(address)
            if again is None:
                return DeviceSample(lost=_UNBOUND if _is_there(watched.card) else _GONE) if watched.answered else None
            again.answered = watched.answered
            watched = self._cards[address] = again
        asleep = is_asleep(watched.card.device)
        if asleep:
            watched.stale = True
        elif slow or watched.stale:
            watched.reader.refresh()
            watched.stale = False
        sample = watched.reader.sample(asleep)
        watched.silent = not asleep and not _says_something(sample)
        watched.answered = watched.answered or _says_something(sample)
        if watched.silent and watched.answered:
            watched.stale = True
            return DeviceSample(lost=_SILENT)
        if not ours and sample.utilisation_percent == 0 and may_sleep(watched.card.device):
            watched.rest_until_s, watched.last = self._clock() + REST_S, sample
        return sample

    def _with_holders(self, sample: DeviceSample, held: Held, own_pids: tuple[int, ...], address: str) -> DeviceSample:
        of_card = held.get(address)
        if sample.lost is not None or of_card is None:
            return sample
        return replace(sample, own_bytes=_sum_of(of_card, own_pids), holders=self._clients.holders(of_card))


def _sum_of(held: Mapping[int, int], pids: tuple[int, ...]) -> int | None:
    sizes = [held[pid] for pid in set(pids) if pid in held]
    return sum(sizes) if sizes else None


def _is_there(card: DrmCard) -> bool:
    return read_bytes(f"{card.device}/vendor", 16) is not None


def _says_something(sample: DeviceSample) -> bool:
    """By the readings that only the chip itself can give."""
    live = (sample.utilisation_percent, sample.temperature_c, sample.power_w, sample.clock_mhz, sample.energy_j)
    return any(reading is not None for reading in live)
