"""`hettui devices --speeds`: what is known of every device's speed, from when, and how sure."""

from __future__ import annotations

from collections.abc import Sequence

from hettui.domain.devices.device import Device, Hardware
from hettui.domain.devices.speed import HOP, LAYER, Speed
from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass
from hettui.domain.speed.evidence import Evidence, speed_of
from hettui.domain.tables import table
from hettui.domain.text import clean_line, shorten_middle
from hettui.domain.units import UNKNOWN, figures

_HOURS, _DAYS = 3600.0, 86400.0
_TOO_UNSURE = 0.5
"""Of a value: what is less sure is no knowledge, and not shown."""
_CPU = late_pattern(r"cpu (\d{1,5}) threads")


@dataclass(frozen=True, slots=True)
class KnownSpeed:
    """One device, as it was measured."""

    name: str
    host: str
    via: str
    speed: Speed
    weight: float
    """What is left of what was measured: 1 at first, a half after a month."""


def known_speed_of(key: str, evidence: Evidence, cards: Sequence[Hardware], at_unix_s: float) -> KnownSpeed:
    """By its `speed_key`; `cards`: those of this machine, which say more of it."""
    host, _, rest = key.partition(" ")
    identity, _, via = rest.rpartition(" ")
    card = next((c for c in cards if identity and identity in (c.uuid, c.pci_address, c.id)), None)
    threads = _CPU.fullmatch(identity)
    device = Device(
        identity,
        host=host,
        via="master" if via == "master" else "worker",
        backend="cpu" if threads else card.backend if card else "cuda",
        threads=int(threads[1]) or None if threads else None,
        bandwidth_bytes_per_s=card.bandwidth_bytes_per_s if card else None,
    )
    name = f"CPU, {threads[1]} threads" if threads and int(threads[1]) else "CPU" if threads else identity
    speed = speed_of(device, evidence, at_unix_s)
    return KnownSpeed(card.name if card else name, host, device.via, speed, evidence.weight(at_unix_s))


def speeds_json(known: Sequence[KnownSpeed]) -> dict[str, object]:
    """Milliseconds per GB of a kind of weights, per layer and per hop, with their standard deviations."""
    return {
        "speeds": [
            {
                "device": one.name,
                "host": one.host,
                "via": one.via,
                "answers": one.speed.windows,
                "measured_unix_s": round(one.speed.at_unix_s),
                "weight": round(one.weight, 3),
                "work": [
                    {"kind": kind, "ms": round(ms, 6), "doubt_ms": round(doubt, 6)}
                    for kind, (ms, doubt) in _values(one.speed).items()
                ],
            }
            for one in known
        ]
    }


def speeds_text(known: Sequence[KnownSpeed], at_unix_s: float) -> str:
    """At most 100 columns."""
    if not known:
        return "Nothing is known of any device's speed yet: the first answer of a running cluster tells."
    rows = [("device", "host", "by", "answers", "last", "ms/layer", "ms/hop", "GB/s of each kind of weights")]
    for one in known:
        values = _values(one.speed)
        kinds = sorted((k for k in values if k not in (LAYER, HOP)), key=lambda kind: _doubt(*values[kind]))
        read = [f"{kind} {_rate(*values[kind])}" for kind in kinds if _doubt(*values[kind]) <= _TOO_UNSURE]
        rows.append(
            (
                shorten_middle(clean_line(one.name), 24),
                shorten_middle(clean_line(one.host), 8),
                "attached" if one.via == "master" else "worker",
                str(one.speed.windows),
                age(at_unix_s - one.speed.at_unix_s),
                _plain(values.get(LAYER)),
                _plain(values.get(HOP)),
                ", ".join(read[:2]) or UNKNOWN,
            )
        )
    return "\n".join(table(rows))


def age(seconds: float) -> str:
    """`3 min`, `5 h`, `12 d` ago."""
    seconds = max(seconds, 0.0)
    if seconds < _HOURS:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / _HOURS:.0f} h" if seconds < _DAYS else f"{seconds / _DAYS:.0f} d"


def _values(speed: Speed) -> dict[str, tuple[float, float]]:
    """By kind of work: its value and its standard deviation."""
    rows = zip(speed.names, speed.values_ms, speed.covariance, strict=True)
    return {name: (value, row[i] ** 0.5) for i, (name, value, row) in enumerate(rows)}


def _doubt(ms: float, doubt_ms: float) -> float:
    """As a part."""
    return doubt_ms / ms if ms > 0 else float("inf")


def _rate(ms_per_gb: float, doubt_ms: float) -> str:
    return f"{figures(1e3 / ms_per_gb)} ±{_doubt(ms_per_gb, doubt_ms):.0%}"


def _plain(found: tuple[float, float] | None) -> str:
    return UNKNOWN if found is None else figures(found[0], 2)
