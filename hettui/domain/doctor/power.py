"""Power and heat: whether the supply carries all limits at once, what a cap would bring, which card is too hot."""

from __future__ import annotations

from collections.abc import Iterator

from hettui.domain.doctor.facts import CardFacts, Facts
from hettui.domain.doctor.finding import Finding, unchecked
from hettui.domain.telemetry.readings import DeviceSample, Throttle

MARGIN = 1.3
"""So many times the sum of all limits a supply should carry."""
_REST_W = 75.0
"""Board, memory, drives and fans, beside the CPU: a usual figure."""
_CPU_W = 150.0
"""Of a CPU that does not tell: a usual figure."""
_TRANSIENT = 1.8
"""For thousandths of a second cards draw nearly twice their limit; supplies of today are built for that (ATX 3)."""
_CAPPED_PART = 0.7
_FULL_FAN_PERCENT = 97.0
_NEAR_C = 5.0


def supply(facts: Facts) -> Iterator[Finding]:
    """The sum of all limits against `[machine] psu`."""
    id, limits = "power.supply", [(card, _limit_w(card)) for card in facts.graphics]
    known = [(card, watts) for card, watts in limits if watts is not None]
    if not known:
        yield unchecked(id, "no card tells its power limit")
        return
    rest, rest_words = _rest(facts)
    total = sum(watts for _, watts in known) + rest
    told = [f"{card.name} {watts:.0f} W" for card, watts in known]
    told += [f"the rest {rest:.0f} W ({rest_words})"]
    told += [f"{card.name} does not tell its limit" for card, watts in limits if watts is None]
    needs, psu, evidence = total * MARGIN, facts.config.psu_w, tuple(told)
    spare = f"with 30 % to spare that is {needs:.0f} W"
    if psu is None:
        words = f"all limits together are {total:.0f} W: a supply of {needs:.0f} W carries them with 30 % to spare"
        yield Finding(id, "note", words, evidence, 'say what the supply has: [machine] psu = "1200W"')
        return
    caps = _caps(known, psu / MARGIN - rest)
    if total > psu:
        words = (
            f"all limits together are {total:.0f} W, more than the supply's {psu:.0f} W: it may switch off under load"
        )
        yield Finding(id, "fault", words, evidence, "cap the cards", caps)
    elif needs > psu:
        words = f"all limits together are {total:.0f} W; {spare}, and the supply has {psu:.0f} W"
        yield Finding(id, "warning", words, evidence, "cap the cards, or take a larger supply", caps)
    else:
        words = f"the supply's {psu:.0f} W carry all limits together, {total:.0f} W; {spare}"
        yield Finding(id, "good", words, evidence)
    peak = total + (_TRANSIENT - 1) * max(watts for _, watts in known)
    if peak > psu:
        yield Finding(
            id,
            "note",
            f"for milliseconds a card may draw {_TRANSIENT:g} times its limit: up to {peak:.0f} W in all, "
            f"above {psu:.0f} W",
            remedy="a supply by ATX 3 is built for that; an older one may switch off",
        )


def _rest(facts: Facts) -> tuple[float, str]:
    """What the machine draws beside its cards, and where that figure is from."""
    if facts.config.rest_w is not None:
        return facts.config.rest_w, "as configured"
    if facts.cpu_limit_w:
        return facts.cpu_limit_w + _REST_W, f"CPU {facts.cpu_limit_w:.0f} W and {_REST_W:.0f} W for the board"
    return _CPU_W + _REST_W, f"assumed: {_CPU_W:.0f} W for the CPU, {_REST_W:.0f} W for the board"


def _limit_w(card: CardFacts) -> float | None:
    return (card.sample.power_limit_w if card.sample else None) or card.power_default_w


def _caps(known: list[tuple[CardFacts, float]], room_w: float) -> str:
    """NVIDIA's cards at the same part of their limit, so that all of it fits; not below what a card takes."""
    total = sum(watts for _, watts in known)
    part = min(1.0, max(0.4, room_w / total)) if total else 1.0
    said = []
    for card, watts in known:
        if card.hardware.backend == "cuda" and card.hardware.pci_address:
            least = card.power_least_w or 0.0
            said.append(f"sudo nvidia-smi -i {card.hardware.pci_address} -pl {max(least, watts * part):.0f}")
    return " && ".join(said)


def caps(facts: Facts) -> Iterator[Finding]:
    """What a lower limit would cost: decoding waits for memory, not for the compute units."""
    id = "power.caps"
    full = [
        (card, watts)
        for card in facts.graphics
        if (watts := _limit_w(card)) is not None
        and card.power_default_w
        and watts > _CAPPED_PART * card.power_default_w
        and card.hardware.backend == "cuda"
    ]
    if full:
        saved = sum(watts - _CAPPED_PART * (card.power_default_w or watts) for card, watts in full)
        words = [
            f"sudo nvidia-smi -i {card.hardware.pci_address} -pl "
            f"{max(card.power_least_w or 0, _CAPPED_PART * (card.power_default_w or 0)):.0f}"
            for card, _ in full
        ]
        yield Finding(
            id,
            "note",
            f"at 70 % of their usual limit the cards would draw {saved:.0f} W less: decoding waits "
            "for memory and hardly feels it, prompts do",
            ("not measured on these cards: hettui bench does",),
            "try it",
            " && ".join(words),
        )
    elif any(card.power_default_w for card in facts.graphics):
        yield Finding(id, "good", "the cards are capped already")
    else:
        yield unchecked(id, "no card tells its usual limit")


def heat(facts: Facts) -> Iterator[Finding]:
    """Cards that lower their clocks for heat or power, or are near to it."""
    id, cool = "power.heat", []
    for card in facts.graphics:
        sample = card.sample
        if sample is None or sample.asleep:
            continue
        trouble = _too_hot(card.name, sample)
        if trouble is not None:
            words, remedy = trouble
            yield Finding(id, "warning", words, _warmth(sample), remedy, subject=card.hardware.id)
        elif sample.temperature_c is not None:
            cool.append(f"{card.name} {sample.temperature_c:.0f} °C")
    if cool:
        yield Finding(id, "good", f"no heat: {', '.join(cool)}")
    elif not any(card.sample and card.sample.temperature_c is not None for card in facts.graphics):
        yield unchecked(id, "no card tells its temperature now")


def _too_hot(name: str, sample: DeviceSample) -> tuple[str, str] | None:
    """What is the matter, and what to do."""
    hot = [t for t in sample.throttles or () if t not in (Throttle.POWER_LIMIT, Throttle.SYNC)]
    now, slow = sample.temperature_c, sample.slowdown_c
    if hot:
        return f"{name}: {hot[0].value}", "clean its fans, give it air, or lower its power limit"
    if now is not None and slow is not None and now >= slow - _NEAR_C:
        words = f"{name} is {now:.0f} °C, near {slow:.0f} °C where it slows down"
        return words, "give it air: the card beside it may blow into it"
    if (sample.fan_percent or 0) >= _FULL_FAN_PERCENT:
        return f"{name}'s fan turns as fast as it can", "clean it, or give it air"
    return None


def _warmth(sample: DeviceSample) -> tuple[str, ...]:
    found = []
    if sample.temperature_c is not None:
        found.append(f"{sample.temperature_c:.0f} °C")
    if sample.slowdown_c is not None:
        found.append(f"slows down at {sample.slowdown_c:.0f} °C")
    if sample.fan_percent is not None:
        found.append(f"fan {sample.fan_percent:.0f} %")
    return tuple(found)
