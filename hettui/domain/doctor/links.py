"""PCIe: the link of each card now and at most, what hangs behind the chipset, the window into its memory."""

from __future__ import annotations

from collections.abc import Iterator

from hettui.domain.doctor.facts import CardFacts, Facts
from hettui.domain.doctor.finding import Finding, unchecked
from hettui.domain.telemetry.readings import Link
from hettui.domain.units import MIB, format_bytes

_NARROW = 4
"""Lanes at most of which loading a model is worth a word."""
_OLD_WINDOW_BYTES = 256 * MIB
_BUSY_PERCENT = 20


def widths(facts: Facts) -> Iterator[Finding]:
    """Width and generation of each link against what the card and the slot can."""
    id, fine = "link.width", []
    for card in facts.graphics:
        bus = facts.bus_card(card)
        now = (card.sample.link_now if card.sample else None) or (bus.link_now if bus else None)
        most = (card.sample.link_max if card.sample else None) or (bus.link_most if bus else None)
        if now is None or most is None:
            continue
        own = bus.link_card if bus else None
        told = (f"now {now}, card and slot together {most}" + (f", the card {own}" if own and own != most else ""),)
        if now.width < most.width:
            yield Finding(
                id,
                "warning",
                f"{card.name} runs on {now.width} of the {most.width} lanes that it and its slot have",
                told,
                "seat it anew, clean its contacts, and see whether another card or an M.2 drive shares its lanes",
                subject=card.hardware.id,
            )
        elif now.generation < most.generation and _is_busy(card):
            yield Finding(
                id,
                "warning",
                f"{card.name} works over {now} though {most} is possible, under load",
                told,
                "see the slot's speed in the firmware's settings; a riser may not carry it",
                subject=card.hardware.id,
            )
        elif most.width <= _NARROW:
            yield Finding(
                id,
                "note",
                f"{card.name} has {most.width} lane{'s' if most.width > 1 else ''} at most: "
                f"loading takes {_seconds(card, most)}, decoding does not feel it",
                told,
                subject=card.hardware.id,
            )
        else:
            fine.append(f"{card.name} {most}" + (f" (idle: {now})" if now != most else ""))
    if fine:
        yield Finding(id, "good", f"links have all their lanes: {', '.join(fine)}")
    elif not any(card.sample and card.sample.link_max for card in facts.graphics):
        yield unchecked(id, "no card tells of its link here")


def _is_busy(card: CardFacts) -> bool:
    """An idle card lowers its link by itself."""
    return card.sample is not None and (card.sample.utilisation_percent or 0) >= _BUSY_PERCENT


def _seconds(card: CardFacts, link: Link) -> str:
    speed, size = link.bytes_per_s, card.hardware.total_bytes
    return "longer" if not speed or not size else f"{size / speed:.0f} s or more for all of its memory"


def slots(facts: Facts) -> Iterator[Finding]:
    """Slots that cannot do what the card can, and slots behind the chipset."""
    id, found, looked = "link.slot", False, False
    less: list[str] = []
    for card in facts.graphics:
        bus = facts.bus_card(card)
        if bus is None:
            continue
        looked = True
        own, most = bus.link_card, bus.link_most
        if bus.chipset:
            found = True
            yield Finding(
                id,
                "note",
                f"{card.name} looks to hang behind the chipset, and shares its way to the CPU with drives and network",
                (f"bridge {bus.chipset}",),
                "another slot gives it lanes of its own; decoding hardly feels it",
                subject=card.hardware.id,
            )
        if own and most and (own.generation > most.generation or own.width > most.width):
            less.append(f"{card.name} {most} of {own}")
    if less:
        found = True
        words = (
            f"slots give less than the cards can: {', '.join(less)}; loading takes longer, decoding does not feel it"
        )
        yield Finding(id, "note", words)
    if not looked:
        yield unchecked(id, "the bus cannot be looked at, or shows no card")
    elif not found:
        yield Finding(id, "good", "every slot gives its card what it can do, without the chipset between")


def window(facts: Facts) -> Iterator[Finding]:
    """Resizable BAR: the machine sees all of a card's memory at once."""
    id = "link.rebar"
    small: list[tuple[str, int]] = []
    large: list[tuple[str, int]] = []
    for card in facts.graphics:
        bus, total = facts.bus_card(card), card.hardware.total_bytes
        if bus is None or bus.largest_bar_bytes is None or not total:
            continue
        (large if bus.largest_bar_bytes >= total // 2 else small).append((card.name, bus.largest_bar_bytes))
    if small:
        names = ", ".join(f"{name} ({format_bytes(size)})" for name, size in small)
        yield Finding(
            id,
            "note",
            f"resizable BAR is off for {names}: decoding does not go through that window",
            (),
            "turn on Above 4G Decoding and Resizable BAR in the firmware's settings",
        )
    elif large:
        yield Finding(id, "good", "resizable BAR is on: all of the cards' memory is seen at once")
    else:
        yield unchecked(id, "no window into a card's memory is told here")


def translation(facts: Facts) -> Iterator[Finding]:
    """The IOMMU between several cards."""
    id, groups = "link.iommu", facts.kernel.iommu_groups
    attached = [card for card in facts.graphics if card.hardware.backend in ("cuda", "rocm")]
    if len(attached) < 2:
        yield Finding(id, "good", "fewer than two cards: none reaches for another's memory")
    elif groups is None:
        yield unchecked(id, "/sys/kernel/iommu_groups cannot be read")
    elif groups:
        yield Finding(
            id,
            "note",
            f"an IOMMU is on ({groups} groups): cards may reach one another's memory only by way "
            "of the CPU, and with some boards not rightly",
            ("/sys/kernel/iommu_groups",),
            "if answers are garbage over two cards only, boot with iommu=pt, or build with -DGGML_CUDA_NO_PEER_COPY=ON",
        )
    else:
        yield Finding(id, "good", "no IOMMU stands between the cards")
