"""The plan under one's hands: sliders, order, locks, planner, undo and redo; by keys, digits and the mouse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from textual import events, on

from hettui.domain import matching
from hettui.domain.plan.aim import OBJECTIVES, Objective
from hettui.domain.plan.plan import History as PlanHistory
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import HOST, Split
from hettui.domain.screen.keymap import Keymap
from hettui.domain.session.session import Session
from hettui.domain.text import clean_line
from hettui.ui import keys, typed
from hettui.ui.presenting.presenter import Facts
from hettui.ui.screens.acting import ActingScreen
from hettui.ui.widgets.device_card import DeviceCard
from hettui.ui.widgets.layer_bar import LayerBar

_WORDS_FOR_OBJECTIVES: dict[Objective, str] = {
    "balanced": "planner: every device is filled alike; {plan.propose} again aims at latency",
    "latency": "planner: least time per token of one stream; {plan.propose} again aims at throughput",
    "throughput": "planner: for many streams, none holds others up; {plan.propose} again aims at the largest context",
    "fit": "planner: the largest context that fits; {plan.propose} again fills all alike",
}


class PlanningScreen(ActingScreen):
    """Owns the plan and its history. What is drawn, and which pane is in front, its heirs know."""

    def __init__(self, session: Session) -> None:
        super().__init__(Keymap(session.config.keys))
        self._session = session
        self._plan = session.initial_plan or Plan(session.devices, Split((0,) * len(session.devices), 0))
        self._history = PlanHistory()
        self._proposed: Plan | None = None
        """The planner's last proposal, and what it aimed at."""
        self._objective: Objective = "balanced"
        self._order: tuple[str, ...] = tuple(d.name for d in self._plan.devices)
        """Of the devices before the planner was first asked: `balanced` comes back to it."""
        self._typed = ""
        self._finding: str | None = None
        """A part of a device's name that is being typed."""
        self._found_from = 0
        """Which device was selected before."""
        self._selected = 0 if session.devices else HOST

    @property
    def facts(self) -> Facts:
        """What the screen knows now."""
        raise NotImplementedError

    def _draw(self) -> None:
        """Shows what has changed."""
        raise NotImplementedError

    def _focus_selected(self) -> None:
        """The keyboard goes to the selected device."""
        raise NotImplementedError

    def _pane_number(self, number: int) -> None:
        """A digit where no layer count can be typed."""
        raise NotImplementedError

    def _devices_are_in_front(self) -> None:
        """A device was given the focus."""
        raise NotImplementedError

    # -- the plan ------------------------------------------------------------------------------------------

    def _edit(self, change: Callable[[Plan], Plan], words: str) -> None:
        """One step of editing, with what it is in a few words: drawn at once, and undoable."""
        self._typed = ""
        after = change(self._plan)
        if after != self._plan:
            self._history = self._history.record(self._plan, words)
            self._plan = after
        self._draw()
        self.refresh_bindings()

    def _held(self) -> int:
        split = self._plan.split
        return split.host_layers if self._selected == HOST else split.layers[self._selected]

    def _device_name(self, device: int) -> str:
        return "the CPU" if device == HOST else clean_line(self._plan.devices[device].name, 40)

    def _set_layers(self, device: int, layers: int) -> None:
        """A slider. The words tell what became of it, which need not be what was asked for."""
        after = self._plan.with_layers(device, layers)
        held = [plan.split.host_layers if device == HOST else plan.split.layers[device] for plan in (self._plan, after)]
        self._edit(lambda _: after, f"{self._device_name(device)} {held[0]} → {held[1]} layers")

    def action_layers(self, change: int) -> None:
        self._set_layers(self._selected, self._held() + change)

    def action_layers_set(self, layers: int) -> None:
        self._set_layers(self._selected, self._plan.split.total_layers if layers < 0 else layers)

    def action_even(self) -> None:
        self._edit(Plan.evened, "the even split")

    def action_propose(self) -> None:
        """The planner's plan; pressed again on it, the next objective's. Always from the same order of devices."""
        if self._session.shape is None:
            return
        last = self._proposed
        again = last is not None and not self._plan.differs_from(last.devices, last.split)
        if not again:
            self._order = tuple(d.name for d in self._plan.devices)
        following = OBJECTIVES[(OBJECTIVES.index(self._objective) + 1) % len(OBJECTIVES)]
        self._objective = following if again else OBJECTIVES[0]
        place = {name: i for i, name in enumerate(self._order)}
        held = zip(self._plan.devices, self._plan.split.layers, strict=True)
        rows = sorted(held, key=lambda row: place.get(row[0].name, len(place)))
        split = Split(tuple(n for _, n in rows), self._plan.split.total_layers)
        best = replace(self.facts, plan=Plan(tuple(d for d, _ in rows), split)).wanted
        if best is None:
            return
        own = {d.name: d for d in self._plan.devices}
        proposed = replace(best.plan, devices=tuple(own[d.name] for d in best.plan.devices))
        self._proposed = proposed
        self._edit(lambda plan: proposed, f"the planner's plan ({self._objective})")
        self.remark(self.keymap.fill(_WORDS_FOR_OBJECTIVES[self._objective]))

    def action_lock(self) -> None:
        if self._selected != HOST:
            what = "unlocking" if self._plan.devices[self._selected].locked else "locking"
            words = f"{what} {self._device_name(self._selected)}"
            self._edit(lambda plan: plan.with_lock_toggled(self._selected), words)

    def action_order(self, direction: int) -> None:
        device, to = self._selected, self._selected + direction
        if device == HOST or not 0 <= to < len(self._plan.devices):
            return
        words = f"moving {self._device_name(device)} {'up' if direction < 0 else 'down'}"
        self._selected = to
        self._edit(lambda plan: plan.with_device_moved(device, to), words)
        self._focus_selected()

    def action_undo(self) -> None:
        self._step("undone", self._history.undo_words, self._history.undo)

    def action_redo(self) -> None:
        self._step("done again", self._history.redo_words, self._history.redo)

    def _step(self, what: str, words: str, to: Callable[[Plan], tuple[Plan, PlanHistory]]) -> None:
        self._plan, self._history = to(self._plan)
        self._typed = ""
        self._draw()
        self.refresh_bindings()
        left = len(self._history.past if what == "undone" else self._history.future)
        self.remark(f"{what}: {words}" + (f" ({left} more)" if left else ", there is no more"))

    def action_select(self, direction: int) -> None:
        rows = [*range(len(self._plan.devices)), HOST]
        place = min(max(rows.index(self._selected) + direction, 0), len(rows) - 1)
        self._selected = rows[place]
        self._typed = ""
        self._focus_selected()
        self._draw()

    # -- finding a device ----------------------------------------------------------------------------------

    def begin_finding(self) -> None:
        """What is typed from now on is a part of a device's name."""
        self._typed, self._finding, self._found_from = "", "", self._selected
        self._hear(True)

    def end_finding(self, *, stay: bool) -> None:
        """Enter stays on what was found; Esc goes back to where one was."""
        self._finding = None
        self._hear(False)
        self._go_to(self._selected if stay else self._found_from)

    def _hear(self, text: bool) -> None:
        for card in self.query(DeviceCard):
            card.takes_text = text
        self._draw()

    @property
    def _found(self) -> list[int]:
        """Devices whose names have what was typed in them; the CPU's is its own."""
        rows = [*((i, d.name) for i, d in enumerate(self._plan.devices)), (HOST, "CPU of this machine")]
        return [i for i, name in rows if matching.matches(self._finding or "", clean_line(name, 200))]

    def finding_words(self) -> str | None:
        """What the line over the devices says meanwhile."""
        if self._finding is None:
            return None
        found = self._found
        place = f"{found.index(self._selected) + 1} of {len(found)}" if self._selected in found else "none"
        next_one = " · ↓ the next" if len(found) > 1 else ""
        return f"/{self._finding}{matching.CURSOR}  {place} · ⏎ stays, esc goes back{next_one}"

    def _find(self, event: events.Key) -> None:
        found = self._found
        if event.key == "enter":
            self.end_finding(stay=True)
        elif event.key in ("up", "down") and found:
            step = 1 if event.key == "down" else -1
            place = found.index(self._selected) + step if self._selected in found else 0
            self._go_to(found[place % len(found)])
        elif (text := typed.edited(self._finding or "", event)) is not None:
            self._finding = text
            found = self._found
            self._go_to(found[0] if found and self._selected not in found else self._selected)
        else:
            return
        event.stop()

    def _go_to(self, device: int) -> None:
        self._selected = device
        self._focus_selected()
        self._draw()

    # -- the mouse, digits ---------------------------------------------------------------------------------

    @on(DeviceCard.SliderMoved)
    def _slider_moved(self, message: DeviceCard.SliderMoved) -> None:
        self._set_layers(message.card.view.index, message.layers)

    @on(LayerBar.BoundaryMoved)
    def _boundary_moved(self, message: LayerBar.BoundaryMoved) -> None:
        words = f"the boundary of {self._device_name(message.left)} and {self._device_name(message.right)}"
        self._edit(lambda plan: plan.with_boundary(message.left, message.right, message.layers), words)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        # The message comes late: by now the next key may have moved the focus on.
        if isinstance(event.widget, DeviceCard) and event.widget is self.focused:
            before, self._selected = self._selected, event.widget.view.index
            self._devices_are_in_front()
            if self._selected != before:
                self._draw()

    def on_key(self, event: events.Key) -> None:
        """Digits: a layer count for the selected device, a pane's number elsewhere."""
        on_card = isinstance(self.focused, DeviceCard)
        if self._finding is not None and on_card:
            self._find(event)
        elif on_card and event.key == "enter" and self._typed:
            event.stop()
            self._set_layers(self._selected, int(self._typed))
        elif on_card and event.key == "backspace" and self._typed:
            event.stop()
            self._typed = self._typed[:-1]
            self._draw()
        elif event.character and event.character in keys.DIGITS:
            event.stop()
            if not on_card:
                self._pane_number(int(event.character))
            elif event.character == "0" and not self._typed:
                self.action_layers_set(0)
            elif len(self._typed) < 3:
                self._typed += event.character
                self._draw()
