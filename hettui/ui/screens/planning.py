"""The plan under one's hands: sliders, order, locks, planner, undo and redo; by keys, digits and the mouse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from textual import events, on

from hettui.domain.params import OBJECTIVES, Objective
from hettui.domain.plan import History as PlanHistory
from hettui.domain.plan import Plan
from hettui.domain.session import Session
from hettui.domain.split import HOST, Split
from hettui.domain.text import clean
from hettui.ui import keys
from hettui.ui.presenter import Facts
from hettui.ui.slow_line import CalmScreen
from hettui.ui.widgets.device_card import DeviceCard
from hettui.ui.widgets.layer_bar import LayerBar

_WORDS_FOR_OBJECTIVES: dict[Objective, str] = {
    "balanced": "planner: every device is filled alike; p again aims at latency",
    "latency": "planner: least time per token of one stream; p again aims at throughput",
    "throughput": "planner: for many streams, no device holds the others up; p again aims at the largest context",
    "fit": "planner: the largest context that fits; p again fills all alike",
}


class PlanningScreen(CalmScreen[None]):
    """Owns the plan and its history. What is drawn, and which pane is in front, its heirs know."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._plan = session.initial_plan or Plan(session.devices, Split((0,) * len(session.devices), 0))
        self._history = PlanHistory()
        self._proposed: Plan | None = None
        """The planner's last proposal, and what it aimed at."""
        self._objective: Objective = "balanced"
        self._order: tuple[str, ...] = tuple(d.name for d in self._plan.devices)
        """Of the devices before the planner was first asked: `balanced` comes back to it."""
        self._typed = ""
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

    def say(self, text: str, severity: str = "information") -> None:
        """A toast; the text is clean and never markup."""
        self.notify(clean(text), severity=severity, markup=False, timeout=8)  # type: ignore[arg-type]

    # -- the plan ------------------------------------------------------------------------------------------

    def _edit(self, change: Callable[[Plan], Plan]) -> None:
        """One step of editing: drawn at once, and undoable."""
        self._typed = ""
        after = change(self._plan)
        if after != self._plan:
            self._history = self._history.record(self._plan)
            self._plan = after
        self._draw()
        self.refresh_bindings()

    def _held(self) -> int:
        split = self._plan.split
        return split.host_layers if self._selected == HOST else split.layers[self._selected]

    def action_layers(self, change: int) -> None:
        self._edit(lambda plan: plan.with_layers(self._selected, self._held() + change))

    def action_layers_set(self, layers: int) -> None:
        wanted = self._plan.split.total_layers if layers < 0 else layers
        self._edit(lambda plan: plan.with_layers(self._selected, wanted))

    def action_even(self) -> None:
        self._edit(Plan.evened)

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
        self._edit(lambda plan: proposed)
        self.say(_WORDS_FOR_OBJECTIVES[self._objective])

    def action_lock(self) -> None:
        if self._selected != HOST:
            self._edit(lambda plan: plan.with_lock_toggled(self._selected))

    def action_order(self, direction: int) -> None:
        device, to = self._selected, self._selected + direction
        if device == HOST or not 0 <= to < len(self._plan.devices):
            return
        self._selected = to
        self._edit(lambda plan: plan.with_device_moved(device, to))
        self._focus_selected()

    def action_undo(self) -> None:
        self._plan, self._history = self._history.undo(self._plan)
        self._draw()

    def action_redo(self) -> None:
        self._plan, self._history = self._history.redo(self._plan)
        self._draw()

    def action_select(self, direction: int) -> None:
        rows = [*range(len(self._plan.devices)), HOST]
        place = min(max(rows.index(self._selected) + direction, 0), len(rows) - 1)
        self._selected = rows[place]
        self._typed = ""
        self._focus_selected()
        self._draw()

    @on(DeviceCard.SliderMoved)
    def _slider_moved(self, message: DeviceCard.SliderMoved) -> None:
        self._edit(lambda plan: plan.with_layers(message.card.view.index, message.layers))

    @on(LayerBar.BoundaryMoved)
    def _boundary_moved(self, message: LayerBar.BoundaryMoved) -> None:
        self._edit(lambda plan: plan.with_boundary(message.left, message.right, message.layers))

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
        if on_card and event.key == "enter" and self._typed:
            wanted = int(self._typed)
            event.stop()
            self._edit(lambda plan: plan.with_layers(self._selected, wanted))
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
