"""The plans that one can choose from: one for each aim, and one for everything that any text suggests.

Each is a search of its own, so they come as questions: what is asked is known at once, the answers one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

from hettui.domain.devices.device import LOCAL, Device
from hettui.domain.library.fit import short_of_ram
from hettui.domain.llama.params import LAYER_MODE, TENSOR_MODE
from hettui.domain.memory.context import context_size
from hettui.domain.memory.forecast import shortage
from hettui.domain.memory.tensor_limits import possible
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.aim import Objective
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.planner.advice import Question as Asked
from hettui.domain.planner.advice import largest_context, obstacle, ways_to_fit
from hettui.domain.planner.objectives import best_plan, guessable, wanted
from hettui.domain.planner.placing import with_parts_in_ram
from hettui.domain.planner.promise import promised
from hettui.domain.planner.sharing import share_out, shared_by
from hettui.domain.records import dataclass
from hettui.domain.session.session import Session
from hettui.domain.speed.pace import Expected
from hettui.domain.telemetry.why import Shift
from hettui.domain.text import clean_line
from hettui.domain.units import missing_mib

_NAME_CHARS = 24
_ALIKE = "which device is fast is not known before the first answer: as evenly as can be"
_SHARED, _LAYERED = "tensors shared by the cards", "whole layers on each card"
_NOT_VERIFIED = "split-mode tensor, not verified: what the cards take to exchange results is assumed"
ANOTHER_MODEL = "model.choose"


@dataclass(frozen=True, slots=True)
class Choice:
    """One plan with what it would give."""

    title: str
    plan: Plan | None = None
    """None: there is none, or it is taken by `action`."""
    said: str = ""
    """Why there is none, what stands in its way, or what is to be known of it."""
    fits: bool = True
    speed: Expected | None = None
    """Of one stream; None is not known."""
    ctx_size: int | None = None
    """Tokens over all slots."""
    fullest: tuple[str, int] | None = None
    """The device with the least left of its budget, and how many bytes that is; None without budgets."""
    objective: Objective | None = None
    """What the planner aimed at for it."""
    action: str = ""
    """An action of the screen that leads there, where no plan does."""


@dataclass(frozen=True, eq=False)
class Query:
    """Something to choose that has still to be worked out. `answers` may take a search."""

    title: str
    answers: Callable[[], Sequence[Choice]]


def queries(session: Session, plan: Plan, shifts: Iterable[Shift] = ()) -> list[Query]:
    """What can be chosen beside this plan, in the order in which it is shown; nothing without a model. `shifts`: single
    moves that cards propose of what runs."""
    if session.workload is None:
        return []
    ask = _Asking(session, plan)
    streams = plan.asked(session.config.params).slots
    many = f"best for {streams} streams" if streams > 1 else "best for many streams"
    aims: list[tuple[str, Objective]] = [
        ("fastest for one stream", "latency"), (many, "throughput"), ("most even", "balanced"),
        ("largest context", "fit"),
    ]  # fmt: skip
    found = [Query(title, partial(ask.aimed, title, aim)) for title, aim in aims] if plan.devices else []
    found += [Query(_shifted(one), partial(ask.shifted, one)) for one in shifts]
    found.append(Query("what makes it fit", ask.ways))
    found.append(Query("larger context only", ask.roomier))
    if len(plan.devices) > 1:
        held = zip(plan.devices, plan.split.layers, strict=True)
        found += [Query(_without(d), partial(ask.without, d)) for d, n in held if n and not d.locked]
        found += [Query(_again(d), partial(ask.again, d)) for d in ask.empty]
    if ask.shares_tensors:
        found.append(Query(_LAYERED, ask.layered))
    elif len(ask.cards) > 1:
        found.append(Query(_SHARED, ask.shared))
    if ask.has_apart:
        found.append(Query(ask.apart_title, ask.apart))
    return found


def alike(choices: Sequence[Choice], choice: Choice) -> Choice | None:
    """The first of others that comes to the same plan; None where it is the first itself."""
    first = next((one for one in choices if one is choice or _same(one, choice)), None)
    return None if first is choice else first


def same_plan(one: Plan, other: Plan) -> bool:
    """They would run alike."""
    told = (one.ctx_size, one.blocks_away, one.changed) == (other.ctx_size, other.blocks_away, other.changed)
    return told and not one.differs_from(other.devices, other.split)


def _same(one: Choice, other: Choice) -> bool:
    return one.plan is not None and other.plan is not None and same_plan(one.plan, other.plan)


def _shifted(shift: Shift) -> str:
    layers = "1 layer" if shift.layers == 1 else f"{shift.layers} layers"
    return f"{layers} from {clean_line(shift.giver, _NAME_CHARS)} to {clean_line(shift.taker, _NAME_CHARS)}"


def _without(device: Device) -> str:
    return f"without {clean_line(device.name, _NAME_CHARS)}"


def _again(device: Device) -> str:
    return f"with {clean_line(device.name, _NAME_CHARS)} again"


class _Asking:
    """One plan, and what was measured on its devices."""

    def __init__(self, session: Session, plan: Plan) -> None:
        assert session.workload is not None  # noqa: S101 - `queries` has looked
        self.session = session
        self.plan = session.measured(plan)
        self.own = {d.name: d for d in plan.devices}
        self.workload: Workload = session.workload.having(plan.asked(session.config.params))

    @property
    def empty(self) -> list[Device]:
        """Devices that hold nothing although they could."""
        held = zip(self.plan.devices, self.plan.split.layers, strict=True)
        return [d for d, n in held if not n and not d.locked and not d.missing and d.budget_bytes != 0]

    @property
    def has_apart(self) -> bool:
        """Experts are worth asking for always; the FFN of a dense model where not all of it is on devices, or fits."""
        plan, shape = self.plan, self.workload.shape
        if self.shares_tensors or not shape.movable or not any(d.helps_host for d in plan.devices):
            return False
        if shape.mixtures or plan.away or plan.split.host_layers:
            return True
        outlook = self.session.forecast(plan)
        return outlook is not None and not outlook.fits

    @property
    def apart_title(self) -> str:
        return f"{self.workload.shape.moves} on the host"

    @property
    def shares_tensors(self) -> bool:
        return self.workload.params.shares_tensors

    @property
    def cards(self) -> list[Device]:
        """Those that the master drives itself and that could share tensors."""
        own = (self.plan.devices[i] for i in shared_by(self.plan.devices))
        return [d for d in own if d.helps_host and not d.missing]

    @property
    def ram_bytes(self) -> int | None:
        """All of this machine's: what is free now is looked at when it is started."""
        return next((h.total_bytes for h in self.session.hardware if h.backend == "cpu" and h.host == LOCAL), None)

    # -- a plan with what it gives -------------------------------------------------------------------------

    def choice(self, title: str, plan: Plan, said: str = "", objective: Objective | None = None) -> Choice:
        """The plan with the screen's own devices, and under the settings that were changed."""
        session = self.session
        own = replace(plan, devices=tuple(self.own[d.name] for d in plan.devices))
        workload, outlook = session.workload_of(own), session.forecast(own)
        if workload is None or outlook is None:
            return Choice(title, said="no model is chosen")
        short = short_of_ram(own, outlook, self.ram_bytes)
        problem = shortage(outlook, own.devices) if not outlook.fits else ""
        if short and not problem:
            problem = f"this machine's memory is short by {missing_mib(short)}"
        left = [
            (d.budget_bytes - m.total_bytes, clean_line(d.name, _NAME_CHARS))
            for d, m in zip(own.devices, outlook.devices, strict=True)
            if d.budget_bytes is not None and m.total_bytes
        ]
        least = min(left, default=None)
        devices = session.measured(own).devices
        return Choice(
            title,
            own,
            problem or said,
            not problem,
            promised(workload, devices, own.split, session.learned.host_rate_bytes_per_s),
            context_size(workload),
            None if least is None else (least[1], least[0]),
            objective,
        )

    # -- what can be asked ---------------------------------------------------------------------------------

    def aimed(self, title: str, objective: Objective) -> list[Choice]:
        best = wanted(self.workload, self.plan, objective, self.session.beside)
        plan = replace(best.plan, changed=self.plan.changed)
        said = _ALIKE if objective in ("latency", "throughput") and not guessable(self.plan.devices) else ""
        return [self.choice(title, plan, said, objective)]

    def shifted(self, shift: Shift) -> list[Choice]:
        names, layers = [d.name for d in self.plan.devices], list(self.plan.split.layers)
        if shift.giver not in names or shift.taker not in names:
            return []
        layers[names.index(shift.giver)] -= shift.layers
        layers[names.index(shift.taker)] += shift.layers
        if min(layers) < 0:
            return []
        split = Split(tuple(layers), self.plan.split.total_layers)
        return [self.choice(_shifted(shift), replace(self.plan, split=split))]

    def without(self, device: Device) -> list[Choice]:
        """The planner's plan in which it holds nothing; it stays in the plan."""
        title = _without(device)
        return [self.choice(title, self._holding(device.name, 0))]

    def again(self, device: Device) -> list[Choice]:
        """The fastest plan in which it holds something."""
        best = wanted(self.workload, self.plan, "latency", self.session.beside)
        plan = replace(best.plan, changed=self.plan.changed)
        names = [d.name for d in plan.devices]
        if not plan.split.layers[names.index(device.name)]:
            plan = self._holding(device.name, 1)
        return [self.choice(_again(device), plan)]

    def _holding(self, name: str, layers: int) -> Plan:
        """The fastest plan in which a device holds just so many."""
        held = zip(self.plan.devices, self.plan.split.layers, strict=True)
        counts = [layers if d.name == name else n for d, n in held]
        devices = tuple(replace(d, locked=d.locked or d.name == name) for d in self.plan.devices)
        asked = Plan(devices, Split(tuple(counts), max(self.plan.split.total_layers, sum(counts))))
        best = wanted(self.workload, asked, "latency", self.session.beside)
        return replace(best.plan, changed=self.plan.changed)

    def apart(self) -> list[Choice]:
        """As far as they must; where all of it fits, those of the present split's attached cards."""
        title, plan, session, shape = self.apart_title, self.plan, self.session, self.workload.shape
        beside = session.beside
        placed = with_parts_in_ram(self.workload, plan.devices, beside.ram_bytes, beside.bytes_per_s)
        if placed is not None and placed[0].away:
            return [self.choice(title, replace(placed[0], changed=plan.changed))]
        there = replace(plan, away=())
        for i, device in enumerate(plan.devices):
            if device.helps_host:
                there = there.with_away(i, len(plan.split.block_range(i)), shape.moves)
        return [self.choice(title, there)] if there.away else []

    def shared(self) -> list[Choice]:
        """Every card reads its share of each tensor at once; only where all of it fits so."""
        wanted_params = replace(self.workload.params, split_mode=TENSOR_MODE, override_tensor=())
        workload = self.workload.having(wanted_params)
        if not possible(workload, self.session.split_modes):
            return []
        split = share_out(workload, self.plan.devices)
        plan = replace(self.plan, split=split, away=()).with_settings(self.session.config.params, wanted_params)
        found = self.choice(_SHARED, plan, _NOT_VERIFIED)
        return [found] if found.fits and not split.host_layers and len(split.active) > 1 else []

    def layered(self) -> list[Choice]:
        """What llama.cpp does by itself."""
        params = replace(self.workload.params, split_mode=LAYER_MODE)
        best = best_plan(self.workload.having(params), self.plan.devices, "latency", beside=self.session.beside)
        return [self.choice(_LAYERED, best.plan.with_settings(self.session.config.params, params))]

    def roomier(self) -> list[Choice]:
        workload, plan = self.session.workload_of(self.plan), self.plan
        limited = any(d.budget_bytes is not None and n for d, n in zip(plan.devices, plan.split.layers, strict=True))
        if workload is None or not limited:
            return []
        context = largest_context(Asked(workload, plan.split, plan.devices))
        if context <= context_size(workload):
            return []
        return [self.choice("larger context only", replace(plan, ctx_size=context))]

    def ways(self) -> list[Choice]:
        """What puts a plan on the devices that does not fit there; nothing where all of it is there."""
        plan = replace(self.plan, away=())
        workload = self.session.workload_of(plan)
        if workload is None:
            return []
        asked = Asked(workload, plan.split, plan.devices)
        limited = any(d.budget_bytes is not None for d in plan.devices)
        if not limited or self.plan.away or (asked.fits() and not plan.split.host_layers):
            return []
        found = [self._way(way.words, way.workload, way.split) for way in ways_to_fit(asked)]
        if not found and (why := obstacle(asked)):
            found = [Choice("what makes it fit", said=f"no single change does. {why}", fits=False)]
        return found

    def _way(self, words: str, workload: Workload, split: Split | None) -> Choice:
        title, _, more = words.partition(", with ")
        if workload.shape is not self.workload.shape:
            return Choice(title, said="choose a smaller file of this model", action=ANOTHER_MODEL)
        plan = replace(self.plan, away=())
        if split is None:
            plan = best_plan(workload, plan.devices, "latency", beside=self.session.beside).plan
        else:
            plan = replace(plan, split=split)
        plan = plan.with_settings(self.session.config.params, workload.params)
        return self.choice(title, plan, more)
