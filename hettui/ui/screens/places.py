"""What stands where: header, layer bar, devices and panes; which pane is in front, zoom, jump, and what is remembered.

Narrow: one pane at a time under one row of tabs. Wide: the devices, and one pane beside them. Ultra wide: the devices,
the chat, and a second pane. A zoomed pane has it all. The breakpoints are the style sheet's; what is shown is set
directly and not by style classes, which apply a moment later: the very next key must already find its pane shown and
focused.
"""

from __future__ import annotations

from collections.abc import Sequence

from textual import events, on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.geometry import Region, Size
from textual.timer import Timer
from textual.widgets import ContentSwitcher

from hettui.domain.plan.split import HOST
from hettui.domain.screen.actions import BY_ID
from hettui.domain.screen.keymap import Keymap
from hettui.domain.screen.panes import PanesState
from hettui.domain.session.session import Session
from hettui.services.backend import Backend
from hettui.ui.panes.bench import BenchPane
from hettui.ui.panes.chat import ChatPane
from hettui.ui.panes.commands import CommandsPane
from hettui.ui.panes.devices import DeviceList
from hettui.ui.panes.explain import ExplainPane
from hettui.ui.panes.logs import LogsPane
from hettui.ui.screens.operating import OperatingScreen
from hettui.ui.widgets.device_card import DeviceCard
from hettui.ui.widgets.key_footer import KeyFooter
from hettui.ui.widgets.layer_bar import LayerBar
from hettui.ui.widgets.pane_tabs import Pane, PaneTabs
from hettui.ui.widgets.plan_line import PlanLine
from hettui.ui.widgets.prompt import Prompt
from hettui.ui.widgets.status_header import StatusHeader

DEVICES = "devices"
PANES = ("chat", "logs", "bench", "commands", "explain")
_KEEP_AFTER_S = 0.5
WIDE_CELLS, ULTRA_CELLS, HIGH_ROWS, SHORT_ROWS = 110, 200, 28, 10


def tabs(keymap: Keymap, panes: Sequence[str]) -> tuple[Pane, ...]:
    """Names and keys of panes."""
    actions = [BY_ID["back" if pane == DEVICES else f"pane.{pane}"] for pane in panes]
    return tuple(Pane(pane, a.label, keymap.shown(a.id)) for pane, a in zip(panes, actions, strict=True))


