"""The main screen: header, layer bar, device cards, and the panes beside them.

It owns the plan and its history; everything else on it is a view of the last facts that came in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from textual import events, on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import Screen
from textual.widgets import ContentSwitcher, Footer

from hettui.domain.cluster import ClusterSnapshot, ClusterState
from hettui.domain.errors import HettuiError
from hettui.domain.launch import exposures
from hettui.domain.params import OBJECTIVES, Objective
from hettui.domain.plan import History as PlanHistory
from hettui.domain.plan import Plan
from hettui.domain.postmortem import PostMortem
from hettui.domain.rescue import Rescue
from hettui.domain.session import Session
from hettui.domain.split import HOST, Split
from hettui.domain.steady import Steady
from hettui.domain.telemetry import TelemetrySnapshot
from hettui.domain.text import clean
from hettui.domain.why import Finding
from hettui.services.backend import Backend
from hettui.services.events import BenchChanged, ChatProgressed, ChatWaiting, ParallelChanged
from hettui.ui import keys, presenter
from hettui.ui.messages import BenchArrived, ChatArrived, ClusterArrived, LogsArrived, NoticeArrived, TelemetryArrived
from hettui.ui.panes.bench import BenchPane
from hettui.ui.panes.chat import ChatPane
from hettui.ui.panes.commands import CommandsPane
from hettui.ui.panes.explain import ExplainPane, Parts
from hettui.ui.panes.logs import LogsPane
from hettui.ui.presenter import Facts, History
from hettui.ui.screens.ask import ChoiceScreen
from hettui.ui.screens.help import HelpScreen
from hettui.ui.screens.model_picker import ModelPicker
from hettui.ui.screens.post_mortem import Choice, PostMortemScreen
from hettui.ui.screens.welcome import Greeted, offer_configuration
from hettui.ui.slow_line import FrugalCompositor
from hettui.ui.widgets.device_card import DeviceCard
from hettui.ui.widgets.layer_bar import LayerBar
from hettui.ui.widgets.pane_tabs import Pane, PaneTabs
from hettui.ui.widgets.plan_line import PlanLine
from hettui.ui.widgets.prompt import Prompt
from hettui.ui.widgets.status_header import StatusHeader

DEVICES = Pane("devices", "Devices", "esc")
PANES = (
    Pane("chat", "Chat", "c"),
    Pane("logs", "Logs", "g"),
    Pane("bench", "Bench", "b"),
    Pane("commands", "Commands", "v"),
    Pane("explain", "Explain", "e"),
)


_WORDS_FOR_OBJECTIVES: dict[Objective, str] = {
    "balanced": "planner: every device is filled alike; p again aims at latency",
    "latency": "planner: least time per token of one stream; p again aims at throughput",
    "throughput": "planner: for many streams, no device holds the others up; p again aims at the largest context",
    "fit": "planner: the largest context that fits; p again fills all alike",
}


INTERVALS_S = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Between two rounds of readings."""
RESTING_INTERVAL_S = 5.0
"""While no card is to be seen: alerts still want to know."""


