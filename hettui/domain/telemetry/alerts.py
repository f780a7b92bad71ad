"""When a card needs somebody: it runs hot, its memory is nearly full, it vanished, its memory has errors.

Every kind has two thresholds: what raises an alert is not what ends it, so that a reading that flaps around one of
them is told once. A reading that is missing says nothing: it neither raises nor ends.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import field, fields, replace
from typing import Literal

from hettui.domain.records import dataclass
from hettui.domain.telemetry.readings import DeviceSample, TelemetrySnapshot
from hettui.domain.text import clean_line
from hettui.domain.units import MIB, format_bytes

Severity = Literal["information", "warning", "error"]
Kind = Literal["heat", "memory-heat", "memory", "lost", "ecc"]

USUAL_SLOWDOWN_C = 90.0
"""For a card that does not tell its own: GeForce cards say 88 to 99 °C, amdgpu's edge sensors 95 to 100."""
HOT_BELOW_SLOWDOWN_C = 3.0
"""So near its threshold a card is hot: a little later it lowers its clocks by itself."""
COOL_BELOW_SLOWDOWN_C = 10.0

HOT_MEMORY_C = 100.0
"""Makers' limits are 95 to 105 °C for HBM, 100 to 110 for GDDR6 and GDDR6X. An HBM card that has reached its own
lower limit says so itself, as a reason for lower clocks; at 95 °C many a GDDR6 card is quite well."""
COOL_MEMORY_C = 94.0

NEARLY_FULL_BYTES = 256 * MIB
"""So little left is half of the margin that the planner leaves: something else came, or the forecast was wrong. Not a
part of the memory: a plan that fills a card to its margin leaves 8 % of 6 GiB, but 0.6 % of 80."""
ROOM_AGAIN_BYTES = 384 * MIB

GONE_ROUNDS, GONE_S = 5, 5.0
"""Without a sample, both: a driver that opens a device answers nobody for seconds, and rounds may be short."""
BACK_ROUNDS = 3
"""With readings again, one after the other."""

QUIET_S = 600.0
"""Without a further memory error: then that is over."""


@dataclass(frozen=True, slots=True)
class Alert:
    """Something began (`raised`) or ended, in one clean sentence."""

    device: str
    kind: Kind
    text: str
    severity: Severity
    raised: bool = True


@dataclass(frozen=True, slots=True)
class _Card:
    """What is remembered of one card."""

    raised: frozenset[Kind] = frozenset()
    slowdown_c: float | None = None
    seen_s: float | None = None
    missed: int = 0
    """Rounds without a sample since it was seen."""
    back: int = 0
    """Rounds with readings since it was missed."""
    errors: int | None = None
    rose_s: float = 0.0
    """When `errors` was last seen to rise."""


@dataclass(frozen=True)
class AlertState:
    """The cards that are looked after, by name, and what was raised and has not ended."""

    cards: Mapping[str, _Card] = field(default_factory=dict)

    def watching(self, names: Collection[str]) -> AlertState:
        """Exactly these cards. What is no longer watched is forgotten without a word: nothing of it has ended."""
        return AlertState({name: self.cards.get(name, _Card()) for name in names})


def update(state: AlertState, snapshot: TelemetrySnapshot, now_s: float) -> tuple[AlertState, tuple[Alert, ...]]:
    """One more round of readings, `now_s` on a clock that never goes back: what began and what ended with it."""
    cards: dict[str, _Card] = {}
    alerts: list[Alert] = []
    for name, card in state.cards.items():
        look = _Look(name, card, snapshot.samples.get(name), snapshot.errors.get(name, ""), now_s)
        look.at_presence()
        look.at_heat()
        look.at_memory_heat()
        look.at_memory()
        look.at_errors()
        cards[name] = look.card
        alerts += look.alerts
    return AlertState(cards), tuple(alerts)