class PanedScreen(OperatingScreen):
    """Knows places; what is drawn in them, its heir knows."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE_CELLS, "-wide"), (ULTRA_CELLS, "-ultra")]
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (SHORT_ROWS, "-short"), (HIGH_ROWS, "-high")]
    DEFAULT_CSS = """
    PanedScreen { layers: base; }
    PanedScreen #body { width: 100%; height: 1fr; }
    PanedScreen DeviceList { width: 1fr; height: 1fr; }
    PanedScreen #side { width: 1fr; height: 1fr; }
    PanedScreen #side > Vertical { width: 1fr; height: 1fr; }
    PanedScreen ContentSwitcher { height: 1fr; }
    PanedScreen.-wide DeviceList { width: 46%; min-width: 62; }
    PanedScreen.-ultra DeviceList { width: 40%; }
    PanedScreen.-high DeviceList { padding: 1 0 0 0; }
    PanedScreen.-high LayerBar { height: 2; }
    PanedScreen.-wide #side, PanedScreen.-ultra #side { border-left: vkey $panel; }
    PanedScreen.-ultra #second { border-left: vkey $panel; }
    PanedScreen.-tiny LayerBar, PanedScreen.-tiny #tabs-top { display: none; }
    PanedScreen DeviceList.-alone { width: 1fr; }
    PanedScreen #side.-alone, PanedScreen #side.-alone > Vertical { border-left: none; }
    """

    def __init__(self, backend: Backend, session: Session) -> None:
        super().__init__(backend, session)
        left = backend.panes.known()
        self._pane, self._side, self._second = left.front, left.side, left.second
        self._zoomed = left.zoomed
        self._kept = left
        self._keep_timer: Timer | None = None
        self.device_list = DeviceList(len(self._plan.devices), self._expected_room, id="device-list")

    def compose(self) -> ComposeResult:
        yield StatusHeader()
        yield LayerBar()
        yield PlanLine()
        yield PaneTabs(id="tabs-top")
        with Horizontal(id="body"):
            yield self.device_list
            with Horizontal(id="side"):
                with Vertical(id="first"):
                    yield PaneTabs(id="tabs-first")
                    yield ChatPane(self._backend, id="chat")
                with Vertical(id="second"):
                    yield PaneTabs(id="tabs-second")
                    with ContentSwitcher(initial=self._second):
                        yield LogsPane(id="logs")
                        yield BenchPane(self._backend, id="bench")
                        yield CommandsPane(id="commands")
                        yield ExplainPane(id="explain")
        yield KeyFooter()

    def on_resize(self) -> None:
        self._arrange()

    def _cards(self) -> list[DeviceCard]:
        """In device order, the host's last."""
        return self.device_list.cards

    @property
    def _place(self) -> int:
        """The selected device's in `_cards`."""
        return len(self._plan.devices) if self._selected == HOST else self._selected

    def _expected_room(self) -> Size:
        """Of the devices, as the style sheet will lay them out: what a wrong guess costs is a second drawing."""
        width, height = self.app.size
        # Header, plan line and footer; layer bar, tabs, and the air above the devices.
        rows = height - 3 - (not self._tiny) - (self._narrow and not self._tiny) - 2 * (height >= HIGH_ROWS)
        if self._narrow or self._zoomed:
            return Size(width, rows)
        return Size(width * 40 // 100 if width >= ULTRA_CELLS else max(62, width * 46 // 100), rows)

    # -- what is shown -------------------------------------------------------------------------------------

    @property
    def _narrow(self) -> bool:
        # Not by the style class of the breakpoint, which a screen that was just opened has not got yet.
        return self.app.size.width < WIDE_CELLS

    @property
    def _tiny(self) -> bool:
        return self.app.size.height < SHORT_ROWS

    @property
    def _both(self) -> bool:
        """The chat and a second pane are side by side."""
        return self.app.size.width >= ULTRA_CELLS and not self._zoomed

    @property
    def shown(self) -> frozenset[str]:
        """The ids of the panes that are to be seen."""
        on_devices, alone = self._pane == DEVICES, self._narrow or self._zoomed
        side = {"chat", self._second} if self._both else {self._side}
        if alone:
            return frozenset({DEVICES} if on_devices else side)
        return frozenset({DEVICES, *side})

    def _arrange(self) -> None:
        shown, narrow = self.shown, self._narrow
        full = self._zoomed and self._pane != DEVICES
        self.query_one(LayerBar).display = not full and not self._tiny
        self.query_one(PlanLine).display = not full
        self.device_list.display = DEVICES in shown
        self.device_list.set_class(not shown - {DEVICES}, "-alone")
        side = self.query_one("#side")
        side.display = bool(shown - {DEVICES})
        side.set_class(DEVICES not in shown, "-alone")
        self.query_one("#first").display = "chat" in shown
        self.query_one("#second").display = self._second in shown
        self.query_one("#tabs-top").display = narrow and not self._tiny
        for name in ("#tabs-first", "#tabs-second"):
            self.query_one(name).display = not narrow
        self._draw_tabs()
        self._panes_changed()
        self._keep_soon()

    def _draw_tabs(self) -> None:
        top, first, second = (self.query_one(f"#tabs-{name}", PaneTabs) for name in ("top", "first", "second"))
        both = self._both
        shown = tabs(self.keymap, (DEVICES, *PANES)), tabs(self.keymap, PANES[: 1 if both else None])
        (top.panes, first.panes), second.panes = shown, tabs(self.keymap, PANES[both:])
        top.active, first.active, second.active = self._pane, "chat", self._second
        first.lit, second.lit = self._pane == "chat", self._pane == self._second
        for row in (top, first, second):
            row.note = self.keymap.fill("zoomed: {pane.zoom}") if self._zoomed else ""

    def _panes_changed(self) -> None:
        """Others may be shown now."""
        raise NotImplementedError

    def show_pane(self, pane: str) -> None:
        """Brings a pane to the front and the keyboard to it."""
        self._front(pane)
        self._arrange()
        if pane == DEVICES:
            self._focus_selected()
        else:
            self.set_focus(self.query_one(Prompt) if pane == "chat" else self.query_one(f"#{pane}"))
        self.refresh_bindings()

    def _front(self, pane: str) -> None:
        self._pane = pane
        if pane != DEVICES:
            self._side = pane
            if pane != "chat":
                self._second = pane
                self.query_one(ContentSwitcher).current = pane

    def _focus_selected(self) -> None:
        # Not Widget.focus(), which waits its turn behind keys that were typed meanwhile.
        # Scrolled without an animation: each of its steps would be a whole picture over a slow line.
        self.set_focus(self._cards()[self._place], scroll_visible=False)
        self.call_after_refresh(self._scroll_to_selected)

    def _scroll_to_selected(self) -> None:
        """The selected device comes into view, where the list was not laid out when it was chosen."""
        if DEVICES in self.shown:
            self._cards()[self._place].scroll_visible(animate=False)

    def _devices_are_in_front(self) -> None:
        if self._pane != DEVICES:
            self._pane = DEVICES
            self._arrange()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """A click into a pane brings it to the front."""
        if event.widget is not self.focused:
            return
        names = {node.id for node in event.widget.ancestors_with_self if node.id is not None}
        pane = next((pane for pane in PANES if pane in names), None)
        if pane is not None and pane != self._pane:
            self._front(pane)
            self._arrange()

    def _pane_number(self, number: int) -> None:
        panes = (DEVICES, *PANES)
        if 1 <= number <= len(panes):
            self.show_pane(panes[number - 1])

    @on(PaneTabs.Chosen)
    def _pane_chosen(self, message: PaneTabs.Chosen) -> None:
        self.show_pane(message.pane_id)

    # -- zoom and jump -------------------------------------------------------------------------------------

    def action_zoom(self) -> None:
        """The pane with the keyboard takes the whole body, or gives it back."""
        self._zoomed = not self._zoomed
        self._arrange()
        self.refresh_bindings()

    def action_jump(self, anywhere: bool = False) -> None:
        """A letter on everything that can have the keyboard; `anywhere`: by the key that is no letter itself."""
        from hettui.ui.dialogs.jump import JumpScreen, Target, lettered

        shown = self.shown
        panes = []
        for pane in tabs(self.keymap, PANES):
            here = self.query_one(f"#{pane.id}").region if pane.id in shown else Region()
            panes.append(Target(pane.key, pane.title, here, f"pane:{pane.id}"))
        cards = enumerate(self._cards()) if DEVICES in shown else ()
        places = [(f"device:{place}", card.view.name, _seen(card)) for place, card in cards]
        self.app.push_screen(JumpScreen(lettered(panes, places)), self._jumped)

    def _jumped(self, goal: str | None) -> None:
        kind, _, name = (goal or "").partition(":")
        if kind == "pane":
            self.show_pane(name)
        elif kind == "device":
            self._choose_device(int(name))

    def _choose_device(self, place: int) -> None:
        self._selected = HOST if place == len(self._plan.devices) else place
        self._typed = ""
        self.show_pane(DEVICES)
        self._draw()

    # -- what is remembered --------------------------------------------------------------------------------

    def _keep_soon(self) -> None:
        state = PanesState(self._pane, self._side, self._second, self._zoomed)
        if state == self._kept or self._backend.read_only is not None:
            return
        self._kept = state
        if self._keep_timer is not None:
            self._keep_timer.stop()
        self._keep_timer = self.set_timer(_KEEP_AFTER_S, self._keep_panes)

    @work(thread=True, group="panes", exit_on_error=False)
    def _keep_panes(self) -> None:
        self._keep_timer = None
        self._backend.keep_panes(self._kept)

    def on_unmount(self) -> None:
        if self._keep_timer is not None:
            # Left within half a second of the last change.
            self._keep_timer.stop()
            self._backend.keep_panes(self._kept)


def _seen(card: DeviceCard) -> Region:
    """What is to be seen of it: nothing, where it is scrolled away."""
    scroll = card.parent
    return card.region.intersection(scroll.region) if scroll is not None else card.region  # type: ignore[attr-defined]
