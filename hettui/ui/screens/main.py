"""The main screen: everything on it is a view of the last facts that came in, and of the plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from textual import events, on, work
from textual.binding import Binding
from textual.timer import Timer
from textual.widget import Widget

from hettui.domain.cluster.launch import exposures
from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.errors import HettuiError
from hettui.domain.plan.aim import Objective
from hettui.domain.plan.plan import History as PlanHistory
from hettui.domain.plan.plan import Plan
from hettui.domain.screen.actions import ACTIONS, BY_ID, Action
from hettui.domain.screen.situation import Situation
from hettui.domain.session.session import Session
from hettui.domain.telemetry.readings import TelemetrySnapshot
from hettui.domain.telemetry.steady import Steady
from hettui.domain.telemetry.why import Finding
from hettui.services.backend import Backend
from hettui.services.events import BenchChanged, ChatEnded, ChatProgressed, ChatWaiting, ParallelChanged
from hettui.ui import keys
from hettui.ui.messages import BenchArrived, ChatArrived, ClusterArrived, LogsArrived, NoticeArrived, TelemetryArrived
from hettui.ui.panes.bench import BenchPane
from hettui.ui.panes.chat import ChatPane
from hettui.ui.panes.commands import CommandsPane
from hettui.ui.panes.devices import DeviceList
from hettui.ui.panes.explain import ExplainPane, Parts
from hettui.ui.panes.logs import LogsPane
from hettui.ui.presenting import circumstances, presenter
from hettui.ui.presenting.presenter import Facts, History
from hettui.ui.screens.places import DEVICES, PANES, PanedScreen
from hettui.ui.terminal.slow_line import FrugalCompositor
from hettui.ui.widgets.device_card import DeviceCard
from hettui.ui.widgets.layer_bar import LayerBar
from hettui.ui.widgets.plan_line import PlanLine
from hettui.ui.widgets.prompt import Prompt
from hettui.ui.widgets.status_header import StatusHeader

if TYPE_CHECKING:
    from hettui.ui.dialogs.welcome import Greeted
    from hettui.ui.drawing.help_text import HelpGroup

INTERVALS_S = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Between two rounds of readings."""
RESTING_INTERVAL_S = 5.0
"""While no card is to be seen: alerts still want to know."""
_EXPLAIN_AFTER_S = 0.2
"""Of quiet: not for every cell of a dragged slider."""


