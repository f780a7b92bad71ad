"""The main screen: header, layer bar, device cards, and the panes beside them.

It owns the plan and its history; everything else on it is a view of the last facts that came in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import ContentSwitcher, Footer

from hettui.domain.actions import ACTIONS, BY_ID, Action
from hettui.domain.cluster import ClusterState
from hettui.domain.errors import HettuiError
from hettui.domain.keymap import Keymap
from hettui.domain.launch import exposures
from hettui.domain.params import Objective
from hettui.domain.plan import History as PlanHistory
from hettui.domain.plan import Plan
from hettui.domain.session import Session
from hettui.domain.situation import Situation
from hettui.domain.split import HOST
from hettui.domain.steady import Steady
from hettui.domain.telemetry import TelemetrySnapshot
from hettui.domain.why import Finding
from hettui.services.backend import Backend
from hettui.services.events import BenchChanged, ChatProgressed, ChatWaiting, ParallelChanged
from hettui.ui import circumstances, keys, presenter
from hettui.ui.help_text import HelpGroup, HelpRow
from hettui.ui.messages import BenchArrived, ChatArrived, ClusterArrived, LogsArrived, NoticeArrived, TelemetryArrived
from hettui.ui.panes.bench import BenchPane
from hettui.ui.panes.chat import ChatPane
from hettui.ui.panes.commands import CommandsPane
from hettui.ui.panes.explain import ExplainPane, Parts
from hettui.ui.panes.logs import LogsPane
from hettui.ui.presenter import Facts, History
from hettui.ui.screens.ask import PathScreen
from hettui.ui.screens.help import HelpScreen
from hettui.ui.screens.operating import OperatingScreen
from hettui.ui.screens.post_mortem import PostMortemScreen
from hettui.ui.slow_line import FrugalCompositor
from hettui.ui.widgets.device_card import DeviceCard
from hettui.ui.widgets.layer_bar import LayerBar
from hettui.ui.widgets.pane_tabs import Pane, PaneTabs
from hettui.ui.widgets.plan_line import PlanLine
from hettui.ui.widgets.prompt import Prompt
from hettui.ui.widgets.status_header import StatusHeader

PANES = ("devices", "chat", "logs", "bench", "commands", "explain")


def tabs(keymap: Keymap, panes: Sequence[str] = PANES) -> tuple[Pane, ...]:
    """Names and keys of panes."""
    actions = [BY_ID["back" if pane == "devices" else f"pane.{pane}"] for pane in panes]
    return tuple(Pane(pane, a.label, keymap.shown(a.id)) for pane, a in zip(panes, actions, strict=True))


INTERVALS_S = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Between two rounds of readings."""
RESTING_INTERVAL_S = 5.0
"""While no card is to be seen: alerts still want to know."""


