"""Cards that one does not own: planned with, and never started."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from hettui.domain.devices.common_cards import CARDS, budget_of, common_card, like
from hettui.domain.devices.device import IMAGINED, Device
from hettui.domain.errors import UsageError
from hettui.domain.patterns import late_pattern
from hettui.domain.plan.plan import Plan
from hettui.domain.session.looked import on_devices
from hettui.domain.session.session import Session
from hettui.domain.text import clean_line, free_name

_NAME_CHARS = 40
_BACKENDS = {"rx": "rocm", "radeon": "rocm", "arc": "vulkan"}
_NUMBER = late_pattern(r"\d{1,5}(?:\.\d{1,3})?")
_FORM = "a name of the table, or NAME, 24 GiB, 936 GB/s, and behind it a link: pcie, or a round trip such as 0.3 ms"


def imagined(text: str, taken: Collection[str]) -> Device:
    """`RTX 3090`, or `my card, 24 GiB, 936 GB/s, 0.3 ms`: what stands in the table need not be typed. Raises
    UsageError."""
    name, *rest = (part.strip() for part in text.split(","))
    known = common_card(name)
    if not name or len(rest) > 3:
        raise UsageError(f"it is {_FORM}")
    if known is None and len(rest) < 2:
        near = like(name)
        raise UsageError(f"{clean_line(name, _NAME_CHARS)} is not in the table{f': {near}?' if near else ''}: {_FORM}")
    gib = _number(rest[0], "GiB", 1, 2048) if rest else None
    speed = _number(rest[1], "GB/s", 1, 50_000) if len(rest) > 1 else None
    link = rest[2].lower() if len(rest) > 2 else "pcie"
    round_trip_s = None if link == "pcie" else _number(link, "ms", 0.001, 1000) / 1000
    own = free_name(clean_line(name if known is None else known.name, _NAME_CHARS), taken)
    return Device(
        own,
        f"{IMAGINED}{own}",
        via="master" if round_trip_s is None else "worker",
        backend=_BACKENDS.get(own.split()[0].lower(), "cuda"),
        engine_name="",
        budget_bytes=budget_of(gib) if gib is not None else known.budget_bytes if known is not None else None,
        missing=f"{own} is only planned with: nobody has it here",
        bandwidth_bytes_per_s=speed * 1e9 if speed is not None else known.bandwidth_bytes_per_s if known else None,
        round_trip_s=round_trip_s,
    )


def _number(text: str, unit: str, least: float, most: float) -> float:
    found = _NUMBER.match(text)
    if found is None or text[found.end() :].strip().lower() not in ("", unit.lower(), unit[:2].lower()):
        raise UsageError(f"{clean_line(text, _NAME_CHARS)} is no number of {unit}: it is {_FORM}")
    value = float(found[0])
    if not least <= value <= most:
        raise UsageError(f"{clean_line(text, _NAME_CHARS)}: {unit} are {least:g} to {most:g}")
    return value


def matching(text: str) -> list[str]:
    """Of the table, the names with every word of what is typed before its first comma."""
    words = text.partition(",")[0].lower().split()
    return [card.name for card in CARDS if all(word in card.name.lower() for word in words)]


def with_devices(session: Session, plan: Plan, devices: tuple[Device, ...]) -> Session:
    """The session on other devices, each of before with its place, layers and lock; nobody holds what one held that is
    gone."""
    cluster = session.cluster and replace(session.cluster, devices=devices)
    chosen = None if session.shape is None else on_devices(plan, devices)
    return replace(session, devices=devices, cluster=cluster, chosen=chosen)
