"""A host's stream of readings as samples. Fields that a driver does not know (`[N/A]`) are None, never 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from hettui.domain.devices.identity import card_uuid
from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass
from hettui.domain.telemetry.readings import DeviceSample, Holder, Link
from hettui.domain.units import MIB

_NVIDIA_FIELDS = 12
_NUMBER = late_pattern(r"\d{1,18}(?:\.\d{1,6})?")


@dataclass(frozen=True, slots=True)
class Use:
    """What one worker's process took at one moment."""

    pid: int
    state: str
    """As the kernel has it: `T` is stopped by a signal."""
    ticks: int
    resident_bytes: int
    at_s: float


@dataclass(slots=True)
class FarReadings:
    """The newest of each kind. Times are of this machine, when they arrived."""

    ticks_per_s: int = 100
    page_bytes: int = 4096
    nvidia: dict[str, DeviceSample] = field(default_factory=dict)
    """By UUID, in the order of their addresses."""
    uses: dict[str, Use] = field(default_factory=dict)
    """By the worker's id."""
    busy_percent: dict[str, float] = field(default_factory=dict)
    """By the worker's id: 100 is one core."""
    heard_s: float | None = None

    def take(self, words: Sequence[str], now_s: float) -> None:
        """One marked line. What it does not understand is left out."""
        self.heard_s = now_s
        match words:
            case ["begin", ticks, page, *_]:
                self.ticks_per_s = _whole(ticks) or 100
                self.page_bytes = _whole(page) or 4096
            case ["nv", *rest]:
                self._nvidia(" ".join(rest))
            case ["proc", own, pid, state, ticks, pages, *_]:
                self._process(own, (_whole(pid), _whole(ticks), _whole(pages)), state, now_s)

    def _process(self, own: str, numbers: tuple[int | None, int | None, int | None], state: str, now_s: float) -> None:
        pid, ticks, pages = numbers
        if pid is None or ticks is None or pages is None:
            return
        before, now = self.uses.get(own), Use(pid, state, ticks, pages * self.page_bytes, now_s)
        self.uses[own] = now
        if before is not None and before.pid == pid and now_s > before.at_s and ticks >= before.ticks:
            share = (ticks - before.ticks) / self.ticks_per_s / (now_s - before.at_s)
            self.busy_percent[own] = 100 * share
        else:
            self.busy_percent.pop(own, None)

    def _nvidia(self, text: str) -> None:
        fields = [part.strip() for part in text.split(",")]
        uuid = card_uuid(fields[0])
        if len(fields) != _NVIDIA_FIELDS or uuid is None:
            return
        used, total, busy, heat, power, limit, clock, most, generation, width, fan = map(_number, fields[1:])
        link = Link(int(generation), int(width)) if generation and width else None
        self.nvidia[uuid] = DeviceSample(
            used_bytes=None if used is None else int(used * MIB),
            total_bytes=None if total is None else int(total * MIB),
            utilisation_percent=busy,
            temperature_c=heat,
            power_w=power,
            power_limit_w=limit,
            clock_mhz=clock,
            clock_max_mhz=most,
            link_now=link,
            fan_percent=fan,
        )

    def of_worker(self, own: str, name: str, total_bytes: int | None) -> DeviceSample | None:
        """A CPU worker's sample; None when it does not run there."""
        use = self.uses.get(own)
        if use is None:
            return None
        return DeviceSample(
            used_bytes=use.resident_bytes,
            total_bytes=total_bytes,
            own_bytes=use.resident_bytes,
            holders=(Holder(use.pid, name, use.resident_bytes),),
            utilisation_percent=self.busy_percent.get(own),
        )

    def of_card(self, backend: str, uuid: str | None, number: int | None) -> DeviceSample | None:
        """An NVIDIA card's sample: by UUID, else by its number; None when nobody tells of it."""
        if uuid is not None:
            return self.nvidia.get(uuid)
        samples = list(self.nvidia.values()) if backend == "cuda" else []
        return samples[number] if number is not None and number < len(samples) else None


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None
