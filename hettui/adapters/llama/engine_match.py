"""Which entry of llama.cpp's device list is which card.

Some builds tell an address or a UUID; most give names, descriptions and sizes. What can be known then: whose card the
description speaks of, its name, its size, and that CUDA and ROCm list cards in PCI order. Like cards are taken in the
order of the list, or by what is free on each; where the list has fewer of them than there are, nothing is guessed.
A card is bounded by both: what the driver says, and what llama.cpp says of the entry.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import field, replace
from itertools import pairwise

from hettui.adapters.gpu.pci_names import is_nameless
from hettui.adapters.llama.binaries import EngineDevice
from hettui.domain.devices.device import Hardware
from hettui.domain.devices.identity import card_uuid, pci_address
from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass
from hettui.domain.telemetry.bounds import believed_memory
from hettui.domain.units import MIB

_MAKERS_OWN = frozenset({"cuda", "rocm", "sycl"})
"""The makers' own backends. A card that has no engine's name yet is marked with its maker's."""
_ORDERED = frozenset({"cuda", "rocm"})
_SOFTWARE = late_pattern(r"llvmpipe|lavapipe|swiftshader|pocl", re.IGNORECASE)
_MAKERS = (
    ("none", _SOFTWARE),
    ("cuda", late_pattern(r"nvidia|geforce|quadro|tesla", re.IGNORECASE)),
    ("rocm", late_pattern(r"\bamd\b|radeon|\bradv\b|\bgfx\d", re.IGNORECASE)),
    ("sycl", late_pattern(r"\bintel\b|\barc\b", re.IGNORECASE)),
)
_PROCESSORS = late_pattern(
    r"radeon(\(tm\))? (vega \d+ )?graphics|radeon(\(tm\))? \d{3}m\b|\b(u?hd|iris)\b.*graphics", re.IGNORECASE
)
"""How a processor's graphics calls itself where nothing but a name is known."""
_SIZE_TOLERANCE = 0.06
"""Drivers keep a little to themselves, each another little."""
_CLEARLY_BYTES = 128 * MIB
"""So different is what is free on like cards that it tells them apart."""
_NOISE = late_pattern(r"\((?:r|tm|c)\)|®|™|\b(?:nvidia|amd|intel|corporation)\b|[^a-z0-9]+")


def backend_of(engine_name: str) -> str:
    """`vulkan` for `Vulkan1`."""
    return engine_name.rstrip("0123456789").lower()


def match(
    cards: Sequence[Hardware], listed: Sequence[EngineDevice], hidden: Collection[str] = ()
) -> tuple[tuple[Hardware, ...], tuple[EngineDevice, ...]]:
    """The cards with the engine's names where these are certain, and the entries that are none of the cards.

    A card that two backends reach gets its maker's; the other entry is left out, because it is the same memory.
    `hidden`: ids of cards that the user keeps from programs: they get no name.
    """
    pairing = _Pairing(list(cards), frozenset(hidden))
    for backend in sorted({backend_of(d.name) for d in listed}, key=lambda b: (b not in _MAKERS_OWN, b)):
        pairing.add(backend, [d for d in listed if backend_of(d.name) == backend])
    places = {d.name: i for i, d in enumerate(listed)}
    return tuple(pairing.cards), tuple(sorted(pairing.alone, key=lambda d: places[d.name]))


def is_integrated(device: EngineDevice) -> bool:
    """Whether an entry that is none of the cards is a processor's graphics, or a renderer in software."""
    if _maker(device.description) == "cuda":
        return False
    return device.shared_memory or bool(_SOFTWARE.search(device.description) or _PROCESSORS.search(device.description))


