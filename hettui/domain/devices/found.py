"""What was found on this machine: cards, and what stands in their way."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from hettui.domain.devices.device import Hardware
from hettui.domain.devices.identity import card_uuid
from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass
from hettui.domain.text import clean_line

UNLISTED = (
    "this llama.cpp build has no backend for it, or lists it so that it may be another card; hettui devices shows "
    "both, and an entry of the list can be named as id"
)
_HIDING = {
    "cuda": ("CUDA_VISIBLE_DEVICES", "GGML_VK_VISIBLE_DEVICES"),
    "rocm": (
        "HIP_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES",
        "GPU_DEVICE_ORDINAL",
        "CUDA_VISIBLE_DEVICES",
        "GGML_VK_VISIBLE_DEVICES",
    ),
    "sycl": ("ONEAPI_DEVICE_SELECTOR", "ZE_AFFINITY_MASK", "GGML_VK_VISIBLE_DEVICES"),
}
"""By the maker's backend: variables that keep cards from a program, the nearest first."""

_FAILED = late_pattern(r"^ggml_\w+: failed to initialize (\w+): (.+)$", re.MULTILINE)
_REMEDIES = (
    ("driver combination", "driver and library are of different versions, as after an update: reboot"),
    ("insufficient for", "update the driver, or use a llama.cpp build for an older one"),
    ("capable device", "see whether the driver is loaded and this user or container may use the card"),
    ("", "dmesg says more; if the driver was updated or a card was lost, reboot"),
)


@dataclass(frozen=True)
class Found:
    """Cards and CPU, and a sentence for everything that a driver or llama.cpp refused."""

    hardware: tuple[Hardware, ...]
    problems: tuple[str, ...] = ()


def complaints(said: str) -> dict[str, str]:
    """Backends that llama.cpp could not start, in lower case, each with its reason and the remedy."""
    found = {}
    for backend, reason in _FAILED.findall(said):
        reason = clean_line(reason, 160).rstrip(". ")
        remedy = next(words for part, words in _REMEDIES if part in reason)
        found[backend.lower()] = f"llama.cpp cannot use {clean_line(backend, 20)}: {reason}; {remedy}"
    return found


def hidden_by(backend: str, environ: Mapping[str, str]) -> str | None:
    """Why a card of this maker is not listed, when the environment says which are."""
    name = next((name for name in _HIDING.get(backend, ()) if name in environ), None)
    if name is None:
        return None
    return f"hidden by {name}={clean_line(environ[name], 60)} in the environment: unset it, or name this card there too"


def visible_cards(cards: Sequence[Hardware], backend: str, environ: Mapping[str, str]) -> list[Hardware] | None:
    """A maker's cards, which are in PCI order, as its backend will number them; None where no variable says which.

    Numbers are taken to count in PCI order. CUDA without `CUDA_DEVICE_ORDER=PCI_BUS_ID` begins with the fastest: who
    asks compares with what is listed. As in CUDA the first word that names nothing ends the list.
    """
    name = next((name for name in _HIDING[backend] if name in environ and not name.startswith("GGML")), None)
    if name is None:
        return None
    seen: list[Hardware] = []
    for word in environ[name].split(","):
        word = word.strip()
        if word.isdecimal():
            card = cards[int(word)] if int(word) < len(cards) else None
        else:
            uuid = (card_uuid(word) or "").lower()
            like = [c for c in cards if uuid and (c.uuid or "").lower().startswith(uuid)]
            card = like[0] if len(like) == 1 else None
        if card is None or card in seen:
            break
        seen.append(card)
    return seen
