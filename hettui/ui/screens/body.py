"""The widgets of the main screen, made once, and how they lie within one another."""

from __future__ import annotations

from collections.abc import Callable, Collection

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.geometry import Size
from textual.widget import Widget
from textual.widgets import ContentSwitcher

from hettui.domain.cluster.launch import worker_name
from hettui.domain.screen.keymap import Keymap
from hettui.domain.screen.panes import BENCH, CHAT, COMMANDS, EXPLAIN, LOGS, REQUESTS
from hettui.services.backend import Backend
from hettui.ui import keys
from hettui.ui.panes.bench import BenchPane
from hettui.ui.panes.chat import ChatPane
from hettui.ui.panes.commands import CommandsPane
from hettui.ui.panes.devices import DeviceList
from hettui.ui.panes.explain import ExplainPane, Parts
from hettui.ui.panes.logs import LogsPane
from hettui.ui.panes.requests import RequestsPane
from hettui.ui.presenting import contexts, presenter
from hettui.ui.presenting.facts import Facts
from hettui.ui.widgets.key_footer import KeyFooter
from hettui.ui.widgets.layer_bar import LayerBar
from hettui.ui.widgets.pane_tabs import PaneTabs
from hettui.ui.widgets.plan_line import PlanLine
from hettui.ui.widgets.status_header import StatusHeader
from hettui.ui.widgets.time_bar import TimeBar

CSS = """
MainScreen { layers: base; }
MainScreen #body { width: 100%; height: 1fr; }
MainScreen DeviceList { width: 1fr; height: 1fr; }
MainScreen #side { width: 1fr; height: 1fr; }
MainScreen #side > Vertical { width: 1fr; height: 1fr; }
MainScreen ContentSwitcher { height: 1fr; }
MainScreen.-wide DeviceList { width: 46%; min-width: 62; }
MainScreen.-ultra DeviceList { width: 40%; }
MainScreen.-high DeviceList { padding: 1 0 0 0; }
MainScreen.-high LayerBar { height: 2; }
MainScreen.-wide #side, MainScreen.-ultra #side { border-left: vkey $panel; }
MainScreen.-ultra #second { border-left: vkey $panel; }
MainScreen.-tiny LayerBar, MainScreen.-tiny #tabs-top { display: none; }
MainScreen DeviceList.-alone { width: 1fr; }
MainScreen #side.-alone, MainScreen #side.-alone > Vertical { border-left: none; }
"""


class Body:
    """Header, layer bar, devices and panes. Who knows what is shown where is `places.Places`."""

    def __init__(self, backend: Backend, devices: int, second: str, expected: Callable[[], Size]) -> None:
        """So many devices; `second` is the pane that stands beside the chat, `expected` the room of the devices."""
        self.header, self.layer_bar, self.plan_line = StatusHeader(), LayerBar(), PlanLine()
        self.time_bar = TimeBar()
        self.devices = DeviceList(devices, expected, id="device-list")
        self.chat = ChatPane(backend, id=CHAT)
        self.requests = RequestsPane(id=REQUESTS)
        self.logs = LogsPane(id=LOGS)
        self.bench = BenchPane(backend, id=BENCH)
        self.commands = CommandsPane(id=COMMANDS)
        self.explain = ExplainPane(id=EXPLAIN)
        self.panes: dict[str, Widget] = {
            CHAT: self.chat, REQUESTS: self.requests, LOGS: self.logs, BENCH: self.bench, COMMANDS: self.commands,
            EXPLAIN: self.explain,
        }  # fmt: skip
        self.top_tabs = PaneTabs(id="tabs-top")
        self.first_tabs = PaneTabs(id="tabs-first")
        self.second_tabs = PaneTabs(id="tabs-second")
        self.side = Horizontal(id="side")
        self.first, self.second = Vertical(id="first"), Vertical(id="second")
        self.switcher = ContentSwitcher(initial=second)

    def compose(self, shown: Collection[str]) -> ComposeResult:
        """`shown` are the panes that are to be seen. Of the others only the chat is there at once: its prompt may get
        the keyboard."""
        yield self.header
        yield self.layer_bar
        yield self.time_bar
        yield self.plan_line
        yield self.top_tabs
        with Horizontal(id="body"):
            yield self.devices
            with self.side:
                with self.first:
                    yield self.first_tabs
                    yield self.chat
                with self.second:
                    yield self.second_tabs
                    with self.switcher:
                        yield from (pane for name, pane in self.panes.items() if name in shown and name != CHAT)
        yield KeyFooter()

    def mount_rest(self) -> None:
        """The panes that the first frame did without, once it stands, or before one of them shall be seen."""
        rest = [pane for pane in self.panes.values() if not pane.is_attached]
        if not rest or not self.switcher.is_attached:
            return
        for pane in rest:
            pane.display = pane.id == self.switcher.current
        self.switcher.mount_all(rest)

    def bind(self, keymap: Keymap) -> None:
        """Gives the panes their keys, once they stand."""
        # The prompt too: the editor has keys of its own, and what the registry says goes before them.
        for widget in (self.chat, self.chat.prompt):
            keys.bind(widget, keys.bindings(keymap, "chat"))
        keys.bind(self.bench, keys.bindings(keymap, "bench", "reading"))
        keys.bind(self.logs, keys.bindings(keymap, "logs", "reading"))
        for pane in (self.requests, self.commands, self.explain):
            keys.bind(pane, keys.bindings(keymap, "reading"))

    # -- what is drawn: a widget whose view is the same does nothing ---------------------------------------

    def draw(self, facts: Facts, selected: int) -> None:
        """Everything but the panes; `selected` is a place in the list of devices."""
        self.draw_cards(facts, selected)
        self.draw_header(facts)
        self.layer_bar.view = presenter.layer_bar(facts)
        self.logs.colour({worker_name(d): facts.colours.get(d.name, 0) for d in facts.plan.devices})
        self.draw_plan_line(facts)

    def draw_plan_line(self, facts: Facts) -> None:
        self.plan_line.view = presenter.plan_line(facts)

    def draw_panes(self, shown: Collection[str], facts: Facts) -> None:
        """Those that are to be seen, and made of the facts at once."""
        # The pane says all of it: once is enough.
        self.devices.below.display = self.devices.explains and EXPLAIN not in shown
        if COMMANDS in shown:
            self.commands.show(*presenter.commands(facts))
        if REQUESTS in shown:
            self.requests.show(contexts.requests(facts.slots))

    def draw_cards(self, facts: Facts, selected: int) -> None:
        self.devices.show(presenter.cards(facts), selected)
        self.time_bar.view = presenter.time_bar(facts)

    def draw_header(self, facts: Facts) -> None:
        self.header.view = presenter.header(facts)

    def command_lines(self, facts: Facts) -> str:
        """As they are copied."""
        self.commands.show(*presenter.commands(facts))
        return self.commands.text

    def show_explanation(self, parts: Parts) -> None:
        """Wherever it may be read."""
        for pane in (self.devices.below, self.explain):
            pane.show(parts)