@dataclass
class _Pairing:
    """What is known so far."""

    cards: list[Hardware]
    hidden: frozenset[str]
    alone: list[EngineDevice] = field(default_factory=list)
    """Entries that stand for themselves."""

    def __post_init__(self) -> None:
        self._drivers = tuple(self.cards)
        """As the drivers told them."""

    def add(self, backend: str, devices: list[EngineDevice]) -> None:
        """One backend's entries, in the order of the list."""
        left = self._in_order(backend, self._told(devices))
        for numbers, like in _groups(self._drivers, left, backend):
            done = self._pair(numbers, like, backend)
            left = [d for d in left if d not in done]
        # Without a driver's word two backends' entries of one name are the same memory.
        before = [d for d in self.alone if backend_of(d.name) != backend]
        for device in left:
            same = next((d for d in before if _is_same_entry(d, device)), None)
            if same is None:
                self.alone.append(device)
            else:
                before.remove(same)

    def _is_open(self, number: int) -> bool:
        card = self.cards[number]
        return not card.engine_name and card.id not in self.hidden

    def _told(self, devices: list[EngineDevice]) -> list[EngineDevice]:
        """What is left when those that tell address or UUID have found their cards."""
        rest = []
        for device in devices:
            number = next((i for i, card in enumerate(self._drivers) if _is_told(card, device)), None)
            if number is None:
                rest.append(device)
            elif self._is_open(number):
                self._name(number, device)
        return rest

    def _in_order(self, backend: str, devices: list[EngineDevice]) -> list[EngineDevice]:
        """CUDA and ROCm list all cards in PCI order, unless names or sizes say otherwise. What is left is returned."""
        of_maker = [i for i, card in enumerate(self._drivers) if card.backend == backend and self._is_open(i)]
        if backend not in _ORDERED or len(of_maker) != len(devices):
            return devices
        cards = [self._drivers[i] for i in of_maker]
        if any(contradicts(card, device, cards) for card, device in zip(cards, devices, strict=True)):
            return devices
        for number, device in zip(of_maker, devices, strict=True):
            self._name(number, device)
        return []

    def _pair(self, numbers: list[int], like: list[EngineDevice], backend: str) -> list[EngineDevice]:
        """The entries that are accounted for: they name a card, or are the memory of one that has a name already."""
        taken = [i for i in numbers if not self._is_open(i)]
        if len(taken) == len(numbers):
            return like
        if len(like) < len(numbers):
            # Which of the cards they are is not known; beside one that has its name they would count it twice.
            return like if taken else []
        found = _alike(self._drivers, numbers, like, backend)
        for number, device in found:
            if self._is_open(number):
                self._name(number, device)
        return [device for _, device in found]

    def _name(self, number: int, device: EngineDevice) -> None:
        self.cards[number] = named(self.cards[number], device)


def named(card: Hardware, device: EngineDevice) -> Hardware:
    """The card with the entry's name, its memory bounded by both."""
    total_bytes, told = card.total_bytes, [size for size in (card.free_bytes, device.free_bytes) if size is not None]
    if device.total_bytes and (not told or not total_bytes or _is_a_part(device.total_bytes, total_bytes)):
        # The driver has no figure, or that of a whole of which llama.cpp gets a part.
        total_bytes = min(device.total_bytes, total_bytes or device.total_bytes)
    if told and device.total_bytes:
        told.append(device.total_bytes)
    total_bytes, free_bytes = believed_memory(total_bytes, min(told, default=None))
    its_name = device.description and (is_nameless(card.name) or " MIG " in device.description)
    return replace(
        card,
        name=device.description if its_name else card.name,
        backend=backend_of(device.name),
        engine_name=device.name,
        total_bytes=total_bytes,
        free_bytes=free_bytes,
    )


def may_be(card: Hardware, device: EngineDevice) -> bool:
    """Whether the entry's name is the card's."""
    return _name_length(card, device) > 0


def _is_a_part(size_bytes: int, whole_bytes: int) -> bool:
    return size_bytes < (1 - _SIZE_TOLERANCE) * whole_bytes


def _is_told(card: Hardware, device: EngineDevice) -> bool:
    if device.uuid is not None and card.uuid is not None:
        return card_uuid(card.uuid) == device.uuid
    return device.pci_address is not None and pci_address(card.pci_address) == device.pci_address


def _is_same_entry(one: EngineDevice, other: EngineDevice) -> bool:
    name, size, others = _plain(one.description), one.total_bytes, other.total_bytes
    alike = size is None or others is None or abs(size - others) <= _SIZE_TOLERANCE * max(size, others)
    return bool(name) and name == _plain(other.description) and alike


