"""Which entry of llama.cpp's device list is which card.

The list has names, descriptions and sizes, no addresses. What can be known: whose card the description speaks of, its
size, its name, and that CUDA and ROCm list like cards in PCI order. What that does not decide stays undecided: a
wrong pair would plan for one card and load the other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from hettui.adapters.gpu.pci_names import is_nameless
from hettui.adapters.llama.binaries import EngineDevice
from hettui.domain.devices.device import Hardware

_MAKERS_OWN = frozenset({"cuda", "rocm", "sycl"})
"""The makers' own backends. A card that has no engine's name yet is marked with its maker's."""
_ORDERED = frozenset({"cuda", "rocm"})
_MAKERS = (
    ("none", re.compile(r"llvmpipe|lavapipe|swiftshader|pocl", re.IGNORECASE)),
    ("cuda", re.compile(r"nvidia|geforce|quadro|tesla", re.IGNORECASE)),
    ("rocm", re.compile(r"\bamd\b|radeon|\bradv\b|\bgfx\d", re.IGNORECASE)),
    ("sycl", re.compile(r"\bintel\b|\barc\b", re.IGNORECASE)),
)
_SIZE_TOLERANCE = 0.06
"""Drivers keep a little to themselves, each another little."""
_NOISE = re.compile(r"\((?:r|tm|c)\)|®|™|\b(?:nvidia|amd|intel|corporation)\b|[^a-z0-9]+")


def backend_of(engine_name: str) -> str:
    """`vulkan` for `Vulkan1`."""
    return engine_name.rstrip("0123456789").lower()


def match(
    cards: Sequence[Hardware], listed: Sequence[EngineDevice]
) -> tuple[tuple[Hardware, ...], tuple[EngineDevice, ...]]:
    """The cards with the engine's names where these are certain, and the entries that are none of the cards.

    A card that two backends reach gets its maker's; the other entry is left out, because it is the same memory.
    """
    known = list(cards)
    rest = list(listed)
    for backend in sorted({backend_of(d.name) for d in listed}, key=lambda b: (b not in _MAKERS_OWN, b)):
        of_backend = [d for d in rest if backend_of(d.name) == backend]
        for card_numbers, devices in _groups(cards, of_backend, backend):
            if len(card_numbers) != len(devices):
                continue
            if all(known[i].engine_name for i in card_numbers):
                rest = [d for d in rest if d not in devices]
            elif (len(devices) == 1 or backend in _ORDERED) and not any(known[i].engine_name for i in card_numbers):
                rest = [d for d in rest if d not in devices]
                for i, device in zip(card_numbers, devices, strict=True):
                    known[i] = _named(known[i], device)
    return tuple(known), tuple(rest)


def _named(card: Hardware, device: EngineDevice) -> Hardware:
    return replace(
        card,
        name=device.description if is_nameless(card.name) and device.description else card.name,
        backend=backend_of(device.name),
        engine_name=device.name,
        total_bytes=device.total_bytes or None if card.total_bytes is None else card.total_bytes,
        free_bytes=device.free_bytes or None if card.free_bytes is None else card.free_bytes,
    )


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
        groups.append((left, like))
        if len(left) == len(like):
            taken.update(left)
    return groups


def _candidates(cards: Sequence[Hardware], device: EngineDevice, backend: str) -> tuple[int, ...]:
    """The places of the cards that the device may be: by name if any has it, else by size, else by maker."""
    maker = backend if backend in _ORDERED else _maker(device.description)
    fitting = [i for i, card in enumerate(cards) if card.backend == maker and _may_be_size(card, device)]
    names = {i: len(_plain(cards[i].name)) for i in fitting if _same_name(cards[i], device)}
    if names or maker == "cuda":
        # NVML's names are those of NVIDIA's other drivers: another name is another card. The longest one counts,
        # because an RTX 4060 Ti is no RTX 4060.
        return tuple(i for i, length in names.items() if length == max(names.values()))
    return tuple([i for i in fitting if cards[i].total_bytes] or fitting)


def _maker(description: str) -> str:
    return next((maker for maker, words in _MAKERS if words.search(description)), "none")


def _may_be_size(card: Hardware, device: EngineDevice) -> bool:
    if not card.total_bytes or not device.total_bytes:
        return True
    return abs(card.total_bytes - device.total_bytes) <= _SIZE_TOLERANCE * card.total_bytes


def _same_name(card: Hardware, device: EngineDevice) -> bool:
    own = _plain(card.name)
    return bool(own) and not is_nameless(card.name) and f" {own} " in f" {_plain(device.description)} "


def _plain(name: str) -> str:
    """`radeon rx 7900 xtx`: what drivers write in their own ways left out."""
    return " ".join(_NOISE.sub(" ", name.lower()).split())
