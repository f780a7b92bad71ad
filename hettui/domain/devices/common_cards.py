"""Cards that many people have, for plans with one that is not owned yet: memory, and what it moves in a second.

Width of the bus times the data rate of the memory, as the makers give them; written down from memory in 2026-11 and not
looked up one by one.
"""

from __future__ import annotations

import re

from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass
from hettui.domain.text import nearest
from hettui.domain.units import GIB, MIB

_KEPT_BY_DRIVER_PART = 0.04
_MARGIN_BYTES = 512 * MIB
"""As of a configured device."""
_MAKERS = late_pattern(r"\b(nvidia|geforce|amd|radeon|intel)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CommonCard:
    """One card."""

    name: str
    gib: int
    bus_bits: int
    gigabits_per_s: float
    """Of each line of the bus."""

    @property
    def bandwidth_bytes_per_s(self) -> float:
        return self.bus_bits * self.gigabits_per_s * 1e9 / 8

    @property
    def budget_bytes(self) -> int:
        """What is planned on it: its memory less what drivers keep, and the usual margin."""
        return budget_of(self.gib)


def budget_of(gib: float) -> int:
    """Of a card with so much memory."""
    return int(gib * GIB * (1 - _KEPT_BY_DRIVER_PART)) - _MARGIN_BYTES


CARDS: tuple[CommonCard, ...] = (
    CommonCard("GTX 1060", 6, 192, 8), CommonCard("GTX 1070", 8, 256, 8), CommonCard("GTX 1080", 8, 256, 10),
    CommonCard("GTX 1080 Ti", 11, 352, 11), CommonCard("GTX 1660 SUPER", 6, 192, 14),
    CommonCard("GTX 1660 Ti", 6, 192, 12), CommonCard("RTX 2060", 6, 192, 14), CommonCard("RTX 2070", 8, 256, 14),
    CommonCard("RTX 2080", 8, 256, 14), CommonCard("RTX 2080 Ti", 11, 352, 14), CommonCard("RTX 3060", 12, 192, 15),
    CommonCard("RTX 3060 Ti", 8, 256, 14), CommonCard("RTX 3070", 8, 256, 14), CommonCard("RTX 3070 Ti", 8, 256, 19),
    CommonCard("RTX 3080", 10, 320, 19), CommonCard("RTX 3080 Ti", 12, 384, 19),
    CommonCard("RTX 3090", 24, 384, 19.5), CommonCard("RTX 3090 Ti", 24, 384, 21), CommonCard("RTX 4060", 8, 128, 17),
    CommonCard("RTX 4060 Ti 16GB", 16, 128, 18), CommonCard("RTX 4070", 12, 192, 21),
    CommonCard("RTX 4070 Ti SUPER", 16, 256, 21), CommonCard("RTX 4080", 16, 256, 22.4),
    CommonCard("RTX 4080 SUPER", 16, 256, 23), CommonCard("RTX 4090", 24, 384, 21),
    CommonCard("RTX 5060 Ti 16GB", 16, 128, 28), CommonCard("RTX 5070", 12, 192, 28),
    CommonCard("RTX 5070 Ti", 16, 256, 28), CommonCard("RTX 5080", 16, 256, 30), CommonCard("RTX 5090", 32, 512, 28),
    CommonCard("Tesla P40", 24, 384, 7.2), CommonCard("RX 6700 XT", 12, 192, 16),
    CommonCard("RX 6800 XT", 16, 256, 16), CommonCard("RX 7600 XT", 16, 128, 18),
    CommonCard("RX 7800 XT", 16, 256, 19.5), CommonCard("RX 7900 XT", 20, 320, 20),
    CommonCard("RX 7900 XTX", 24, 384, 20), CommonCard("Arc A770", 16, 256, 17.5),
    CommonCard("Arc B570", 10, 160, 19), CommonCard("Arc B580", 12, 192, 19),
)  # fmt: skip


def common_card(name: str) -> CommonCard | None:
    """By its name, however it is written: `rtx-3060`, `NVIDIA GeForce RTX 3060`."""
    wanted = _plain(name)
    return next((card for card in CARDS if _plain(card.name) == wanted), None)


def like(name: str) -> str | None:
    """The card whose name is the most like it."""
    return nearest(name, [card.name for card in CARDS])


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", _MAKERS.sub("", name).lower())
