"""What stands where: which pane is in front, what is shown of header, devices and panes, zoom, jump, and what is kept.

Narrow: one pane at a time under one row of tabs. Wide: the devices, and one pane beside them. Ultra wide: the devices,
the chat, and a second pane. A zoomed pane has it all. The breakpoints are the style sheet's; what is shown is set
directly and not by style classes, which apply a moment later: the very next key must already find its pane shown and
focused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from textual.geometry import Region, Size
from textual.timer import Timer
from textual.widget import Widget

from hettui.domain.screen.panes import ALL_PANES, CHAT, DEVICES, PANES
from hettui.services.backend import Backend
from hettui.ui.drawing.rooms import ULTRA_CELLS, WIDE_CELLS, rooms, seen
from hettui.ui.drawing.tabs_row import tabs, tabs_views
from hettui.ui.drawing.top_rows import bar_rows
from hettui.ui.screens.body import Body
from hettui.ui.screens.hosting import Host
from hettui.ui.widgets.device_card import DeviceCard

_KEEP_AFTER_S = 0.5


class Placed(Host, Protocol):
    """What it needs of the screen."""

    def set_focus(self, widget: Widget | None, scroll_visible: bool = True) -> None: ...

    def call_after_refresh(self, callback: Callable[[], None], *args: Any, **kwargs: Any) -> bool: ...

    def panes_changed(self) -> None:
        """Others may be to be seen now."""

    def choose_device(self, place: int) -> None:
        """One was jumped to; by its place in the list of devices."""


class Places:
    """Has the widgets, and knows their places; what is drawn in them, others know."""

    def __init__(self, screen: Placed, backend: Backend) -> None:
        self._screen = screen
        self._backend = backend
        self._state = self._kept = backend.panes.known()
        devices = len(screen.known.plan.devices)
        self.body = Body(backend, devices, self._state.second, self.expected_room)
        self._keep_timer: Timer | None = None

    @property
    def front(self) -> str:
        """The pane that has the keyboard."""
        return self._state.front

    @property
    def zoomed(self) -> bool:
        return self._state.zoomed

    @property
    def shown(self) -> frozenset[str]:
        """The panes that are to be seen."""
        return seen(self._screen.app.size, self._state)

    def expected_room(self) -> Size:
        """Of the devices, as the style sheet will lay them out: what a wrong guess costs is a second drawing."""
        room = rooms(self._screen.app.size, self._state).devices
        return Size(room.width, room.rows)

    @property
    def _narrow(self) -> bool:
        # Not by the style class of the breakpoint, which a screen that was just opened has not got yet.
        return self._screen.app.size.width < WIDE_CELLS

    @property
    def _ultra(self) -> bool:
        return self._screen.app.size.width >= ULTRA_CELLS

    @property
    def _bar_rows(self) -> tuple[int, int]:
        return bar_rows(self._screen.app.size.height)

    @property
    def _tiny(self) -> bool:
        return not self._bar_rows[0]

    # -- what is shown -------------------------------------------------------------------------------------

    def arrange(self) -> None:
        """After another size of the terminal, or another pane in front."""
        shown, narrow, body = self.shown, self._narrow, self.body
        full = self.zoomed and self.front != DEVICES
        body.layer_bar.display, body.time_bar.display = (not full and bool(rows) for rows in self._bar_rows)
        body.plan_line.display = not full
        body.devices.display = DEVICES in shown
        body.devices.set_class(not shown - {DEVICES}, "-alone")
        body.side.display = bool(shown - {DEVICES})
        body.side.set_class(DEVICES not in shown, "-alone")
        body.first.display = CHAT in shown
        body.second.display = self._state.second in shown
        body.top_tabs.display = narrow and not self._tiny
        for row in (body.first_tabs, body.second_tabs):
            row.display = not narrow
        self._draw_tabs()
        self._screen.panes_changed()
        self._keep_soon()

    def _draw_tabs(self) -> None:
        rows = self.body.top_tabs, self.body.first_tabs, self.body.second_tabs
        for row, view in zip(rows, tabs_views(self._screen.keymap, self._state, both=self._ultra), strict=True):
            row.view = view

    def show(self, pane: str) -> None:
        """Brings a pane to the front and the keyboard to it."""
        self._to_front(pane)
        self.arrange()
        if pane == DEVICES:
            self.focus_selected()
        else:
            self._screen.set_focus(self.body.chat.prompt if pane == CHAT else self.body.panes[pane])
        self._screen.refresh_bindings()

    def show_number(self, number: int) -> None:
        """By a digit, where no layer count can be typed."""
        if 1 <= number <= len(ALL_PANES):
            self._screen.show_pane(ALL_PANES[number - 1])

    def step(self, direction: int) -> None:
        """The pane beside the one in front, as the tabs stand."""
        place = ALL_PANES.index(self.front) + direction
        self._screen.show_pane(ALL_PANES[place % len(ALL_PANES)])

    def focus_moved(self, widget: Widget) -> None:
        """A click, or the focus otherwise, brings a pane to the front."""
        names = {node.id for node in widget.ancestors_with_self if node.id is not None}
        pane = next((pane for pane in PANES if pane in names), None)
        if isinstance(widget, DeviceCard):
            pane = DEVICES
        if pane is not None and pane != self.front:
            self._to_front(pane)
            self.arrange()

    def _to_front(self, pane: str) -> None:
        self._state = self._state.with_front(pane)
        if pane not in (DEVICES, CHAT):
            self.body.mount_rest()
            self.body.switcher.current = pane

    def focus_selected(self) -> None:
        """The keyboard goes to the selected device."""
        # Not Widget.focus(), which waits its turn behind keys that were typed meanwhile.
        # Scrolled without an animation: each of its steps would be a whole picture over a slow line.
        self._screen.set_focus(self._selected_card, scroll_visible=False)
        self._screen.call_after_refresh(self.scroll_to_selected)

    def scroll_to_selected(self) -> None:
        """The selected device comes into view, where the list was not laid out when it was chosen."""
        if DEVICES in self.shown:
            self._selected_card.scroll_visible(animate=False)

    @property
    def _selected_card(self) -> DeviceCard:
        return self.body.devices.cards[self._screen.known.editor.place]

    # -- zoom and jump -------------------------------------------------------------------------------------

    def zoom(self) -> None:
        """The pane with the keyboard takes the whole body, or gives it back."""
        self._state = replace(self._state, zoomed=not self.zoomed)
        self.arrange()
        self._screen.refresh_bindings()

    def jump(self) -> None:
        """A letter on everything that can have the keyboard."""
        from hettui.ui.dialogs.jump import JumpScreen, Target, lettered

        shown = self.shown
        panes = []
        for pane in tabs(self._screen.keymap, PANES):
            here = self.body.panes[pane.id].region if pane.id in shown else Region()
            panes.append(Target(pane.key, pane.title, here, f"pane:{pane.id}"))
        cards = enumerate(self.body.devices.cards) if DEVICES in shown else ()
        places = [(f"device:{place}", card.view.name, _seen(card)) for place, card in cards]
        self._screen.app.push_screen(JumpScreen(lettered(panes, places)), self._jumped)

    def _jumped(self, goal: str | None) -> None:
        kind, _, name = (goal or "").partition(":")
        if kind == "pane":
            self._screen.show_pane(name)
        elif kind == "device":
            self._screen.choose_device(int(name))

    # -- what is remembered --------------------------------------------------------------------------------

    def _keep_soon(self) -> None:
        if self._state == self._kept or self._backend.read_only is not None:
            return
        self._kept = self._state
        if self._keep_timer is not None:
            self._keep_timer.stop()
        self._keep_timer = self._screen.set_timer(_KEEP_AFTER_S, self._keep_in_thread)

    def _keep_in_thread(self) -> None:
        self._screen.in_thread(self._keep, "panes")

    def _keep(self) -> None:
        self._keep_timer = None
        self._backend.keep_panes(self._kept)

    def close(self) -> None:
        """The screen is left: maybe within half a second of the last change."""
        if self._keep_timer is not None:
            self._keep_timer.stop()
            self._backend.keep_panes(self._kept)


def _seen(card: DeviceCard) -> Region:
    """What is to be seen of it: nothing, where it is scrolled away."""
    scroll = card.parent
    return card.region.intersection(scroll.region) if scroll is not None else card.region  # type: ignore[attr-defined]
