"""A plan under one's hands: the steps of editing it, what is selected, typed and searched for, and undo.

Every step gives a new editor. Where there is something to say of a step, the words come with it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import field, replace

from hettui.domain import matching
from hettui.domain.model.movable import Movable
from hettui.domain.plan.aim import Objective
from hettui.domain.plan.experts import away_for, parts_here
from hettui.domain.plan.plan import History, Plan
from hettui.domain.plan.split import HOST
from hettui.domain.records import dataclass
from hettui.domain.text import clean_line

MOST_DIGITS = 3
"""Of a layer count that is typed."""
_NAME_CHARS = 40
_SOUGHT_CHARS = 200
_HOST_NAME = "CPU of this machine"
"""What finds it."""


@dataclass(frozen=True, slots=True)
class PlanEditor:
    """The sum of layers never changes, a lock is never broken, and something is always selected."""

    plan: Plan
    selected: int = HOST
    """A place in the plan's devices, or `HOST`."""
    history: History = field(default_factory=History)
    typed: str = ""
    """Digits of a layer count for the selected device."""
    finding: str | None = None
    """A part of a device's name that is being typed; None: nothing is searched for."""
    found_from: int = HOST
    """What was selected before the search."""
    objective: Objective = "balanced"
    """What the planner was last asked for."""

    @classmethod
    def of(cls, plan: Plan, objective: Objective = "balanced") -> PlanEditor:
        """Nothing is edited yet, and the first device is selected. `objective`: what the plan was made for."""
        return cls(plan, 0 if plan.devices else HOST, objective=objective)

    def with_plan(self, plan: Plan) -> PlanEditor:
        """Another plan takes the place of this one, which is no step of editing: undo does not come back here."""
        return replace(self, plan=plan, selected=_within(plan, self.selected))

    def with_other_model(self, plan: Plan) -> PlanEditor:
        """A plan of another model, whose layers have nothing to do with the steps so far."""
        return replace(self.with_plan(plan), history=History())

    # -- steps ---------------------------------------------------------------------------------------------

    def edited(self, after: Plan, words: str) -> PlanEditor:
        """A step of editing, and what it is in a few words, for undo. What was typed is dropped."""
        if after == self.plan:
            return replace(self, typed="")
        return replace(self.with_plan(after), typed="", history=self.history.record(self.plan, words))

    def held(self, device: int) -> int:
        """Layers of a device, or of the `HOST`."""
        return _held(self.plan, device)

    def name(self, device: int) -> str:
        """What sentences call it."""
        return "the CPU" if device == HOST else clean_line(self.plan.devices[device].name, _NAME_CHARS)

    def with_layers(self, device: int, layers: int) -> PlanEditor:
        """A slider. The words tell what became of it, which need not be what was asked for."""
        after = self.plan.with_layers(device, layers)
        words = f"{self.name(device)} {self.held(device)} → {_held(after, device)} layers"
        return self.edited(after, words)

    def shifted(self, change: int) -> PlanEditor:
        """So many layers more, or less, on what is selected."""
        return self.with_layers(self.selected, self.held(self.selected) + change)

    def filled(self, layers: int) -> PlanEditor:
        """So many layers on what is selected; fewer than none: all of them."""
        return self.with_layers(self.selected, self.plan.split.total_layers if layers < 0 else layers)

    def with_parts(self, device: int, here: int, movable: Collection[int], moves: Movable) -> tuple[PlanEditor, str]:
        """Of so many of a device's blocks the experts, or the FFN of a dense model, lie there, of the others in this
        machine's memory, and what is to be said of it. `movable`: the blocks that have any."""
        plan = self.plan
        if device == HOST or not plan.devices:
            return self, "What the CPU computes lies in this machine's memory anyway"
        before, most = parts_here(plan.split, plan.away, device, movable)
        here = max(0, min(here, most))
        after = plan.with_away(device, away_for(plan.split, device, here, movable), moves)
        far = plan.devices[device].via == "worker" and here < before
        price = f"each block of {self.name(device)} without its {moves} costs about 2.5 round trips a token"
        return self.edited(after, f"{self.name(device)} {before} → {here} blocks' {moves}"), price if far else ""

    def parts_shifted(self, change: int, movable: Collection[int], moves: Movable) -> tuple[PlanEditor, str]:
        """So many blocks' experts, or FFN, more, or less, on what is selected."""
        here, _ = parts_here(self.plan.split, self.plan.away, self.selected, movable)
        return self.with_parts(self.selected, here + change, movable, moves)

    def with_boundary(self, left: int, right: int, layers: int) -> PlanEditor:
        """Layers between two neighbours: `layers` is what the left one shall hold."""
        words = f"the boundary of {self.name(left)} and {self.name(right)}"
        return self.edited(self.plan.with_boundary(left, right, layers), words)

    def evened(self) -> PlanEditor:
        return self.edited(self.plan.evened(), "the even split")

    def with_lock_toggled(self) -> PlanEditor:
        """Locks or unlocks what is selected; the CPU has no lock."""
        if self.selected == HOST:
            return self
        what = "unlocking" if self.plan.devices[self.selected].locked else "locking"
        return self.edited(self.plan.with_lock_toggled(self.selected), f"{what} {self.name(self.selected)}")

    def can_move(self, direction: int) -> bool:
        """The selected device has another place in the order there."""
        return self.selected != HOST and 0 <= self.selected + direction < len(self.plan.devices)

    def moved(self, direction: int) -> PlanEditor:
        """The selected device goes up (-1) or down (1) in the order, and stays selected."""
        if not self.can_move(direction):
            return self
        device, to = self.selected, self.selected + direction
        words = f"moving {self.name(device)} {'up' if direction < 0 else 'down'}"
        return replace(self, selected=to).edited(self.plan.with_device_moved(device, to), words)

    # -- the planner ---------------------------------------------------------------------------------------

    def shown_as(self, plan: Plan, objective: Objective | None) -> PlanEditor:
        """Another plan with the same devices in the place of this one, to be looked at: the same place is selected.
        `objective`: what it was made for; None: no aim of the planner's."""
        return replace(self, plan=plan, objective=objective or self.objective, typed="")

    def taking(self, plan: Plan, words: str, objective: Objective | None) -> PlanEditor:
        """A plan that was chosen from a list, as a step of editing: the same device is selected."""
        names = [d.name for d in plan.devices]
        selected = HOST if self.selected == HOST else names.index(self.plan.devices[self.selected].name)
        return replace(self.edited(plan, words), selected=selected, objective=objective or self.objective)

    # -- undo and redo -------------------------------------------------------------------------------------

    def undone(self) -> tuple[PlanEditor, str]:
        """Before the last step, and what that was; no words when there was none."""
        if not self.history.past:
            return self, ""
        plan, history = self.history.undo(self.plan)
        return self._stepped(plan, history), _told("undone", self.history.undo_words, len(history.past))

    def redone(self) -> tuple[PlanEditor, str]:
        """After the step that was undone last, and what that is; no words when none was."""
        if not self.history.future:
            return self, ""
        plan, history = self.history.redo(self.plan)
        return self._stepped(plan, history), _told("done again", self.history.redo_words, len(history.future))

    def _stepped(self, plan: Plan, history: History) -> PlanEditor:
        return replace(self.with_plan(plan), history=history, typed="")

    # -- what is selected ----------------------------------------------------------------------------------

    @property
    def rows(self) -> tuple[int, ...]:
        """What can be selected, from top to bottom: the devices, and the CPU last."""
        return (*range(len(self.plan.devices)), HOST)

    @property
    def place(self) -> int:
        """What is selected, as a place in `rows`."""
        return len(self.plan.devices) if self.selected == HOST else self.selected

    def selecting(self, device: int) -> PlanEditor:
        """What is typed goes on for this device; one that does not exist is the last one."""
        return replace(self, selected=_within(self.plan, device))

    def choosing(self, place: int) -> PlanEditor:
        """By its place in `rows`; what was typed is dropped. Beyond the ends: the first, and the last."""
        return replace(self, selected=self.rows[min(max(place, 0), len(self.rows) - 1)], typed="")

    # -- a number that is typed ----------------------------------------------------------------------------

    def with_digit(self, digit: str) -> PlanEditor:
        """A digit more; a zero alone empties the device at once. More digits than any model has layers are dropped."""
        if digit == "0" and not self.typed:
            return self.filled(0)
        return replace(self, typed=self.typed + digit) if len(self.typed) < MOST_DIGITS else self

    def without_digit(self) -> PlanEditor:
        return replace(self, typed=self.typed[:-1])

    def without_digits(self) -> PlanEditor:
        return replace(self, typed="")

    def entered(self) -> PlanEditor:
        """The selected device gets what was typed; nothing typed: nothing changes."""
        return self.with_layers(self.selected, int(self.typed)) if self.typed else self

    # -- finding a device ----------------------------------------------------------------------------------

    def finding_begun(self) -> PlanEditor:
        """What is typed from now on is a part of a device's name."""
        return replace(self, typed="", finding="", found_from=self.selected)

    def finding_ended(self, *, stay: bool) -> PlanEditor:
        """Stays on what was found, or goes back to where one was."""
        return replace(self, finding=None).selecting(self.selected if stay else self.found_from)

    def sought(self, text: str) -> PlanEditor:
        """The part of a name is this now; the first device that has it is selected, unless the selected one has."""
        seeking = replace(self, finding=text)
        found = seeking.found
        return seeking if not found or self.selected in found else seeking.selecting(found[0])

    def found_next(self, step: int) -> PlanEditor:
        """The next device (1) that was found, or the one before (-1), round and round."""
        found = self.found
        if not found:
            return self
        place = found.index(self.selected) + step if self.selected in found else 0
        return self.selecting(found[place % len(found)])

    @property
    def found(self) -> list[int]:
        """Devices whose names have what was typed in them; the CPU's is its own."""
        names = [*((i, d.name) for i, d in enumerate(self.plan.devices)), (HOST, _HOST_NAME)]
        return [i for i, name in names if matching.matches(self.finding or "", clean_line(name, _SOUGHT_CHARS))]

    @property
    def finding_words(self) -> str | None:
        """What is said while a device is searched for."""
        if self.finding is None:
            return None
        found = self.found
        place = f"{found.index(self.selected) + 1} of {len(found)}" if self.selected in found else "none"
        next_one = " · ↓ the next" if len(found) > 1 else ""
        return f"/{self.finding}{matching.CURSOR}  {place} · ⏎ stays, esc goes back{next_one}"


def _held(plan: Plan, device: int) -> int:
    return plan.split.host_layers if device == HOST else plan.split.layers[device]


def _within(plan: Plan, device: int) -> int:
    """A plan without devices has the host alone."""
    return max(HOST, min(device, len(plan.devices) - 1))


def _told(what: str, words: str, left: int) -> str:
    return f"{what}: {words}" + (f" ({left} more)" if left else ", there is no more")
