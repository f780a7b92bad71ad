"""Why a device is slow or in danger, in one line, only when there is something to say.

In order of harm: it is throttled, its memory is nearly full, its link is much narrower than it could be, it waits for
the others, it brakes the others. A reading that is missing says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from hettui.domain.devices.device import Device
from hettui.domain.planner.moves import Move, Rhythm, Running, relief, rhythm
from hettui.domain.records import dataclass
from hettui.domain.telemetry.alerts import NEARLY_FULL_BYTES, Severity
from hettui.domain.telemetry.readings import DeviceSample, Holder, Link, Throttle
from hettui.domain.telemetry.steady import Steady
from hettui.domain.text import clean_line, shorten_middle
from hettui.domain.units import format_bytes

MOST_CHARS = 60
_USUAL_CHARS = 52
"""What a card has beside the chat: longer words are used only where nothing shorter says it."""

HOLD_S = 3.0
HOLD_INTERVALS = 2
"""How long something must be found, or not found, before the line changes: a few readings, also of a slow rate."""

LOAD_PERCENT = 25.0
"""From here on a card works: an idle one lowers its clocks and its link by itself. Not higher: of four cards that
decode in turns each is busy for a quarter."""
CLEARLY_LOWER = 0.8
"""Of the highest clock. Well fed cards stay a tenth below it, because that is reached by cold chips only."""
_NARROW = 0.5
"""Of what the link could carry: less is worth a line before all else that is no danger; x8 in place of x16 is what
two cards on a usual board get, costs a loaded model nothing and is told last."""
_WAITING_PERCENT = 70.0
_MEASURED_BEYOND_SHARE = 30.0
"""Percent that the measured load may be above the model's share: more, and it does something else than wait."""
_BRAKE_SLOWER = 1.5
"""Times longer than the others take for as much."""
_BRAKE_SHARE = 0.1
"""Of a token: so far the device's share of the time is above its share of the work."""

_HARM = ("throttled", "memory", "link", "waits", "brake", "half-link")
_THROTTLES = (
    Throttle.HOT_HARDWARE,
    Throttle.HOT,
    Throttle.POWER_BRAKE,
    Throttle.SLOWDOWN,
    Throttle.SYNC,
    Throttle.POWER_LIMIT,
)
_ONLY_UNDER_LOAD = (Throttle.SYNC, Throttle.POWER_LIMIT)


@dataclass(frozen=True, slots=True)
class Shift:
    """A move by the devices' names: their numbers may be others by the time that somebody wants it."""

    giver: str
    taker: str
    layers: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth a line on a device's card."""

    key: str
    """One of `_HARM`."""
    text: str
    """Clean, at most `MOST_CHARS` characters, the helpful move included; without the device's own name."""
    severity: Severity = "warning"
    shift: Shift | None = None
    """The move that the text proposes."""


@dataclass(frozen=True)
class Scene:
    """The facts of one reading."""

    devices: Sequence[Device]
    samples: Mapping[str, DeviceSample]
    running: Running | None = None
    """What runs and is ready; None: nothing does."""
    own_pids: frozenset[int] = frozenset()
    generating: bool = False
    """An answer is being generated."""
    edited: bool = False
    """The sliders already say something else than what runs: no further move is proposed."""

    @cached_property
    def beat(self) -> Rhythm | None:
        return rhythm(self.running) if self.running is not None else None

    @cached_property
    def knows_own(self) -> bool:
        """Ours are among the holders somewhere, if there are any of ours: inside some containers the driver counts
        pids otherwise, and our own would pass for strangers."""
        holders = (h for sample in self.samples.values() for h in sample.holders or ())
        return not self.own_pids or any(h.pid in self.own_pids for h in holders)

    @cached_property
    def places(self) -> Mapping[str, int]:
        """The devices' numbers in the order that runs: the sliders may have another one."""
        return {d.name: i for i, d in enumerate(self.running.devices)} if self.running is not None else {}


def findings(scene: Scene) -> dict[str, list[Finding]]:
    """By device name, the most harmful first; devices of which nothing is to be said are left out."""
    found: dict[str, list[Finding]] = {}
    for device in scene.devices:
        sample = scene.samples.get(device.name)
        lines = [] if sample is None else _of_card(scene, device, sample) if device.backend != "cpu" else []
        lines += _of_stage(scene, device, sample)
        if lines:
            found[device.name] = sorted(lines, key=lambda f: _HARM.index(f.key))
    return found


