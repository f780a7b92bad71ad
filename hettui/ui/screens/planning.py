"""Keys and mouse on the plan: what they mean, the plan's editor knows; here it is shown what became of them."""

from __future__ import annotations

from typing import Protocol

from textual import events
from textual.widget import Widget

from hettui.domain.plan.editor import PlanEditor
from hettui.ui import keys, typed
from hettui.ui.presenting.facts import Facts
from hettui.ui.screens.hosting import Host
from hettui.ui.screens.places import Places
from hettui.ui.widgets.device_card import DeviceCard


class Planned(Host, Protocol):
    """What it needs of the screen."""

    @property
    def facts(self) -> Facts:
        """What the screen knows now."""

    @property
    def focused(self) -> Widget | None: ...

    def draw(self) -> None:
        """Shows what has changed."""


class Planning:
    """Holds nothing: the plan's editor is a part of what the screen knows."""

    def __init__(self, screen: Planned, places: Places) -> None:
        self._screen = screen
        self._places = places

    @property
    def _editor(self) -> PlanEditor:
        return self._screen.known.editor

    def edit(self, editor: PlanEditor, words: str = "") -> None:
        """A step of editing: drawn at once, then what there is to say of it."""
        self._show(editor)
        self._screen.refresh_bindings()
        if words:
            self._screen.remark(words)

    def take(self, editor: PlanEditor, words: str) -> None:
        """Another plan, maybe in another order: the keyboard stays with the device that has it."""
        self.edit(editor, words)
        if isinstance(self._screen.focused, DeviceCard):
            self._places.focus_selected()

    def select(self, editor: PlanEditor) -> None:
        """Another device is selected: the keyboard goes there."""
        self._screen.known.editor = editor
        self._places.focus_selected()
        self._screen.draw()

    def _show(self, editor: PlanEditor) -> None:
        self._screen.known.editor = editor
        self._screen.draw()

    def shift(self, change: int, *, experts: bool) -> None:
        """So many layers more, or less, on the selected device, or blocks whose experts, or FFN, lie there."""
        shape = self._screen.facts.session.shape
        if not experts:
            self.edit(self._editor.shifted(change))
        elif shape is not None:
            self.edit(*self._editor.parts_shifted(change, shape.movable, shape.moves))

    def slide(self, device: int, value: int, *, experts: bool) -> None:
        """The mouse put one of a device's sliders there."""
        shape = self._screen.facts.session.shape
        if not experts:
            self.edit(self._editor.with_layers(device, value))
        elif shape is not None:
            self.edit(*self._editor.with_parts(device, value, shape.movable, shape.moves))

    def move(self, direction: int) -> None:
        """The selected device takes another place in the order, and the keyboard goes along."""
        if self._editor.can_move(direction):
            self.edit(self._editor.moved(direction))
            self._places.focus_selected()

    def focus_moved(self, widget: Widget) -> None:
        """A click, or the focus otherwise: a card that got it is selected."""
        before = self._editor
        if isinstance(widget, DeviceCard):
            self._screen.known.editor = before.selecting(widget.view.index)
        self._places.focus_moved(widget)
        if self._editor.selected != before.selected:
            self._screen.draw()

    # -- what is typed -------------------------------------------------------------------------------------

    def begin_finding(self) -> None:
        """What is typed from now on is a part of a device's name."""
        self._hear(self._editor.finding_begun())

    def end_finding(self, *, stay: bool) -> None:
        """Enter stays on what was found; Esc goes back to where one was."""
        self._hear(self._editor.finding_ended(stay=stay))
        self.select(self._editor)

    def _hear(self, editor: PlanEditor) -> None:
        for card in self._places.body.devices.cards:
            card.takes_text = editor.finding is not None
        self._show(editor)

    def drop_typed(self) -> bool:
        """Whether anything was being typed, which is dropped."""
        if self._editor.finding is not None:
            self.end_finding(stay=False)
        elif self._editor.typed:
            self._show(self._editor.without_digits())
        else:
            return False
        return True

    def key(self, event: events.Key) -> None:
        """What is no action's key. Digits: a layer count for the selected device, a pane's number elsewhere."""
        editor, on_card = self._editor, isinstance(self._screen.focused, DeviceCard)
        if on_card and editor.finding is not None:
            self._find(event, editor.finding)
        elif on_card and editor.typed and event.key == "enter":
            event.stop()
            self.edit(editor.entered())
        elif on_card and editor.typed and event.key == "backspace":
            event.stop()
            self._show(editor.without_digit())
        elif event.character and event.character in keys.DIGITS:
            event.stop()
            if on_card:
                after = editor.with_digit(event.character)
                (self._show if after.typed else self.edit)(after)
            else:
                self._places.show_number(int(event.character))

    def _find(self, event: events.Key, text: str) -> None:
        if event.key == "enter":
            self.end_finding(stay=True)
        elif event.key in ("up", "down") and self._editor.found:
            self.select(self._editor.found_next(1 if event.key == "down" else -1))
        elif (after := typed.edited(text, event)) is not None:
            self.select(self._editor.sought(after))
        else:
            return
        event.stop()