class MainScreen(OperatingScreen):
    """Keys change the plan; `s`, `a` and `x` send it to the engine; events come back as messages."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide"), (180, "-ultra")]
    DEFAULT_CSS = """
    MainScreen { layers: base; }
    MainScreen #body { width: 100%; height: 1fr; }
    MainScreen #devices { height: 1fr; }
    MainScreen #side { width: 1fr; height: 1fr; }
    MainScreen ContentSwitcher { height: 1fr; }
    MainScreen.-wide #devices { width: 62; padding: 1 0 0 0; }
    MainScreen.-ultra #devices { width: 84; padding: 1 0 0 0; }
    MainScreen.-wide #side, MainScreen.-ultra #side { border-left: vkey $panel; }
    MainScreen.-wide DeviceCard, MainScreen.-ultra DeviceCard { margin-bottom: 1; }
    MainScreen.-wide DeviceCard.-gpu, MainScreen.-ultra DeviceCard.-gpu { height: 6; }
    MainScreen.-narrow #body { layout: vertical; }
    MainScreen.-narrow #devices { width: 1fr; }
    MainScreen.-narrow.-on-devices #side { height: 1; }
    """

    def __init__(self, backend: Backend, session: Session, mark: Callable[[], str] = lambda: "") -> None:
        """`mark` is what the header says beside DEMO; asked at every drawing."""
        super().__init__(backend, session)
        keys.bind(self, self.own_bindings())
        self._compositor = FrugalCompositor()
        self._mark = mark
        self._explained: tuple[Plan, Objective] | None = None
        self._all_cards: list[DeviceCard] = []
        self._telemetry: TelemetrySnapshot | None = None
        self._histories: dict[str, History] = {}
        self._rate: float | None = None
        self._interval_s, self._asked_interval_s = 1.0, 1.0
        self._generating = False
        self._why: Steady[Finding] = Steady()
        self._pane = "devices"

    # -- composition ---------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield StatusHeader()
        yield LayerBar()
        yield PlanLine()
        with Horizontal(id="body"):
            with VerticalScroll(id="devices", can_focus=False):
                for _ in range(len(self._plan.devices) + 1):
                    yield DeviceCard()
            with Vertical(id="side"):
                yield PaneTabs()
                with ContentSwitcher(initial="chat"):
                    yield ChatPane(self._backend, id="chat")
                    yield LogsPane(id="logs")
                    yield BenchPane(self._backend, id="bench")
                    yield CommandsPane(id="commands")
                    yield ExplainPane(id="explain")
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        # The prompt too: the editor has keys of its own, and what the registry says goes before them.
        for widget in (ChatPane, Prompt):
            keys.bind(self.query_one(widget), keys.bindings(self.keymap, "chat"))
        keys.bind(self.query_one(BenchPane), keys.bindings(self.keymap, "bench", "reading"))
        keys.bind(self.query_one(LogsPane), keys.bindings(self.keymap, "logs", "reading"))
        for pane in (CommandsPane, ExplainPane):
            keys.bind(self.query_one(pane), keys.bindings(self.keymap, "reading"))
        self._engine.watch(self._plan.devices)
        self.query_one(ChatPane).use_model(self._session.title)
        self.query_one(BenchPane).use_session(self._session)
        self._arrange()
        self._draw()
        self._focus_selected()
        self._backend.begin()
        for exposure in exposures(self._plan.devices):
            self.say(exposure, "warning")

    def on_resize(self) -> None:
        self.call_after_refresh(self._arrange)

    def _cards(self) -> list[DeviceCard]:
        """In device order, the host's last."""
        if not self._all_cards:
            self._all_cards = list(self.query(DeviceCard))
        return self._all_cards

    def own_bindings(self) -> list[Binding]:
        """The keys of the screen itself."""
        return keys.screen_bindings(self.keymap)

    @property
    def facts(self) -> Facts:
        """What the screen knows now."""
        return Facts(
            self._session,
            self._plan,
            self._cluster,
            self._telemetry,
            self._histories,
            self._rate,
            self._typed,
            self._selected,
            self._objective,
            self._cards()[0].history_cells or presenter.USUAL_HISTORY_CELLS,
            self._generating,
            self._why,
            "READ-ONLY" if self._backend.read_only else self._mark(),
            self.finding_words(),
        )

    # -- actions -------------------------------------------------------------------------------------------

    @property
    def refusal(self) -> str:
        """Why nothing may be started, stopped or changed here; empty: it may."""
        return self._backend.read_only or ""

    @property
    def situation(self) -> Situation:
        chat, bench = self.query_one(ChatPane), self.query_one(BenchPane)
        on_card = isinstance(self.focused, DeviceCard)
        short = any(card.view.short_bytes > 0 for card in self._cards())
        return replace(
            circumstances.situation(self.facts, self._history, refusal=self.refusal, short=short),
            pane="devices" if on_card else "" if self._pane == "devices" else self._pane,
            fastest=self._interval_s == INTERVALS_S[0],
            slowest=self._interval_s == INTERVALS_S[-1],
            no_chat=chat.why_not or "",
            chat_busy=chat.busy,
            asked=chat.asked,
            answered=chat.answered,
            conversations=chat.has_others,
            bench_busy=bench.busy,
            measured=bench.measured,
            processes_logged=len(self.query_one(LogsPane).processes),
        )

    def actor(self, action: Action) -> Widget:
        panes: dict[str, type[Widget]] = {"chat": ChatPane, "bench": BenchPane, "logs": LogsPane}
        return self.query_one(panes[action.place]) if action.place in panes else self

    def refuse(self, action: Action, reason: str) -> None:
        """In the chat and the bench where one looks; else a toast."""
        if action.place == "chat" and self._pane == "chat":
            self.query_one(ChatPane).status(reason)
        elif action.place == "bench" and self._pane == "bench":
            self.query_one(BenchPane).status(reason)
        else:
            super().refuse(action, reason)

    async def perform_anywhere(self, action: str) -> None:
        """As by its key where the key works: the pane of an action comes to the front with it."""
        place = BY_ID[action].place
        if place == "card" or place in PANES:
            self.show_pane("devices" if place == "card" else place)
        await self.action_perform(action)

    def why_not_anywhere(self, action: Action) -> str | None:
        """Why `perform_anywhere` would not do it."""
        situation = replace(self.situation, pane="devices") if action.place == "card" else self.situation
        reason = action.why_not(situation)
        return None if reason is None else self.keymap.fill(reason)

    def help_groups(self) -> list[HelpGroup]:
        """All keys that work on this screen; those of the pane in front first."""
        offered = {action.id for action in self.offered()}
        groups: dict[str, list[HelpRow]] = {}
        for action in ACTIONS:
            fixed = action.fixed or action.place == "reading"
            if action.id in offered or (fixed and (action.place != "chat" or "chat.new" in offered)):
                reason = self.why_not_anywhere(action) or ""
                row = HelpRow(self.keymap.all_shown(action.id), action.sentence, reason)
                groups.setdefault(action.group, []).append(row)
        groups["Devices"].insert(2, HelpRow("a number, ⏎", "sets the layers; 0 alone empties the device"))
        groups["Panes"].append(HelpRow("1 … 6", "choose a pane, where no device is selected"))
        front = {"devices": [], "commands": ["Reading"], "explain": ["Reading"]}.get(
            self._pane, [self._pane.capitalize(), "Reading"]
        )
        if "Recording" in groups:
            front.insert(0, "Recording")
        order = [*front, *(name for name in groups if name not in front)]
        return [HelpGroup(name, tuple(groups[name])) for name in order if name in groups]

    def offered(self) -> list[Action]:
        """What the palette has on this screen."""
        return [a for a in ACTIONS if not a.fixed and a.place not in ("reading", "recording")]

    # -- drawing -------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        """Gives every widget its view; a widget whose view is the same does nothing."""
        facts = self.facts
        self._draw_cards(facts)
        self.query_one(StatusHeader).view = presenter.header(facts)
        self.query_one(LayerBar).view = presenter.layer_bar(facts)
        self.query_one(PlanLine).view = presenter.plan_line(facts)
        if self._pane == "commands":
            self.query_one(CommandsPane).show(*presenter.commands(facts))
        if self._pane == "explain" and self._explained != (self._plan, self._objective):
            self._explained = self._plan, self._objective
            self._explain(facts)
        self._draw_tabs()

    def _draw_cards(self, facts: Facts) -> None:
        for card, view in zip(self._cards(), presenter.cards(facts), strict=True):
            card.view = view

    def _draw_tabs(self) -> None:
        row = self.query_one(PaneTabs)
        narrow = self.has_class("-narrow")
        row.panes = tabs(self.keymap, PANES if narrow else PANES[1:])
        switcher = self.query_one(ContentSwitcher)
        row.active = self._pane if narrow or self._pane != "devices" else switcher.current or ""

    def _arrange(self) -> None:
        """Narrow: one pane at a time. Set directly and not by style classes, which apply a moment later: the very
        next key must already find its pane shown and focused.
        """
        narrow, on_devices = self.has_class("-narrow"), self._pane == "devices"
        self.set_class(on_devices, "-on-devices")
        self.query_one("#devices").display = on_devices or not narrow
        self.query_one(ContentSwitcher).display = not (on_devices and narrow)
        self._pace_sensors()
        self._draw_tabs()

    def show_pane(self, pane: str) -> None:
        """Brings a pane to the front and the keyboard to it."""
        self._pane = pane
        if pane != "devices":
            self.query_one(ContentSwitcher).current = pane
        if pane == "commands":
            self.query_one(CommandsPane).show(*presenter.commands(self.facts))
        if pane == "explain":
            self._explained = self._plan, self._objective
            self._explain(self.facts)
        self._arrange()
        if pane == "devices":
            self._focus_selected()
        else:
            self.set_focus(self.query_one(Prompt) if pane == "chat" else self.query_one(f"#{pane}"))
        self.refresh_bindings()

    @work(thread=True, group="explain", exclusive=True, exit_on_error=False)
    def _explain(self, facts: Facts) -> None:
        """A dozen searches: not between two keys."""
        parts = presenter.explanation(facts)
        self.app.call_later(self._show_explanation, facts, parts)

    def _show_explanation(self, facts: Facts, parts: Parts) -> None:
        if facts.plan == self._plan and facts.objective == self._objective:
            self.query_one(ExplainPane).show(parts)

    def _focus_selected(self) -> None:
        # Not Widget.focus(), which waits its turn behind keys that were typed meanwhile.
        index = len(self._plan.devices) if self._selected == HOST else self._selected
        self.set_focus(self._cards()[index])

    def _devices_are_in_front(self) -> None:
        if self._pane != "devices":
            self._pane = "devices"
            self._arrange()

    def _pane_number(self, number: int) -> None:
        if 1 <= number <= len(PANES):
            self.show_pane(PANES[number - 1])

    # -- the cluster ---------------------------------------------------------------------------------------

    @on(ClusterArrived)
    def _cluster_arrived(self, message: ClusterArrived) -> None:
        before, self._cluster = self._cluster, message.snapshot
        reason = presenter.why_no_chat(message.snapshot)
        why_not = None if reason is None else self.keymap.fill(reason)
        self.query_one(ChatPane).allow(why_not)
        self.query_one(BenchPane).allow(message.snapshot, why_not)
        if before.state is not message.snapshot.state:
            self._why = Steady()  # what was slow before is another cluster's
            self.refresh_bindings()
            if message.snapshot.state.busy and isinstance(self.app.screen, PostMortemScreen):
                self.app.screen.dismiss(None)
        self._draw()
        found = message.snapshot.post_mortem
        resting = message.snapshot.state in (ClusterState.DOWN, ClusterState.FAILED)
        if self._quitting and resting:
            self.app.exit()
        elif found is not None and found is not self._told and message.snapshot.state is ClusterState.FAILED:
            self.action_post_mortem()

    @on(LogsArrived)
    def _logs_arrived(self, message: LogsArrived) -> None:
        self.query_one(LogsPane).add(message.process, message.lines)

    @on(NoticeArrived)
    def _notice_arrived(self, message: NoticeArrived) -> None:
        if not (message.severity == "error" and isinstance(self.app.screen, PostMortemScreen)):
            self.say(message.text, message.severity)
        if message.alert and self._session.config.bell:
            self.app.bell()

    @on(TelemetryArrived)
    def _telemetry_arrived(self, message: TelemetryArrived) -> None:
        self._telemetry = message.snapshot
        for name, sample in message.snapshot.samples.items():
            self._histories.setdefault(name, History()).push(message.snapshot.monotonic_s, sample)
        before = self._fit()
        self._why = presenter.why(self.facts)
        self._draw_cards(self.facts)
        if self._fit() != before:
            # A launch has taught a device's overhead, and with it what fits: not the cards' matter alone.
            self._draw()

    def _fit(self) -> list[bool]:
        return [card.view.short_bytes > 0 for card in self._cards()]

    # -- chat ----------------------------------------------------------------------------------------------

    @on(ChatArrived)
    def _chat_arrived(self, message: ChatArrived) -> None:
        pane = self.query_one(ChatPane)
        event = message.event
        self._generating = isinstance(event, ChatProgressed)
        if isinstance(event, ChatProgressed):
            pane.show_progress(event)
            if event.tokens > 1 and event.elapsed_s > 0:
                self._rate = (event.tokens - 1) / event.elapsed_s
        elif isinstance(event, ChatWaiting):
            pane.show_waiting(event)
        elif isinstance(event, ParallelChanged):
            pane.show_parallel(event)
        else:
            pane.show_end(event)
            if event.timings and event.timings.generated_per_second is not None:
                self._rate = event.timings.generated_per_second
        self.query_one(StatusHeader).view = presenter.header(self.facts)

    @on(BenchArrived)
    def _bench_arrived(self, message: BenchArrived) -> None:
        pane = self.query_one(BenchPane)
        if isinstance(message.event, BenchChanged):
            pane.show_progress(message.event)
        else:
            pane.show_end(message.event)

    # -- everything else -----------------------------------------------------------------------------------

    @on(PaneTabs.Chosen)
    def _pane_chosen(self, message: PaneTabs.Chosen) -> None:
        self.show_pane(message.pane_id)

    def action_pane(self, pane: str) -> None:
        if pane == self._pane == "logs":
            # Where one is already: vim's key for the beginning.
            self.query_one(LogsPane).action_move("first")
        self.show_pane(pane)

    def action_filter(self) -> None:
        if isinstance(self.focused, DeviceCard):
            self.begin_finding()
        else:
            self.query_one(LogsPane).begin_filter()

    def action_back(self) -> None:
        if self._finding is not None:
            self.end_finding(stay=False)
        elif self._typed:
            self._typed = ""
            self._draw()
        elif self._pane == "logs" and self.query_one(LogsPane).drop_filter():
            return
        elif self.query_one(ChatPane).busy and self._pane == "chat":
            self._engine.cancel_chat()
        elif self.query_one(BenchPane).busy and self._pane == "bench":
            self._engine.cancel_bench()
        else:
            self.show_pane("devices")

    def action_copy(self) -> None:
        pane = self.query_one(CommandsPane)
        pane.show(*presenter.commands(self.facts))
        self.app.copy_to_clipboard(pane.text)
        self.remark("the command lines were sent to the terminal's clipboard: where it takes none, the pane has them")

    def action_rate(self, change: int) -> None:
        """More readings, or fewer: on a slow line, or on a laptop's battery."""
        place = INTERVALS_S.index(self._interval_s) - change
        self._interval_s = INTERVALS_S[min(max(place, 0), len(INTERVALS_S) - 1)]
        self._pace_sensors()
        self.remark(f"the sensors are asked every {self._interval_s:g} s")

    def _pace_sensors(self) -> None:
        hidden = not self.query_one("#devices").display
        wanted_s = max(self._interval_s, RESTING_INTERVAL_S) if hidden else self._interval_s
        if wanted_s != self._asked_interval_s:
            self._asked_interval_s = wanted_s
            self._engine.sample_every(wanted_s)

    def action_help(self) -> None:
        self.app.push_screen(HelpScreen(self.help_groups(), self.keymap))

    def action_model(self) -> None:
        current = self._session.config.model_path or ""
        self.app.push_screen(PathScreen("The model: a GGUF file, or any part of a split one", current), self._open)

    def _open(self, path: str | None) -> None:
        if path is not None:
            self._open_model(path)

    @work(thread=True, group="model", exclusive=True, exit_on_error=False)
    def _open_model(self, path: str) -> None:
        try:
            session = self._backend.with_model(self._session, path)
        except HettuiError as error:
            self.post_message(NoticeArrived(str(error), "error"))
        else:
            self.app.call_later(self._use, session)

    def _use(self, session: Session) -> None:
        plan = session.initial_plan
        if plan is not None:
            self._session, self._plan, self._history = session, plan, PlanHistory()
            self.query_one(ChatPane).use_model(session.title)
            self.query_one(BenchPane).use_session(session)
            self._draw()
