"""The plan that the sliders edit: devices in order with their layers, and its history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

from hettui.domain.devices.device import Device
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.model.movable import Movable
from hettui.domain.plan import split as rules
from hettui.domain.plan.experts import blocks_away, override
from hettui.domain.plan.split import HOST, Split
from hettui.domain.records import dataclass

Setting = int | str | bool
"""What a setting can be changed to."""


def plain_settings() -> tuple[str, ...]:
    """The attributes of `RuntimeParams` that are a number, a word, or on or off; a projector is no plan's."""
    usual = RuntimeParams()
    names = (f.name for f in fields(RuntimeParams) if isinstance(getattr(usual, f.name), Setting))
    return tuple(name for name in names if not name.startswith("mmproj"))


@dataclass(frozen=True, slots=True)
class Plan:
    """What the sliders say. Every edit gives a new plan; the sum of layers never changes."""

    devices: tuple[Device, ...]
    split: Split
    ctx_size: int | None = None
    """What the planner chose for the largest context; None: what the settings say."""
    away: tuple[int, ...] = ()
    """By device: of how many of its last blocks the movable part lies in the master's RAM; empty: of none."""
    moves: Movable = "experts"
    """What that is; without any it says nothing."""
    changed: tuple[tuple[str, Setting], ...] = ()
    """Settings that were chosen beside the configuration's, by their attributes of `RuntimeParams`."""

    def settings(self, params: RuntimeParams) -> RuntimeParams:
        """The settings with the plan's own ones: those that were changed, its context and what lies apart."""
        params = self.asked(params)
        if self.ctx_size is not None:
            params = replace(params, ctx_size=self.ctx_size)
        said = override(self.blocks_away, self.moves)
        return replace(params, override_tensor=(*params.override_tensor, *said)) if said else params

    def asked(self, params: RuntimeParams) -> RuntimeParams:
        """The settings that somebody wants, whatever the planner chose: for these it plans."""
        return replace(params, **dict(self.changed)) if self.changed else params  # type: ignore[arg-type]

    def with_settings(self, configured: RuntimeParams, wanted: RuntimeParams) -> Plan:
        """The same plan under other settings; of what lies apart only the plan's own counts."""
        told = [(name, getattr(wanted, name)) for name in plain_settings()]
        changed = tuple((name, value) for name, value in told if value != getattr(configured, name))
        return replace(self, ctx_size=None, changed=changed)

    @property
    def blocks_away(self) -> tuple[int, ...]:
        """Whose experts, or FFN, lie in the master's RAM by this plan."""
        return blocks_away(self.split, self.away)

    def away_of(self, device: int) -> int:
        """Of how many of a device's blocks they lie in RAM; no more than it holds."""
        return min(self.away[device], len(self.split.block_range(device))) if 0 <= device < len(self.away) else 0

    def with_away(self, device: int, count: int, moves: Movable) -> Plan:
        """Experts or FFN of so many of a device's last blocks lie in RAM. The host's own are always there."""
        if not 0 <= device < len(self.devices):
            return self
        counts = [self.away_of(i) for i in range(len(self.devices))]
        counts[device] = max(0, min(count, len(self.split.block_range(device))))
        return self.with_all_away(counts, moves)

    def with_all_away(self, counts: Sequence[int], moves: Movable) -> Plan:
        """The same of every device."""
        if not any(counts):
            return replace(self, away=(), moves="experts")
        return replace(self, away=tuple(counts), moves=moves)

    @property
    def locked(self) -> frozenset[int]:
        return frozenset(i for i, d in enumerate(self.devices) if d.locked)

    def with_layers(self, device: int, layers: int) -> Plan:
        """One slider moved; `device` may be `HOST`. See `split.set_layers` for who gives and takes."""
        return replace(self, split=rules.set_layers(self.split, device, layers, self.locked))

    def with_boundary(self, left: int, right: int, layers: int) -> Plan:
        """A boundary of the layer bar was dragged: only its two sides change."""
        return replace(self, split=rules.move_boundary(self.split, left, right, layers, self.locked))

    def evened(self) -> Plan:
        return replace(self, split=rules.even(self.split, self.locked))

    def with_lock_toggled(self, device: int) -> Plan:
        changed = self.devices[device].with_lock(not self.devices[device].locked)
        changed = replace(changed, layers=self.split.layers[device])
        return replace(self, devices=(*self.devices[:device], changed, *self.devices[device + 1 :]))

    def with_device_moved(self, device: int, to: int) -> Plan:
        """The device takes another place in the order and keeps its layers. Outside the order: unchanged."""
        if not 0 <= to < len(self.devices) or device == HOST:
            return self
        order = [i for i in range(len(self.devices)) if i != device]
        order.insert(to, device)
        split = Split(tuple(self.split.layers[i] for i in order), self.split.total_layers)
        away = tuple(self.away_of(i) for i in order) if self.away else ()
        return replace(self, devices=tuple(self.devices[i] for i in order), split=split, away=away)

    def without(self, names: frozenset[str]) -> Plan:
        """The plan without these devices, as far as they hold nothing: their workers are not even started."""
        kept = [i for i, d in enumerate(self.devices) if self.split.layers[i] or d.name not in names]
        split = Split(tuple(self.split.layers[i] for i in kept), self.split.total_layers)
        away = tuple(self.away_of(i) for i in kept) if self.away else ()
        return replace(self, devices=tuple(self.devices[i] for i in kept), split=split, away=away)

    def differs_from(self, devices: tuple[Device, ...], split: Split) -> bool:
        """Whether another order, other layers or threads run. A device that holds nothing makes no difference."""
        mine = [(d.name, n, d.threads) for d, n in zip(self.devices, self.split.layers, strict=True) if n]
        theirs = [(d.name, n, d.threads) for d, n in zip(devices, split.layers, strict=True) if n]
        return mine != theirs


@dataclass(frozen=True, slots=True)
class Step:
    """One change: the plan on its other side, and what it was in a few words."""

    plan: Plan
    words: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """Undo and redo of plans."""

    past: tuple[Step, ...] = ()
    future: tuple[Step, ...] = ()
    limit: int = 200

    @property
    def undo_words(self) -> str:
        """What `undo` takes back; empty when there is nothing."""
        return self.past[-1].words if self.past else ""

    @property
    def redo_words(self) -> str:
        return self.future[0].words if self.future else ""

    def record(self, before: Plan, words: str = "a change") -> History:
        return replace(self, past=(*self.past, Step(before, words))[-self.limit :], future=())

    def undo(self, now: Plan) -> tuple[Plan, History]:
        if not self.past:
            return now, self
        last = self.past[-1]
        return last.plan, replace(self, past=self.past[:-1], future=(Step(now, last.words), *self.future))

    def redo(self, now: Plan) -> tuple[Plan, History]:
        if not self.future:
            return now, self
        following = self.future[0]
        return following.plan, replace(self, past=(*self.past, Step(now, following.words)), future=self.future[1:])
