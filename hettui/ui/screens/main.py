"""The main screen: header, layer bar, device cards, and the panes beside them.

It owns the plan and its history; everything else on it is a view of the last facts that came in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from textual import events, on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import Screen
from textual.widgets import ContentSwitcher, Footer

from hettui.domain.cluster import ClusterSnapshot, ClusterState
from hettui.domain.errors import HettuiError
from hettui.domain.params import OBJECTIVES, Objective
from hettui.domain.plan import History as PlanHistory
from hettui.domain.plan import Plan
from hettui.domain.session import Session
from hettui.domain.split import HOST, Split
from hettui.domain.telemetry import TelemetrySnapshot
from hettui.domain.text import clean
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
from hettui.ui.screens.ask import ChoiceScreen, PathScreen
from hettui.ui.screens.help import HelpScreen
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


class MainScreen(Screen[None]):
    """Keys change the plan; `s`, `a` and `x` send it to the engine; events come back as messages."""

    BINDINGS = [*keys.BINDINGS]
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
    MainScreen.-narrow #body { layout: vertical; }
    MainScreen.-narrow #devices { width: 1fr; }
    MainScreen.-narrow.-on-devices #side { height: 1; }
    """

    def __init__(self, backend: Backend, session: Session) -> None:
        super().__init__()
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
        self._telemetry: TelemetrySnapshot | None = None
        self._histories: dict[str, History] = {}
        self._rate: float | None = None
        self._typed = ""
        self._selected = 0 if session.devices else HOST
        self._pane = DEVICES.id

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

    def on_resize(self) -> None:
        self.call_after_refresh(self._arrange)

    def _cards(self) -> list[DeviceCard]:
        return list(self.query(DeviceCard))

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
        )

    # -- drawing -------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        """Gives every widget its view; a widget whose view is the same does nothing."""
        facts = self.facts
        for card, view in zip(self._cards(), presenter.cards(facts), strict=True):
            card.view = view
        self.query_one(StatusHeader).view = presenter.header(facts)
        self.query_one(LayerBar).view = presenter.layer_bar(facts)
        self.query_one(PlanLine).view = presenter.plan_line(facts)
        if self._pane == "commands":
            self.query_one(CommandsPane).show(*presenter.commands(facts))
        if self._pane == "explain" and self._explained != (self._plan, self._objective):
            self._explained = self._plan, self._objective
            self._explain(facts)
        self._draw_tabs()

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
        if action == "start":
            return None if state.busy or state is ClusterState.READY else True
        if action == "apply":
            return True if state is ClusterState.READY and self.facts.differs else None
        if action == "stop":
            return None if state in (ClusterState.DOWN, ClusterState.STOPPING) else True
        return True

    def action_start(self, force: bool = False) -> None:
        self._run_plan(force=force)

    def action_apply(self, force: bool = False) -> None:
        self._run_plan(force=force)

    def _run_plan(self, *, force: bool) -> None:
        try:
            request = self._backend.request(self._session, self._plan, force=force)
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
        chat = self.query_one(ChatPane)
        if chat.busy:
            question = "An answer is still being written. Stop all processes now?"
            self.app.push_screen(ChoiceScreen(question, [("y", "Stop"), ("n", "Cancel")]), self._stop_if_yes)
        else:
            self._engine.stop()

    def _stop_if_yes(self, answer: str | None) -> None:
        if answer == "y":
            self._engine.stop()

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
            self.refresh_bindings()
        self._draw()

    @on(LogsArrived)
    def _logs_arrived(self, message: LogsArrived) -> None:
        self.query_one(LogsPane).add(message.process, message.lines)

    @on(NoticeArrived)
    def _notice_arrived(self, message: NoticeArrived) -> None:
        self.say(message.text, message.severity)

    @on(TelemetryArrived)
    def _telemetry_arrived(self, message: TelemetryArrived) -> None:
        self._telemetry = message.snapshot
        for name, sample in message.snapshot.samples.items():
            history = self._histories.setdefault(name, History())
            now_s = message.snapshot.monotonic_s
            history.loads.push(now_s, sample.utilisation_percent)
            history.temperatures.push(now_s, sample.temperature_c)
            history.last_seen_s = now_s
        self._draw()

    # -- chat ----------------------------------------------------------------------------------------------

    @on(ChatArrived)
    def _chat_arrived(self, message: ChatArrived) -> None:
        pane = self.query_one(ChatPane)
        event = message.event
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

    def action_help(self) -> None:
        self.app.push_screen(HelpScreen(keys.help_rows()))

    def action_model(self) -> None:
        if not self._cluster.state.busy and self._cluster.state is not ClusterState.READY:
            current = self._session.config.model_path or ""
            self.app.push_screen(PathScreen("The model: a GGUF file, or any part of a split one", current), self._open)
        else:
            self.say("Stop the cluster first (x): another model means a new start", "warning")

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

    def action_quit(self) -> None:
        if not self._cluster.processes:
            self.app.exit()
            return
        question = "The cluster is running. Leaving stops its processes."
        self.app.push_screen(ChoiceScreen(question, [("s", "Stop and quit"), ("c", "Cancel")]), self._quit_if_stop)

    def _quit_if_stop(self, answer: str | None) -> None:
        if answer == "s":
            self.app.exit()
