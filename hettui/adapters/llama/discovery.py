"""Everything on this machine that can hold layers, each once, and what stands in the way of the rest."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from hettui.adapters.llama.binaries import EngineDevice, Listing, list_devices
from hettui.adapters.llama.engine_match import backend_of, contradicts, is_integrated, match, may_be, named
from hettui.adapters.machine.psutil_host import cpu_hardware
from hettui.domain.devices.device import Hardware
from hettui.domain.devices.found import UNLISTED, Found, hidden_by, visible_cards
from hettui.domain.devices.identity import card_uuid, one_form
from hettui.domain.errors import EngineError
from hettui.domain.llama.build import EngineInfo

_CUDA_ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""CUDA's numbers then follow the PCI addresses, as NVML's do."""


class CardLister(Protocol):
    """A telemetry source that knows its cards."""

    problems: tuple[str, ...]
    """What its driver refuses, in sentences, as of the last `list_cards`."""

    def list_cards(self) -> tuple[Hardware, ...]:
        """In PCI order; none where its driver is missing."""


def discover(
    engine: EngineInfo | None,
    nvml: CardLister,
    others: Sequence[CardLister] = (),
    environ: Mapping[str, str] | None = None,
    listed: Listing | EngineError | None = None,
) -> Found:
    """NVIDIA cards in PCI order, those of the other listers, what else the engine lists, the CPU last.

    Never raises for what is missing. A card that the engine's list cannot be matched with has no engine name, and
    says why; the entry of the list then stands for itself. `listed`: what the engine was asked before.
    """
    environ = os.environ if environ is None else environ
    # The engine first: it wakes cards that sleep, so that asking their driver does not.
    listing, refused = _listing(engine, environ, listed)
    cards, problems = list(nvml.list_cards()), [*refused, *nvml.problems]
    for lister in others:
        cards += lister.list_cards()
        problems += lister.problems
    cards, hidden = _each_once(cards), list[str]()
    for backend in ("cuda", "rocm"):
        cards, kept_back = _by_environment(cards, backend, listing, environ)
        hidden += kept_back
    named_ones = [card.engine_name for card in cards if card.engine_name]
    matched, rest = match(cards, [d for d in listing.devices if d.name not in named_ones], hidden)
    if engine is not None and not refused:
        matched = tuple(_with_reason(card, listing, environ, hidden, rest) for card in matched)
        makers = {card.backend for card in cards} | ({"cuda"} if nvml.problems else set())
        problems += [words for backend, words in listing.complaints.items() if _is_news(backend, words, makers)]
    return Found((*matched, *(_hardware(device) for device in rest), cpu_hardware()), tuple(problems))


def listing_environment(environ: Mapping[str, str]) -> Mapping[str, str]:
    """With what the engine is asked for its list."""
    # Numbers in the user's own variable mean CUDA's order as it is for the user.
    return {} if "CUDA_VISIBLE_DEVICES" in environ else _CUDA_ORDER


def _listing(
    engine: EngineInfo | None, environ: Mapping[str, str], listed: Listing | EngineError | None
) -> tuple[Listing, list[str]]:
    if engine is None:
        return Listing(), []
    try:
        listed = listed or list_devices(engine, listing_environment(environ))
    except EngineError as error:
        listed = error
    return (Listing(), [str(listed)]) if isinstance(listed, EngineError) else (listed, [])


def _each_once(cards: list[Hardware]) -> list[Hardware]:
    """No two with one id, whatever their drivers say."""
    seen: set[str] = set()
    found = []
    for card in cards:
        own, number = card.id, 1
        while (one_form(own) or own) in seen:
            number += 1
            own = f"{card.id}#{number}"
        seen.add(one_form(own) or own)
        found.append(replace(card, id=own))
    return found


def _by_environment(
    cards: list[Hardware], backend: str, listing: Listing, environ: Mapping[str, str]
) -> tuple[list[Hardware], list[str]]:
    """The cards with the backend's names where the environment says which are seen, and the ids of the others."""
    own = [card for card in cards if card.backend == backend]
    seen = visible_cards(own, backend, environ)
    listed = [device for device in listing.devices if backend_of(device.name) == backend]
    if seen is None or len(seen) != len(listed):
        return cards, []
    pairs = list(zip(seen, listed, strict=True))
    if any(contradicts(card, device, own) for card, device in pairs):
        return cards, []
    names = {card.id: device for card, device in pairs}
    hidden = [card.id for card in own if card.id not in names]
    return [named(card, names[card.id]) if card.id in names else card for card in cards], hidden


def _with_reason(
    card: Hardware,
    listing: Listing,
    environ: Mapping[str, str],
    hidden: Sequence[str],
    rest: Sequence[EngineDevice],
) -> Hardware:
    """Why llama.cpp does not list it, where it does not; the UUID that the environment gives it, where it does."""
    if card.engine_name:
        words = environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        number = card.engine_name.removeprefix("CUDA")
        if card.uuid is None and number.isdecimal() and int(number) < len(words):
            return replace(card, uuid=card_uuid(words[int(number)]))
        return card
    why = hidden_by(card.backend, environ)
    like = [device.name for device in rest if may_be(card, device)]
    if like:
        why = f"it may be {' or '.join(like)}, which llama.cpp lists without saying which card that is"
    elif card.id not in hidden:
        why = listing.complaints.get(card.backend) or why
    return replace(card, trouble=card.trouble or why or UNLISTED)


def _is_news(backend: str, words: str, makers: set[str]) -> bool:
    """A backend that does not start is worth a sentence of its own where no card and no driver has told of it; where
    there is nothing to drive it is as it should be."""
    return backend not in makers and "capable device" not in words


def _hardware(device: EngineDevice) -> Hardware:
    return Hardware(
        id=device.name,
        name=device.description or device.name,
        backend=backend_of(device.name),
        total_bytes=device.total_bytes,
        free_bytes=device.free_bytes,
        engine_name=device.name,
        pci_address=device.pci_address,
        integrated=is_integrated(device),
    )