class MainScreen(Screen[None]):
    """Keys change the plan; `s`, `a` and `x` send it to the engine; events come back as messages."""

    KEYS = keys.BINDINGS
    """For help and palette."""
    BINDINGS = [*KEYS]
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
        super().__init__()
        self._compositor = FrugalCompositor()
        self._mark = mark
        self._backend = backend
        self._engine = backend.engine
        self._session = session
        self._plan = session.initial_plan or Plan(session.devices, Split((0,) * len(session.devices), 0))
        self._history = PlanHistory()
        self._proposed: Plan | None = None
        """The planner's last proposal, and what it aimed at."""
        self._objective: Objective = "balanced"
        self._order: tuple[str, ...] = tuple(d.name for d in self._plan.devices)
        """Of the devices before the planner was first asked: `balanced` comes back to it."""
        self._explained: tuple[Plan, Objective] | None = None
        self._cluster: ClusterSnapshot = self._engine.snapshot
        self._all_cards: list[DeviceCard] = []
        self._telemetry: TelemetrySnapshot | None = None
        self._histories: dict[str, History] = {}
        self._rate: float | None = None
        self._interval_s, self._asked_interval_s = 1.0, 1.0
        self._generating = False
        self._why: Steady[Finding] = Steady()
        self._typed = ""
        self._selected = 0 if session.devices else HOST
        self._pane = DEVICES.id
        self._without: frozenset[str] = frozenset()
        """Devices that a relaunch leaves out as long as they hold nothing."""
        self._told: PostMortem | None = None
        """The post-mortem that was shown last."""
        self._quitting = False

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
        )

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
        tabs = self.query_one(PaneTabs)
        narrow = self.has_class("-narrow")
        tabs.panes = (DEVICES, *PANES) if narrow else PANES
        switcher = self.query_one(ContentSwitcher)
        tabs.active = self._pane if narrow or self._pane != DEVICES.id else switcher.current or ""

    def _arrange(self) -> None:
        """Narrow: one pane at a time. Set directly and not by style classes, which apply a moment later: the very
        next key must already find its pane shown and focused.
        """
        narrow, on_devices = self.has_class("-narrow"), self._pane == DEVICES.id
        self.set_class(on_devices, "-on-devices")
        self.query_one("#devices").display = on_devices or not narrow
        self.query_one(ContentSwitcher).display = not (on_devices and narrow)
        self._pace_sensors()
        self._draw_tabs()

    def show_pane(self, pane: str) -> None:
        """Brings a pane to the front and the keyboard to it."""
        self._pane = pane
        if pane != DEVICES.id:
            self.query_one(ContentSwitcher).current = pane
        if pane == "commands":
            self.query_one(CommandsPane).show(*presenter.commands(self.facts))
        if pane == "explain":
            self._explained = self._plan, self._objective
            self._explain(self.facts)
        self._arrange()
        if pane == DEVICES.id:
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
            self._selected = event.widget.view.index
            if self._pane != DEVICES.id:
                self._pane = DEVICES.id
                self._arrange()

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

    def _pane_number(self, number: int) -> None:
        panes = (DEVICES, *PANES)
        if 1 <= number <= len(panes):
            self.show_pane(panes[number - 1].id)

    # -- the cluster ---------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("pane", "model") and isinstance(self.focused, Prompt):
            return False
        if action in keys.OF_A_CARD and not isinstance(self.focused, DeviceCard):
            # In the logs, End is the end of the logs: no key there may change a plan that nobody looks at.
            return False
        state = self._cluster.state
        if action in ("start", "apply", "stop", "model") and self._backend.read_only:
            return None
        if action == "post_mortem":
            return True if self._cluster.post_mortem else None
        if action == "start":
            return None if state.busy or state is ClusterState.READY else True
        if action == "apply":
            return True if state is ClusterState.READY and self.facts.differs else None
        if action == "stop":
            idle = state is ClusterState.DOWN or (state is ClusterState.FAILED and not self._cluster.processes)
            return None if idle or state is ClusterState.STOPPING else True
        return True

    def action_start(self, force: bool = False) -> None:
        self._run_plan(force=force)

    def action_apply(self, force: bool = False) -> None:
        self._run_plan(force=force)

    def _run_plan(self, *, force: bool) -> None:
        try:
            request = self._backend.request(self._session, self._plan.without(self._without), force=force)
        except HettuiError as error:
            self.say(str(error), "error")
            return
        # A failure arrives as an event; the future only has to be looked at.
        self._engine.start(request).add_done_callback(lambda done: done.cancelled() or done.exception())
        self._save_plan()

    @work(thread=True, group="save", exit_on_error=False)
    def _save_plan(self) -> None:
        try:
            self._backend.save(self._session, self._plan)
        except HettuiError as error:
            self.post_message(NoticeArrived(str(error), "warning"))

    def action_stop(self) -> None:
        if self._cluster.waiting is not None:
            # Asked before: this cuts it short.
            self._engine.stop()
        else:
            self._ask_and_stop()

    @work(group="stop", exclusive=True, exit_on_error=False)
    async def _ask_and_stop(self) -> None:
        """Whether something is being answered is asked of the server: others may use it as well."""
        running = await asyncio.wrap_future(self._engine.busy())
        if not running:
            self._engine.stop()
            return
        answers = "An answer is" if running == 1 else f"{running} answers are"
        question = f"{answers} still being written. Stop all processes?"
        choices = [("y", "Cut it"), ("w", "Let it end, then stop"), ("n", "Cancel")]
        self.app.push_screen(ChoiceScreen(question, choices), self._stop_as_said)

    def _stop_as_said(self, answer: str | None) -> None:
        if answer == "y":
            self._engine.stop()
        elif answer == "w":
            self._engine.stop(self._session.config.supervision.answer_patience_s)

    def action_post_mortem(self) -> None:
        found = self._cluster.post_mortem
        if found is not None:
            self._told = found
            plan = self._plan.without(self._without)
            leftovers = bool(self._cluster.processes) and self._cluster.state is ClusterState.FAILED
            read_only = self._backend.read_only is not None
            dialog = PostMortemScreen(found, self._session, plan, leftovers=leftovers, read_only=read_only)
            # What the toast would say the dialog says, and it would lie on its buttons.
            self.app.clear_notifications()
            self.app.push_screen(dialog, self._after_post_mortem)

    def _after_post_mortem(self, answer: tuple[Choice, Rescue | None] | None) -> None:
        found = self._cluster.post_mortem or self._told
        match answer:
            case "log", _:
                self.show_pane("logs")
            case "clean", _:
                self._engine.stop()
            case "same", _:
                self._run_plan(force=False)
            case "without", Rescue() as rescue if found is not None and found.device is not None:
                lost = next(d for d in self._plan.devices if d.name == found.device)
                gone = tuple(d for d in self._plan.devices if d.name in self._without and d is not lost)
                split = Split((*rescue.plan.split.layers, *(0 for _ in (lost, *gone))), self._plan.split.total_layers)
                plan = replace(rescue.plan, devices=(*rescue.plan.devices, lost, *gone), split=split)
                self._without |= {lost.name}
                self._edit(lambda _: plan)
                self._run_plan(force=False)

    def say(self, text: str, severity: str = "information") -> None:
        """A toast; the text is clean and never markup."""
        self.notify(clean(text), severity=severity, markup=False, timeout=8)  # type: ignore[arg-type]

    @on(ClusterArrived)
    def _cluster_arrived(self, message: ClusterArrived) -> None:
        before, self._cluster = self._cluster, message.snapshot
        why_not = presenter.why_no_chat(message.snapshot)
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

    async def run_in_chat(self, action: str) -> None:
        """An action of the chat pane from elsewhere: the pane comes to the front with it."""
        self.show_pane("chat")
        await self.query_one(ChatPane).run_action(action)

    def action_pane(self, pane: str) -> None:
        self.show_pane(pane)

    def action_back(self) -> None:
        if self._typed:
            self._typed = ""
            self._draw()
        elif self.query_one(ChatPane).busy and self._pane == "chat":
            self._engine.cancel_chat()
        elif self.query_one(BenchPane).busy and self._pane == "bench":
            self._engine.cancel_bench()
        else:
            self.show_pane(DEVICES.id)

    def action_copy(self) -> None:
        pane = self.query_one(CommandsPane)
        pane.show(*presenter.commands(self.facts))
        self.app.copy_to_clipboard(pane.text)
        self.say("The command lines were sent to the terminal's clipboard")

    def action_rate(self, change: int) -> None:
        """More readings, or fewer: on a slow line, or on a laptop's battery."""
        place = INTERVALS_S.index(self._interval_s) - change
        self._interval_s = INTERVALS_S[min(max(place, 0), len(INTERVALS_S) - 1)]
        self._pace_sensors()
        self.say(f"the sensors are asked every {self._interval_s:g} s")

    def _pace_sensors(self) -> None:
        hidden = not self.query_one("#devices").display
        wanted_s = max(self._interval_s, RESTING_INTERVAL_S) if hidden else self._interval_s
        if wanted_s != self._asked_interval_s:
            self._asked_interval_s = wanted_s
            self._engine.sample_every(wanted_s)

    def action_help(self) -> None:
        self.app.push_screen(HelpScreen(keys.help_rows(self.KEYS)))

    def after_welcome(self, answer: Greeted | None) -> None:
        """A first run: to the picker, on the model that was shown; None: to this screen."""
        if answer is not None:
            self._choose_model(answer.path, best=True)

    def action_model(self) -> None:
        self._choose_model()

    def _choose_model(self, preferred: str | None = None, *, best: bool = False) -> None:
        if not self._cluster.state.busy and self._cluster.state is not ClusterState.READY:
            self.app.push_screen(ModelPicker(self._backend, self._session, preferred, best=best), self._open)
        else:
            self.say("Stop the cluster first (x): another model means a new start", "warning")

    def _open(self, path: str | None) -> None:
        if path is not None:
            self._open_model(path)

    @work(thread=True, group="model", exclusive=True, exit_on_error=False)
    def _open_model(self, path: str) -> None:
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

    def action_quit(self) -> None:
        on_exit = self._session.config.on_exit
        if self._quitting or not self._cluster.processes or self._backend.read_only:
            # Asked for a second time: the rest is stopped without the screen.
            self.app.exit()
        elif on_exit == "ask":
            question = "The cluster is running. What shall become of it?"
            choices = [("s", "Stop and quit"), ("l", "Leave it running"), ("c", "Cancel")]
            self.app.push_screen(ChoiceScreen(question, choices), self._quit_as_said)
        else:
            self._quit_as_said("s" if on_exit == "stop" else "l")

    def _quit_as_said(self, answer: str | None) -> None:
        if answer == "l":
            self._backend.leave_running()
            self.app.exit()
        elif answer == "s":
            # The screen stays until everything has ended: whoever waits sees for what.
            self._quitting = True
            self._engine.stop()