def contradicts(card: Hardware, device: EngineDevice, cards: Sequence[Hardware]) -> bool:
    """Whether the entry cannot be this card, or is rather another one of these."""
    own = _name_length(card, device)
    if not own and not _may_be_size(card, device):
        # CUDA and NVML tell of the same cards: with a name that no card has the order is all that is left.
        return card.backend != "cuda" or any(c.total_bytes and _may_be_size(c, device) for c in cards)
    if any(_name_length(other, device) > own for other in cards):
        return True
    return not own and is_integrated(device) and not card.integrated and any(other.integrated for other in cards)


def _alike(
    cards: Sequence[Hardware], numbers: list[int], like: list[EngineDevice], backend: str
) -> list[tuple[int, EngineDevice]]:
    """Like cards with like entries: by what is free on each where that tells them apart, else in their order."""
    free = [cards[i].free_bytes for i in numbers]
    said = [d.free_bytes for d in like]
    known, listed = [size for size in free if size is not None], [size for size in said if size is not None]
    if backend not in _ORDERED and len(known) == len(listed) == len(numbers) == len(like):
        apart = [b - a for sizes in (sorted(known), sorted(listed)) for a, b in pairwise(sizes)]
        if apart and min(apart) > _CLEARLY_BYTES:
            numbers = sorted(numbers, key=lambda i: cards[i].free_bytes or 0)
            like = sorted(like, key=lambda d: d.free_bytes or 0)
    return list(zip(numbers, like, strict=False))


def _groups(
    cards: Sequence[Hardware], devices: Sequence[EngineDevice], backend: str
) -> list[tuple[list[int], list[EngineDevice]]]:
    """Cards that cannot be told apart, with the devices that may be any of them and nothing else."""
    by_candidates: dict[tuple[int, ...], list[EngineDevice]] = {}
    for device in devices:
        candidates = _candidates(cards, device, backend)
        if candidates:
            by_candidates.setdefault(candidates, []).append(device)
    taken: set[int] = set()
    groups = []
    # The fewest first: what is certain about one device narrows what is left for the next.
    for candidates, like in sorted(by_candidates.items(), key=lambda item: len(item[0])):
        left = [i for i in candidates if i not in taken]
        if left:
            groups.append((left, like))
        if len(left) <= len(like):
            taken.update(left)
    return groups


def _candidates(cards: Sequence[Hardware], device: EngineDevice, backend: str) -> tuple[int, ...]:
    """The places of the cards that the device may be: by name if any has it, else by size, else by maker."""
    maker = backend if backend in _ORDERED else _maker(device.description)
    of_maker = [i for i, card in enumerate(cards) if card.backend == maker]
    names = {i: length for i in of_maker if (length := _name_length(cards[i], device))}
    if names:
        # The longest one counts, because an RTX 4060 Ti is no RTX 4060; of like names the one of that size.
        best = [i for i, length in names.items() if length == max(names.values())]
        return tuple([i for i in best if _may_be_size(cards[i], device)] or best)
    fitting = [i for i in of_maker if _may_be_size(cards[i], device)]
    if maker == "cuda":
        # NVML's names are those of NVIDIA's other drivers: another name is another card.
        return tuple(i for i in fitting if is_nameless(cards[i].name))
    if is_integrated(device) and any(cards[i].integrated for i in fitting):
        return tuple(i for i in fitting if cards[i].integrated)
    return tuple([i for i in fitting if cards[i].total_bytes] or fitting)


def _maker(description: str) -> str:
    return next((maker for maker, words in _MAKERS if words.search(description)), "none")


def _may_be_size(card: Hardware, device: EngineDevice) -> bool:
    if not card.total_bytes or not device.total_bytes:
        return True
    return abs(card.total_bytes - device.total_bytes) <= _SIZE_TOLERANCE * card.total_bytes


def _name_length(card: Hardware, device: EngineDevice) -> int:
    """How long the card's name is that the description holds; 0 when it does not."""
    own = _plain(card.name)
    found = own and not is_nameless(card.name) and f" {own} " in f" {_plain(device.description)} "
    return len(own) if found else 0


def _plain(name: str) -> str:
    """`radeon rx 7900 xtx`: what drivers write in their own ways left out."""
    return " ".join(_NOISE.sub(" ", name.lower()).split())
