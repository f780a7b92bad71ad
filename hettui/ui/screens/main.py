"""The main screen: everything on it is a view of the last facts that came in, and of the plan.

Its parts know the rest: what is known and planned (`Known`, with the plan's editor), the widgets (`Body`), which of
them are shown (`Places`), and what is done by `Planning`, `Operating`, `ModelChoice`, `Explaining`, `SensorPace` and
`Acting`. Here are Textual's actions and messages, and whom they are passed on to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from textual import events, on
from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding

from hettui.domain.cluster.launch import exposures
from hettui.domain.plan.plan import Plan
from hettui.domain.screen.actions import ACTIONS, Action
from hettui.domain.screen.keymap import Keymap
from hettui.domain.screen.panes import BENCH, CHAT, DEVICES, EXPLAIN, LOGS
from hettui.domain.screen.situation import Situation
from hettui.domain.session.session import Session
from hettui.services.backend import Backend
from hettui.ui import keys
from hettui.ui.drawing.rooms import ULTRA_CELLS, WIDE_CELLS
from hettui.ui.drawing.top_rows import HIGH_ROWS, SHORT_ROWS
from hettui.ui.panes.devices import DeviceList
from hettui.ui.presenting import circumstances, presenter
from hettui.ui.presenting.facts import Facts
from hettui.ui.presenting.known import Known
from hettui.ui.screens import body
from hettui.ui.screens.acting import Acting
from hettui.ui.screens.choosing import ModelChoice
from hettui.ui.screens.explaining import Explaining
from hettui.ui.screens.hearing import Hearing
from hettui.ui.screens.looking import DeviceLook
from hettui.ui.screens.operating import Operating
from hettui.ui.screens.pace import SensorPace
from hettui.ui.screens.places import Places
from hettui.ui.screens.plan_choices import PlanChoices
from hettui.ui.screens.planning import Planning
from hettui.ui.screens.searches import Searches
from hettui.ui.screens.settings import Settings
from hettui.ui.screens.tuning import TuneSearch
from hettui.ui.terminal.toasts import Toasts
from hettui.ui.widgets.device_card import DeviceCard
from hettui.ui.widgets.layer_bar import LayerBar
from hettui.ui.widgets.pane_tabs import PaneTabs


class MainScreen(Hearing):
    """Keys change the plan; `s`, `a` and `x` send it to the engine; events come back as messages."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE_CELLS, "-wide"), (ULTRA_CELLS, "-ultra")]
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (SHORT_ROWS, "-short"), (HIGH_ROWS, "-high")]
    DEFAULT_CSS = body.CSS

    def __init__(self, backend: Backend, session: Session, mark: Callable[[], str] = lambda: "") -> None:
        """`mark` is what the header says beside DEMO; asked at every drawing."""
        super().__init__()
        # Textual finds them out after the first layout, and lays out again: what is known is said at once.
        for cells, points in zip(self.app.size, (self.HORIZONTAL_BREAKPOINTS, self.VERTICAL_BREAKPOINTS), strict=True):
            self.add_class(max(point for point in points if point[0] <= cells)[1], update=False)
        self.keymap = Keymap(session.config.keys)
        self.known = Known(session, backend.engine.snapshot)
        self.places = Places(self, backend)
        self.body = self.places.body
        self.searches = Searches(self)
        self.planning = Planning(self, self.places)
        self.operating = Operating(self, backend)
        self.explaining = Explaining(self, self.body)
        self.model_choice = ModelChoice(self, backend)
        self.tuning = TuneSearch(self, backend)
        self.choices = PlanChoices(self, self.planning)
        self.settings = Settings(self, self.planning)
        self.look = DeviceLook(self, backend)
        self.acting = Acting(self, self.body)
        self.pace = SensorPace(backend.engine)
        self._toasts = Toasts(self)
        self._backend, self._mark = backend, mark
        keys.bind(self, self.own_bindings())

    def compose(self) -> ComposeResult:
        yield from self.body.compose(self.places.shown)

    def on_mount(self) -> None:
        self.body.bind(self.keymap)
        # The sensors are asked once one sees the cards.
        self.call_after_refresh(lambda: self._backend.engine.watch(self.known.plan.devices))
        self.call_after_refresh(self.body.mount_rest)
        self._use_session()
        # What was told before this screen was there is told to its panes now.
        self.take_cluster(self._backend.engine.snapshot)
        self.show_pane(self.front if DEVICES not in self.places.shown else DEVICES)
        for exposure in exposures(self.known.plan.devices):
            self.say(exposure, "warning")

    def on_resize(self) -> None:
        self.places.arrange()

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        # Every widget was styled a moment ago, when it was mounted: the first time again would only cost (50 ms).
        event.refresh_styles = self.stack_updates > 0

    def on_unmount(self) -> None:
        self.places.close()
        self.searches.close()

    # -- for its parts, the palette and help ---------------------------------------------------------------

    def own_bindings(self) -> list[Binding]:
        """The keys of the screen itself."""
        return keys.screen_bindings(self.keymap)

    def offered(self) -> list[Action]:
        """What the palette has on this screen."""
        return [a for a in ACTIONS if not a.fixed and a.place not in ("reading", "recording")]

    @property
    def facts(self) -> Facts:
        """What the screen knows now."""
        devices = self.body.devices
        return self.known.facts(
            history_cells=devices.history_cells or presenter.USUAL_HISTORY_CELLS,
            load_graphs=devices.load_graphs,
            mark="READ-ONLY" if self._backend.read_only else self._mark(),
            closed=bool(self.refusal),
            search=self.searches,
            searched=self.searches.done,
            planning=self.searches.marked,
        )

    @property
    def refusal(self) -> str:
        """Why nothing may be started, stopped or changed here; empty: it may."""
        return self._backend.read_only or ""

    @property
    def front(self) -> str:
        """The pane that has the keyboard."""
        return self.places.front

    @property
    def situation(self) -> Situation:
        """What decides which actions make sense now."""
        chat, bench, devices = self.body.chat, self.body.bench, self.body.devices
        history, short = self.known.editor.history, any(devices.short)
        on_card = isinstance(self.focused, DeviceCard)
        return replace(
            circumstances.situation(self.facts, history, refusal=self.refusal, short=short),
            pane=DEVICES if on_card else "" if self.front == DEVICES else self.front,
            fastest=self.pace.fastest,
            slowest=self.pace.slowest,
            no_chat=chat.why_not or "",
            chat_busy=chat.busy,
            asked=chat.asked,
            answered=chat.answered,
            conversations=chat.has_others,
            bench_busy=bench.busy,
            measured=bench.measured,
            processes_logged=len(self.body.logs.processes),
        )

    @property
    def active_bindings(self) -> dict[str, ActiveBinding]:
        """As Textual's; what cannot be done now is dimmed."""
        return self.acting.dimmed(super().active_bindings)

    def say(self, text: str, severity: str = "information") -> None:
        self._toasts.say(text, severity)

    def remark(self, text: str, severity: str = "information") -> None:
        self._toasts.remark(text, severity)

    def in_thread(self, work: Callable[[], None], group: str, *, exclusive: bool = False) -> None:
        # Left without, Textual describes it by all that it was given: of a session that is a tenth of a megabyte.
        self.run_worker(work, group=group, description=group, exclusive=exclusive, thread=True, exit_on_error=False)

    def show_pane(self, pane: str) -> None:
        if pane == EXPLAIN:
            self.explaining.forget()
        self.places.show(pane)

    def choose_device(self, place: int) -> None:
        """By its place in the list of devices."""
        self.known.editor = self.known.editor.choosing(place)
        self.show_pane(DEVICES)
        self.draw()

    def edit(self, after: Plan, words: str) -> None:
        self.planning.edit(self.known.editor.edited(after, words))

    def use(self, session: Session) -> None:
        plan = session.initial_plan
        if plan is not None:
            self.known.use_model(session, plan)
            self.explaining.forget()
            self._use_session()
            self.draw()

    def _use_session(self) -> None:
        self.body.chat.use_model(self.known.session.title)
        self.body.bench.use_session(self.known.session)

    def use_devices(self, session: Session) -> None:
        self.known.use_devices(session)
        self._backend.engine.watch(self.known.plan.devices)
        self.draw()

    def offer_configuration(self, session: Session) -> None:
        from hettui.ui.dialogs.welcome import offer_configuration

        offer_configuration(self, self._backend, session, self.use)

    # -- drawing -------------------------------------------------------------------------------------------

    def draw(self) -> None:
        """Gives every widget its view; a widget whose view is the same does nothing."""
        self.body.draw(self.facts, self.known.shown.place)
        self._draw_panes()

    def _draw_panes(self) -> None:
        """Those that are made of the plan, where they are to be seen."""
        shown = self.places.shown
        self.body.draw_panes(shown, self.facts)
        if EXPLAIN in shown or (DEVICES in shown and self.body.devices.explains):
            self.explaining.follow()

    def panes_changed(self) -> None:
        self._toasts.keep_off(bottom=CHAT in self.places.shown)
        self._draw_panes()
        self._pace_sensors()

    def _pace_sensors(self) -> None:
        self.pace.keep(seen=DEVICES in self.places.shown or self.known.generating)

    @on(DeviceList.Rearranged)
    def _rearranged(self) -> None:
        self.draw()
        self.call_after_refresh(self.places.scroll_to_selected)

    # -- keys and mouse ------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        self.planning.key(event)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        # The message comes late: by now the next key may have moved the focus on.
        if event.widget is self.focused:
            self.planning.focus_moved(event.widget)

    @on(DeviceCard.SliderMoved)
    def _slider_moved(self, message: DeviceCard.SliderMoved) -> None:
        self.planning.slide(message.card.view.index, message.value, experts=message.experts)

    @on(LayerBar.BoundaryMoved)
    def _boundary_moved(self, message: LayerBar.BoundaryMoved) -> None:
        self.planning.edit(self.known.editor.with_boundary(message.left, message.right, message.layers))

    @on(PaneTabs.Chosen)
    def _pane_chosen(self, message: PaneTabs.Chosen) -> None:
        self.show_pane(message.pane_id)

    # -- actions -------------------------------------------------------------------------------------------

    async def action_perform(self, action: str) -> None:
        """Every key of the registry comes through here."""
        await self.acting.perform(action)

    def action_layers(self, change: int, experts: bool = False) -> None:
        self.planning.shift(change, experts=experts)

    def action_layers_set(self, layers: int) -> None:
        self.planning.edit(self.known.editor.filled(layers))

    def action_even(self) -> None:
        self.planning.edit(self.known.editor.evened())

    def action_propose(self) -> None:
        self.choices.open()

    def action_lock(self) -> None:
        self.planning.edit(self.known.editor.with_lock_toggled())

    def action_order(self, direction: int) -> None:
        self.planning.move(direction)

    def action_undo(self) -> None:
        self.planning.edit(*self.known.editor.undone())

    def action_redo(self) -> None:
        self.planning.edit(*self.known.editor.redone())

    def action_select(self, direction: int) -> None:
        editor = self.known.editor
        self.planning.select(editor.choosing(editor.place + direction))

    def action_start(self, force: bool = False) -> None:
        self.operating.run_plan(force=force)

    action_apply = action_start

    def action_stop(self) -> None:
        self.operating.stop()

    def action_tune(self) -> None:
        self.tuning.ask()

    def action_post_mortem(self) -> None:
        self.operating.tell_what_ended()

    def action_own(self) -> None:
        self.operating.own()

    def action_quit(self) -> None:
        self.operating.quit()

    def action_model(self, draft: bool = False) -> None:
        self.model_choice.choose(draft=draft)

    def action_settings(self) -> None:
        self.settings.open()

    def action_look(self) -> None:
        self.look.begin()

    def action_add_card(self) -> None:
        self.look.add()

    def action_hosts(self) -> None:
        self.model_choice.see_hosts()

    def action_pane(self, pane: str) -> None:
        if pane == self.front == LOGS:
            # Where one is already: vim's key for the beginning.
            self.body.logs.action_move("first")
        self.show_pane(pane)

    def action_pane_step(self, direction: int) -> None:
        self.places.step(direction)

    def action_zoom(self) -> None:
        self.places.zoom()

    def action_jump(self, anywhere: bool = False) -> None:
        """`anywhere`: by the key that is no letter itself."""
        self.places.jump()

    def action_filter(self) -> None:
        if isinstance(self.focused, DeviceCard):
            self.planning.begin_finding()
        else:
            self.body.logs.begin_filter()

    def action_back(self) -> None:
        if self.planning.drop_typed() or self.searches.stop() or (self.front == LOGS and self.body.logs.drop_filter()):
            return
        if self.body.chat.busy and self.front == CHAT:
            self._backend.engine.cancel_chat()
        elif self.body.bench.busy and self.front == BENCH:
            self._backend.engine.cancel_bench()
        else:
            self.show_pane(DEVICES)

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self.body.command_lines(self.facts))
        self.remark("the command lines were sent to the terminal's clipboard: where it takes none, the pane has them")

    def action_rate(self, change: int) -> None:
        self.remark(self.pace.change(change))
        self._pace_sensors()

    def action_help(self) -> None:
        from hettui.ui.dialogs.help import HelpScreen

        self.app.push_screen(HelpScreen(self.acting.help_groups(), self.keymap))