def worst(steady: Steady[Finding], name: str) -> Finding | None:
    """The one line of a device: of what has held, the most harmful."""
    return min(steady.shown(name), key=lambda f: _HARM.index(f.key), default=None)


def _of_card(scene: Scene, device: Device, sample: DeviceSample) -> list[Finding]:
    parts = (_throttled(sample), _memory(scene, device, sample), _link(sample))
    return [part for part in parts if part is not None]


def _under_load(sample: DeviceSample) -> bool:
    return sample.utilisation_percent is not None and sample.utilisation_percent >= LOAD_PERCENT


# -- throttled -------------------------------------------------------------------------------------------------


def _throttled(sample: DeviceSample) -> Finding | None:
    reason = next((t for t in _THROTTLES if t in (sample.throttles or ()) and _counts(t, sample)), None)
    if reason is None:
        return None
    clock, highest = sample.clock_mhz, sample.clock_max_mhz
    texts = [reason.value]
    if clock is not None and highest:
        texts = [f"{reason.value}, {clock / 1000:.1f}{of}{highest / 1000:.1f} GHz" for of in (" of ", "/")] + texts
    return Finding("throttled", _shortest(*texts), "warning" if reason in _ONLY_UNDER_LOAD else "error")


def _counts(reason: Throttle, sample: DeviceSample) -> bool:
    """A card at its power limit that keeps its clocks is a card that works."""
    if reason in _ONLY_UNDER_LOAD and not _under_load(sample):
        return False
    if reason is not Throttle.POWER_LIMIT:
        return True
    clock, highest = sample.clock_mhz, sample.clock_max_mhz
    return clock is not None and highest is not None and clock < CLEARLY_LOWER * highest


# -- memory ----------------------------------------------------------------------------------------------------


def _memory(scene: Scene, device: Device, sample: DeviceSample) -> Finding | None:
    if sample.used_bytes is None or not sample.total_bytes:
        return None
    left_bytes = max(0, sample.total_bytes - sample.used_bytes)
    if left_bytes >= NEARLY_FULL_BYTES:
        return None
    head = f"nearly full, {format_bytes(left_bytes)} left"
    stranger = _stranger(scene, sample)
    if stranger is not None:
        tail = f" ({stranger.pid}) holds {format_bytes(stranger.used_bytes)}"
        name = clean_line(stranger.name, 200).strip() or "a process"
        return Finding("memory", f"{head}: {shorten_middle(name, MOST_CHARS - len(head) - 2 - len(tail))}{tail}")
    running, index = scene.running, scene.places.get(device.name)
    moves = () if running is None or index is None or scene.edited else relief(running, index)
    return _moving(Finding("memory", head), scene, moves, "to")


def _stranger(scene: Scene, sample: DeviceSample) -> Holder | None:
    """Who else holds most of the card; None where ours and others cannot be told apart."""
    holders = sample.holders if scene.knows_own and sample.holders else ()
    others = [h for h in holders if h.pid not in scene.own_pids and (h.used_bytes or 0) >= NEARLY_FULL_BYTES]
    return max(others, key=lambda h: h.used_bytes or 0, default=None)


# -- link ------------------------------------------------------------------------------------------------------


def _link(sample: DeviceSample) -> Finding | None:
    now, best = sample.link_now, sample.link_max
    if now is None or best is None or not _under_load(sample):
        return None
    if now.generation >= best.generation and now.width >= best.width:
        return None
    carries, could = now.bytes_per_s, best.bytes_per_s
    if carries is not None and could is not None:
        part, cost = carries / could, f"{now}: {carries / 1e9:.1f} of {could / 1e9:.1f} GB/s"
    else:
        part, cost = min(now.width / best.width, now.generation / best.generation), f"{now} of {best}"
    if part >= 1:
        return None
    where = _remedy(now, best)
    text = f"link {cost} · {where}?"
    return Finding("link", text) if part < _NARROW else Finding("half-link", text, "information")


def _remedy(now: Link, best: Link) -> str:
    """Lanes are missing for want of a wider slot or of contact, a generation for a riser or a setting."""
    if now.generation >= best.generation:
        return "slot, riser"
    return "slot, riser, BIOS" if now.width < best.width else "riser, BIOS"


# -- the rhythm of a token -------------------------------------------------------------------------------------