class _Look:
    """One card at one round."""

    def __init__(self, name: str, card: _Card, sample: DeviceSample | None, error: str, now_s: float) -> None:
        self.card = card
        self.alerts: list[Alert] = []
        self._name = name
        self._words = clean_line(name, 40)
        self._sample = sample
        self._error = error
        self._now_s = now_s

    def _switch(
        self, kind: Kind, begins: bool, ends: bool, up: Callable[[], str], down: Callable[[], str], severity: Severity
    ) -> None:
        raised = kind in self.card.raised
        if begins and not raised:
            self.card = replace(self.card, raised=self.card.raised | {kind})
            self.alerts.append(Alert(self._name, kind, up(), severity))
        elif ends and raised:
            self.card = replace(self.card, raised=self.card.raised - {kind})
            self.alerts.append(Alert(self._name, kind, down(), "information", raised=False))

    def at_presence(self) -> None:
        sample, card = self._sample, self.card
        if sample is None:
            self.card = card = replace(card, missed=card.missed + 1, back=0)
        elif sample.lost is not None:
            self.card = card = replace(card, back=0)
        elif _says_anything(sample):
            self.card = card = replace(card, seen_s=self._now_s, missed=0, back=min(card.back + 1, BACK_ROUNDS))
        told = sample is not None and sample.lost is not None
        silent_s = 0.0 if card.seen_s is None else self._now_s - card.seen_s
        gone = card.missed >= GONE_ROUNDS and silent_s >= GONE_S
        reason = clean_line((sample.lost if sample else self._error) or f"no reading for {silent_s:.0f} s", 200)
        self._switch(
            "lost",
            told or gone,
            card.back >= BACK_ROUNDS,
            lambda: f"{self._words} is gone: {reason}",
            lambda: f"{self._words} is back",
            "error",
        )

    def at_heat(self) -> None:
        sample = self._sample
        if sample is None:
            return
        if sample.slowdown_c is not None:
            self.card = replace(self.card, slowdown_c=sample.slowdown_c)
        heat_c, own_c = sample.temperature_c, self.card.slowdown_c
        if heat_c is None:
            return
        limit_c = USUAL_SLOWDOWN_C if own_c is None else own_c
        whose = "slows down at" if own_c is not None else "usually cards slow down at"
        self._switch(
            "heat",
            heat_c >= limit_c - HOT_BELOW_SLOWDOWN_C,
            heat_c <= limit_c - COOL_BELOW_SLOWDOWN_C,
            lambda: f"{self._words} is hot: {heat_c:.0f} °C, {whose} {limit_c:.0f}",
            lambda: f"{self._words} has cooled down: {heat_c:.0f} °C",
            "warning",
        )

    def at_memory_heat(self) -> None:
        heat_c = self._sample.memory_temperature_c if self._sample else None
        if heat_c is not None:
            self._switch(
                "memory-heat",
                heat_c >= HOT_MEMORY_C,
                heat_c <= COOL_MEMORY_C,
                lambda: f"The memory of {self._words} is hot: {heat_c:.0f} °C",
                lambda: f"The memory of {self._words} has cooled down: {heat_c:.0f} °C",
                "warning",
            )

    def at_memory(self) -> None:
        sample = self._sample
        if sample is None or sample.used_bytes is None or sample.total_bytes is None:
            return
        used, total, own = sample.used_bytes, sample.total_bytes, sample.own_bytes
        left = total - used
        others = "" if own is None or used - own < NEARLY_FULL_BYTES else f"; others hold {format_bytes(used - own)}"
        self._switch(
            "memory",
            left < NEARLY_FULL_BYTES,
            left >= ROOM_AGAIN_BYTES,
            lambda: f"{self._words} is nearly full: {format_bytes(left)} of {format_bytes(total)} left{others}",
            lambda: f"{self._words} has room again: {format_bytes(left)}",
            "warning",
        )

    def at_errors(self) -> None:
        count = self._sample.ecc_errors if self._sample else None
        if count is None:
            return
        before = self.card.errors
        # Fewer than before: the driver was loaded anew and counts from 0.
        more = 0 if before is None else max(0, count - before)
        self.card = replace(self.card, errors=count, rose_s=self._now_s if more else self.card.rose_s)
        what = "error" if more == 1 else "errors"
        self._switch(
            "ecc",
            more > 0,
            self._now_s - self.card.rose_s >= QUIET_S,
            lambda: (
                f"{self._words}: {more} new uncorrected memory {what}, {count} since its driver was loaded. "
                "Answers may be wrong: start the cluster again; if more come, the card is failing"
            ),
            lambda: f"{self._words}: no new memory errors for {QUIET_S / 60:.0f} minutes",
            "error",
        )


_READINGS = tuple(f.name for f in fields(DeviceSample) if f.name not in ("asleep", "lost", "slowdown_c", "shutdown_c"))
"""Thresholds and maxima may be remembered by a source: they alone are no sign of life."""


def _says_anything(sample: DeviceSample) -> bool:
    return sample.asleep or any(
        getattr(sample, name) is not None for name in _READINGS if not name.endswith(("_max", "_max_mhz"))
    )
