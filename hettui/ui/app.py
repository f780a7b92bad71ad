"""The Textual app: opens the session, carries the engine's events to the main screen, and knows the themes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.message import Message
from textual.screen import Screen
from textual.theme import Theme
from textual.widgets import Static

from hettui.domain.errors import HettuiError
from hettui.domain.screen.terminal import Terminal
from hettui.domain.session.session import Session
from hettui.ports import ThemeFiles, ThemeShelf
from hettui.services.backend import Backend
from hettui.services.events import (
    Alert,
    BenchChanged,
    BenchEnded,
    ChatEnded,
    ChatProgressed,
    ChatWaiting,
    ClusterChanged,
    Event,
    LogLines,
    Notice,
    OwnerLeft,
    ParallelChanged,
    PlaybackMoved,
    Rewound,
    SlotsChanged,
    TelemetryUpdated,
    TuneChanged,
    TuneEnded,
)
from hettui.ui.colours.theme_file import DEFAULT_THEME
from hettui.ui.colours.theme_set import ThemeSet
from hettui.ui.colours.themes import THEME_VARIABLE_DEFAULTS
from hettui.ui.messages import (
    BenchArrived,
    ChatArrived,
    ClusterArrived,
    DevicesChanged,
    LogsArrived,
    NoticeArrived,
    OwnerGone,
    PlaybackArrived,
    RewoundArrived,
    SlotsArrived,
    TelemetryArrived,
    TuneArrived,
)
from hettui.ui.screens.main import MainScreen
from hettui.ui.terminal.app import TerminalApp
from hettui.ui.terminal.begun import Begun
from hettui.ui.terminal.collector import LOOK_S
from hettui.ui.terminal.output import Output
from hettui.ui.widgets.in_roles import InRoles

if TYPE_CHECKING:
    from textual.command import Provider

    from hettui.services.recording.replay import Player
    from hettui.ui.dialogs.themes import ThemeScreen
    from hettui.ui.dialogs.welcome import Greeted


def _action_commands() -> type[Provider]:
    """Imported when the palette opens."""
    from hettui.ui.palette import ActionCommands

    return ActionCommands


class HettuiApp(TerminalApp[HettuiError | None]):
    """Returns the error for which nothing could be opened, or None."""

    TITLE = "hettui"
    COMMANDS = {_action_commands}
    BINDINGS = [
        # Stays bound whatever a keymap says: there is always a way out.
        Binding("ctrl+q", "leave", "Quit", show=False, priority=True, id="app.quit"),
        Binding("ctrl+c", "leave", "Quit", show=False, priority=True, id="app.interrupt"),
    ]
    CSS = """
    * {
        scrollbar-color: $hettui-foreign; scrollbar-color-hover: $foreground; scrollbar-color-active: $primary;
        scrollbar-background: $background; scrollbar-background-hover: $background;
        scrollbar-background-active: $background; scrollbar-corner-color: $background;
    }
    VerticalScroll { scrollbar-size-vertical: 1; }
    Input > .input--selection { background: $primary; color: $hettui-primary-text; }
    SearchIcon { display: none; }
    CommandPalette > .command-palette--help-text { color: $hettui-muted; text-style: not bold; }
    CommandPalette CommandList > .option-list--option-highlighted { background: $panel; color: $foreground; }
    Input > .input--placeholder, Input > .input--suggestion { color: $hettui-muted; }
    """
    DEFAULT_CSS = """
    #opening { width: 1fr; height: 1fr; content-align: center middle; color: $hettui-muted; }
    """

    def __init__(
        self,
        backend: Backend,
        themes: ThemeFiles,
        theme: str | None = None,
        problems: Sequence[str] = (),
        mark: Callable[[], str] = lambda: "",
        player: Player | None = None,
        when_shown: Callable[[], None] | None = None,
        shelf: ThemeShelf | None = None,
        terminal: Terminal | None = None,
        begun: Begun | None = None,
    ) -> None:
        """`problems` are sentences to show once it is open. Of a `shelf` the themes are followed while it is open.

        Without a `terminal` everything can be shown. `begun`: the early frame stands on it, of the session
        that opens at once.
        `mark` is what the header says beside DEMO. With a `player` the engine is a recording. `when_shown` is called
        once, after the main screen's first frame.
        """
        super().__init__(Output(terminal), begun)
        self._backend = backend
        self._themes = ThemeSet()
        self._wanted_theme = theme
        self._problems = [*problems, *self._themes.update(themes)]
        self.open_in(self._themes.themes.get(theme or DEFAULT_THEME) or self._themes.themes[DEFAULT_THEME])
        self._shelf = shelf
        self._stop_watching: Callable[[], None] = lambda: None
        self._mark = mark
        self._player = player
        self._when_shown = when_shown
        self._main: MainScreen | None = None
        self._theme_screen: ThemeScreen | None = None
        self._session: Session | None = None

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return THEME_VARIABLE_DEFAULTS

    def compose(self) -> ComposeResult:
        if self.holds_early_frame:
            return
        yield Static("looking at this machine", id="opening", markup=False)

    def on_mount(self) -> None:
        for theme in self._themes.themes.values():
            self.register_theme(theme)
        self._choose_theme(self._wanted_theme or DEFAULT_THEME)
        self._backend.engine.subscribe(self._event)
        if self._shelf is not None:
            self._stop_watching = self._shelf.watch(self._files_changed)
        if self.holds_early_frame:
            # Not at once: what waits for the first frame would not wait for the main screen's.
            self.call_later(self._show, self._backend.open().planned())
        else:
            self._open()

    # -- themes --------------------------------------------------------------------------------------------

    def refresh_css(self, animate: bool = True) -> None:
        """Textual draws again what it has styled anew; what stands in roles has asked the theme for their colours."""
        super().refresh_css(animate=animate)
        for screen in self.screen_stack:
            for widget in screen.walk_children(InRoles):
                widget.refresh()

    def _files_changed(self, files: ThemeFiles) -> None:
        """Called on the shelf's thread."""
        self.call_later(self._use_files, files)

    def _choose_theme(self, name: str) -> None:
        if name in self._themes.themes:
            self.theme = name
        else:
            self._problems.append(f"there is no theme {name}: {', '.join(sorted(self._themes.themes))}")

    def _use_files(self, files: ThemeFiles) -> None:
        """The user's theme files have changed: what they say now is on the screen at once."""
        before = self._themes.themes
        problems = list(self._themes.update(files))
        after = self._themes.themes
        for name in before.keys() - after.keys():
            self.unregister_theme(name)
        for theme in after.values():
            self.register_theme(theme)
        if self.theme not in after:
            problems.append(f"the theme {self.theme} is gone: {DEFAULT_THEME} is shown")
            self.theme = DEFAULT_THEME
        elif after[self.theme] != before.get(self.theme):
            self.show_theme_anew()
        if self._theme_screen is not None and self.screen is self._theme_screen:
            self._theme_screen.use(self.sorted_themes, self.theme)
        self._tell(problems)

    def _tell(self, problems: Sequence[str]) -> None:
        if self._main is None:
            self._problems += problems
            return
        for problem in problems:
            self._main.post_message(NoticeArrived(problem, "warning"))

    @property
    def sorted_themes(self) -> list[Theme]:
        """The dark ones first."""
        return sorted(self._themes.themes.values(), key=lambda theme: (not theme.dark, theme.name))

    def action_themes(self) -> None:
        from hettui.ui.dialogs.themes import ThemeScreen

        if not isinstance(self.screen, ThemeScreen):
            self._theme_screen = ThemeScreen(self.sorted_themes, self.theme, partial(setattr, self, "theme"))
            self.push_screen(self._theme_screen, self._chosen)

    def action_doctor(self) -> None:
        from hettui.ui.dialogs.doctor import DoctorScreen

        if self._main is not None and not isinstance(self.screen, DoctorScreen):
            session, keymap = self._main.known.session, self._main.keymap
            self.push_screen(DoctorScreen(partial(self._backend.examine, session), keymap))

    def _chosen(self, name: str | None) -> None:
        if name is not None and self._session is not None:
            self._keep_theme(self._session, name)

    @work(thread=True, group="theme", description="theme", exclusive=True, exit_on_error=False)
    def _keep_theme(self, session: Session, name: str) -> None:
        try:
            kept = self._backend.keep_theme(session, name)
        except HettuiError as error:
            self.call_later(self._tell, [f"the theme is not kept: {error}"])
        else:
            if kept is not None and self._main is not None:
                self._main.post_message(NoticeArrived(f"theme {name}, kept in {kept}"))

    def on_unmount(self) -> None:
        self._stop_watching()
        self._backend.engine.unsubscribe(self._event)

    @work(thread=True, group="open", exit_on_error=False)
    def _open(self) -> None:
        """Asking drivers and binaries takes a moment: the screen is there meanwhile."""
        try:
            session = self._backend.open().planned()
        except HettuiError as error:
            self.call_later(self.exit, error)
        else:
            self.call_later(self._show, session)

    def _show(self, session: Session) -> None:
        self._session = session
        self._output.use_ascii(session.config.ascii)
        if self._wanted_theme is None:
            self._choose_theme(session.config.theme)
        try:
            if self._player is None:
                self._main = MainScreen(self._backend, session, self._mark)
            else:
                from hettui.ui.screens.replay import ReplayScreen

                self._main = ReplayScreen(self._backend, session, self._player)
        except HettuiError as error:
            self.exit(error)
            return
        self.let_go_of_early_frame(self._main)
        self.push_screen(self._main)
        # It hears from now on: what runs is found out while it mounts, and is often in its first frame.
        self._backend.begin()
        if self._backend.first_run(session):
            from hettui.ui.dialogs.welcome import WelcomeScreen

            self.push_screen(WelcomeScreen(self._backend, session), self._welcomed)
        self.set_interval(LOOK_S, self.collector.look)
        if self._when_shown is not None:
            self._main.call_after_refresh(self._when_shown)
        self._tell(self._problems)

    def _welcomed(self, answer: Greeted | None) -> None:
        if answer is None or self._main is None:
            return
        if answer.session is not None:
            self._reopen(answer.session)
        if answer.go_on:
            self._main.model_choice.choose(answer.path, best=True)

    @on(DevicesChanged)
    def _devices_changed(self, message: DevicesChanged) -> None:
        self._plan_first(message.session)

    @work(thread=True, group="open", description="plan first", exit_on_error=False)
    def _plan_first(self, session: Session) -> None:
        try:
            self.call_later(self._reopen, session.planned())
        except HettuiError as error:
            self.call_later(self._tell, [str(error)])

    def _reopen(self, session: Session) -> None:
        """With more devices: the main screen has so many cards."""
        self._session = session
        self._main = MainScreen(self._backend, session, self._mark)
        self.switch_screen(self._main)

    # -- events: called on the engine's thread -------------------------------------------------------------

    def _event(self, event: Event) -> None:
        main = self._main
        if main is None or not main.is_attached:
            return
        main.post_message(_message(event))

    def exit_from_thread(self) -> None:
        """Ends the screen, from any thread, as soon as its loop runs."""
        self.call_later(self.exit)

    # -- actions -------------------------------------------------------------------------------------------

    async def action_leave(self) -> None:
        if self._main is None:
            self.exit()
            return
        while isinstance(self.screen, Screen) and self.screen is not self._main:
            self.pop_screen()
        self._main.action_quit()


def _message(event: Event) -> Message:
    match event:
        case ClusterChanged(snapshot):
            return ClusterArrived(snapshot)
        case TelemetryUpdated(snapshot):
            return TelemetryArrived(snapshot)
        case LogLines(process, lines):
            return LogsArrived(process, lines)
        case Notice(text, severity):
            return NoticeArrived(text, severity)
        case Alert():
            return NoticeArrived(event.text, event.severity, alert=event.raised)
        case BenchChanged() | BenchEnded():
            return BenchArrived(event)
        case TuneChanged() | TuneEnded():
            return TuneArrived(event)
        case ChatProgressed() | ChatEnded() | ChatWaiting() | ParallelChanged():
            return ChatArrived(event)
        case OwnerLeft(runs):
            return OwnerGone(runs)
        case SlotsChanged():
            return SlotsArrived(event)
        case PlaybackMoved():
            return PlaybackArrived(event)
        case Rewound():
            return RewoundArrived(event)