def _of_stage(scene: Scene, device: Device, sample: DeviceSample | None) -> list[Finding]:
    """What the speed model says of a device that holds layers of what runs."""
    beat, index = scene.beat, scene.places.get(device.name)
    if beat is None or index is None or index not in beat.stages:
        return []
    parts = (_waits(scene, beat, index, sample), _brakes(scene, beat, index))
    return [part for part in parts if part is not None]


def _waits(scene: Scene, beat: Rhythm, index: int, sample: DeviceSample | None) -> Finding | None:
    """Decoding is serial: everybody waits for the others. It is worth a line where that can be changed."""
    busy = _busy_percent(scene, index, sample)
    share = 100 * beat.stages[index].share
    if not scene.generating or scene.edited or busy is None:
        return None
    if busy > min(_WAITING_PERCENT, share + _MEASURED_BEYOND_SHARE):
        return None
    moves = [move for move in beat.moves if move.taker == index and _has_room(scene, move)]
    if not moves:
        return None
    return _moving(Finding("waits", f"waits: {share:.0f} % of a token", "information"), scene, moves, "from")


def _busy_percent(scene: Scene, index: int, sample: DeviceSample | None) -> float | None:
    """Of all it has: a CPU worker's 100 % are one core."""
    device = scene.running.devices[index] if scene.running else None
    if device is None or sample is None or sample.utilisation_percent is None:
        return None
    if device.backend != "cpu":
        return sample.utilisation_percent
    return sample.utilisation_percent / device.threads if device.threads else None


def _brakes(scene: Scene, beat: Rhythm, index: int) -> Finding | None:
    stage = beat.stages[index]
    others = (1 - stage.share) / max(1 - stage.work, 1e-9)
    slower = stage.share / max(stage.work, 1e-9) >= _BRAKE_SLOWER * others
    if index != beat.slowest or not slower or stage.share - stage.work < _BRAKE_SHARE:
        return None
    head = f"brake: {100 * stage.share:.0f} % of a token"
    moves = [] if scene.edited else [move for move in beat.moves if move.giver == index]
    found = _moving(Finding("brake", head), scene, moves, "to")
    if found.shift is None:
        # Some device is always the slowest: where no move helps it is a fact and no warning.
        return Finding("brake", f"{head}'s time for {100 * stage.work:.0f} % of the model", "information")
    return found


# -- words -----------------------------------------------------------------------------------------------------


def _has_room(scene: Scene, move: Move) -> bool:
    """The planner's budget is what was free at the start; now somebody else may have it."""
    sample = scene.samples.get(scene.running.devices[move.taker].name) if scene.running else None
    if sample is None or sample.used_bytes is None or sample.total_bytes is None:
        return True
    return sample.total_bytes - sample.used_bytes - NEARLY_FULL_BYTES >= move.more_bytes


def _moving(finding: Finding, scene: Scene, moves: Sequence[Move], word: str) -> Finding:
    """`… · 2 layers to RTX 5080: −6 %` with the first move for which there is room; as it is without one."""
    move = next((move for move in moves if _has_room(scene, move)), None)
    if move is None or scene.running is None:
        return finding
    devices = scene.running.devices
    other = devices[move.taker if word == "to" else move.giver]
    start = f"{finding.text} · {move.layers} layer{'' if move.layers == 1 else 's'} {word} "
    percent = "" if move.change is None else f"{100 * move.change:+.0f} %".replace("-", "−")
    ends = ("",) if not percent else (f": {percent} per token", f": {percent}")
    name = short_name(other.name)
    room = max(4, MOST_CHARS - len(start) - len(ends[-1]))
    text = _shortest(*(f"{start}{name}{end}" for end in ends), f"{start}{shorten_middle(name, room)}{ends[-1]}")
    return replace(finding, text=text, shift=Shift(devices[move.giver].name, devices[move.taker].name, move.layers))


def short_name(name: str) -> str:
    """`RTX 5080` of `NVIDIA GeForce RTX 5080`: beside the other cards the maker tells nothing."""
    name = clean_line(name, 60).strip()
    for maker in ("NVIDIA ", "GeForce ", "AMD ", "Radeon ", "Intel(R) ", "Intel "):
        name = name.removeprefix(maker) or name
    return name


def _shortest(*texts: str) -> str:
    """The first that fits where cards are narrow, else the last that fits at all."""
    usual = next((text for text in texts if len(text) <= _USUAL_CHARS), None)
    return usual or next((text for text in reversed(texts) if len(text) <= MOST_CHARS), texts[-1][:MOST_CHARS])