class MainScreen(PanedScreen):
    """Keys change the plan; `s`, `a` and `x` send it to the engine; events come back as messages."""

    def __init__(self, backend: Backend, session: Session, mark: Callable[[], str] = lambda: "") -> None:
        """`mark` is what the header says beside DEMO; asked at every drawing."""
        super().__init__(backend, session)
        keys.bind(self, self.own_bindings())
        self._compositor = FrugalCompositor()
        self._mark = mark
        self._explained: tuple[Plan, Objective] | None = None
        self._explain_timer: Timer | None = None
        self._telemetry: TelemetrySnapshot | None = None
        self._histories: dict[str, History] = {}
        self._rate: float | None = None
        self._interval_s, self._asked_interval_s = 1.0, 1.0
        self._generating = False
        self._why: Steady[Finding] = Steady()

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
        self._draw()
        self.show_pane(self._pane if DEVICES not in self.shown else DEVICES)
        self._backend.begin()
        for exposure in exposures(self._plan.devices):
            self.say(exposure, "warning")

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        # Every widget was styled a moment ago, when it was mounted: the first time again would only cost (50 ms).
        event.refresh_styles = self.stack_updates > 0

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
            history_cells=self.device_list.history_cells or presenter.USUAL_HISTORY_CELLS,
            load_graphs=self.device_list.load_graphs,
            generating=self._generating,
            why=self._why,
            mark="READ-ONLY" if self._backend.read_only else self._mark(),
            finding=self.finding_words(),
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
        from hettui.ui.drawing.help_text import HelpGroup, HelpRow

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
        self._draw_panes()

    def _draw_cards(self, facts: Facts) -> None:
        self.device_list.show(presenter.cards(facts), self._place)

    def _draw_panes(self) -> None:
        """Those that are made of the plan, where they are to be seen."""
        shown = self.shown
        if "commands" in shown:
            self.query_one(CommandsPane).show(*presenter.commands(self.facts))
        explains = "explain" in shown or (DEVICES in shown and self.device_list.explains)
        wanted = self._plan, self._objective
        if explains and self._explained != wanted:
            self._explain_soon(0.0 if self._explained is None else _EXPLAIN_AFTER_S)
            self._explained = wanted

    def _panes_changed(self) -> None:
        self._draw_panes()
        self._pace_sensors()

    @on(DeviceList.Rearranged)
    def _rearranged(self) -> None:
        self._draw()
        self.call_after_refresh(self._scroll_to_selected)

    def show_pane(self, pane: str) -> None:
        if pane == "explain":
            # What was learned since then may change it.
            self._explained = None
        super().show_pane(pane)

    def _explain_soon(self, after_s: float) -> None:
        if self._explain_timer is not None:
            self._explain_timer.stop()
            self._explain_timer = None
        if after_s:
            self._explain_timer = self.set_timer(after_s, self._explain_now)
        else:
            self._explain_now()

    def _explain_now(self) -> None:
        self._explain_timer = None
        self._explain(self.facts)

    @work(thread=True, group="explain", exclusive=True, exit_on_error=False)
    def _explain(self, facts: Facts) -> None:
        """A dozen searches: not between two keys."""
        parts = presenter.explanation(facts)
        self.app.call_later(self._show_explanation, facts, parts)

    def _show_explanation(self, facts: Facts, parts: Parts) -> None:
        if facts.plan == self._plan and facts.objective == self._objective:
            for pane in self.query(ExplainPane):
                pane.show(parts)

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
            if message.snapshot.state.busy and self.post_mortem_is_open:
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
        if not (message.severity == "error" and self.post_mortem_is_open):
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
        before, self._generating = self._generating, isinstance(event, ChatProgressed)
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
        if self._generating is not before or isinstance(event, ChatEnded):
            # What can be done with an answer depends on it.
            self.refresh_bindings()

    @on(BenchArrived)
    def _bench_arrived(self, message: BenchArrived) -> None:
        pane = self.query_one(BenchPane)
        if isinstance(message.event, BenchChanged):
            pane.show_progress(message.event)
        else:
            pane.show_end(message.event)

    # -- everything else -----------------------------------------------------------------------------------

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
        hidden = DEVICES not in self.shown
        wanted_s = max(self._interval_s, RESTING_INTERVAL_S) if hidden else self._interval_s
        if wanted_s != self._asked_interval_s:
            self._asked_interval_s = wanted_s
            self._engine.sample_every(wanted_s)

    def action_help(self) -> None:
        from hettui.ui.dialogs.help import HelpScreen

        self.app.push_screen(HelpScreen(self.help_groups(), self.keymap))

    def after_welcome(self, answer: Greeted | None) -> None:
        """A first run: to the picker, on the model that was shown; None: to this screen."""
        if answer is not None:
            self._choose_model(answer.path, best=True)

    def action_model(self) -> None:
        self._choose_model()

    def _choose_model(self, preferred: str | None = None, *, best: bool = False) -> None:
        from hettui.ui.dialogs.model_picker import ModelPicker

        self.app.push_screen(ModelPicker(self._backend, self._session, preferred, best=best), self._open)

    def _open(self, path: str | None) -> None:
        if path is not None:
            self._open_model(path)

    @work(thread=True, group="model", exclusive=True, exit_on_error=False)
    def _open_model(self, path: str) -> None:
        from hettui.ui.dialogs.welcome import offer_configuration

        first = self._backend.first_run(self._session)
        try:
            session = self._backend.with_model(self._session, path)
        except HettuiError as error:
            self.post_message(NoticeArrived(str(error), "error"))
        else:
            self.app.call_later(self._use, session)
            if first:
                self.app.call_later(offer_configuration, self, self._backend, session, self._use)

    def _use(self, session: Session) -> None:
        plan = session.initial_plan
        if plan is not None:
            self._session, self._plan, self._history = session, plan, PlanHistory()
            self.query_one(ChatPane).use_model(session.title)
            self.query_one(BenchPane).use_session(session)
            self._draw()
