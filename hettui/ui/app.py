"""The Textual app: opens the session, carries the engine's events to the main screen, and knows the themes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Static

from hettui.domain.errors import ConfigError, HettuiError
from hettui.domain.session import Session
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
    ParallelChanged,
    PlaybackMoved,
    Rewound,
    TelemetryUpdated,
)
from hettui.services.replay import Player
from hettui.ui.commands import ActionCommands
from hettui.ui.messages import (
    BenchArrived,
    ChatArrived,
    ClusterArrived,
    LogsArrived,
    NoticeArrived,
    PlaybackArrived,
    RewoundArrived,
    TelemetryArrived,
)
from hettui.ui.screens.main import MainScreen
from hettui.ui.screens.replay import ReplayScreen
from hettui.ui.screens.welcome import WelcomeScreen
from hettui.ui.themes import DEFAULT_THEME, THEME_VARIABLE_DEFAULTS, build_theme


class HettuiApp(App[HettuiError | None]):
    """Returns the error for which nothing could be opened, or None."""

    TITLE = "hettui"
    COMMANDS = {ActionCommands}
    BINDINGS = [
        # Stays bound whatever a keymap says: there is always a way out.
        Binding("ctrl+q", "leave", "Quit", show=False, priority=True, id="app.quit"),
        Binding("ctrl+c", "leave", "Quit", show=False, priority=True, id="app.interrupt"),
    ]
    CSS = """
    * {
        scrollbar-color: $hettui-muted; scrollbar-color-hover: $foreground; scrollbar-color-active: $primary;
        scrollbar-background: $background; scrollbar-background-hover: $background;
        scrollbar-background-active: $background; scrollbar-corner-color: $background;
    }
    VerticalScroll { scrollbar-size-vertical: 1; }
    """
    DEFAULT_CSS = """
    #opening { width: 1fr; height: 1fr; content-align: center middle; color: $hettui-muted; }
    """

    def __init__(
        self,
        backend: Backend,
        themes: Mapping[str, Mapping[str, Any]],
        theme: str | None = None,
        problems: Sequence[str] = (),
        mark: Callable[[], str] = lambda: "",
        player: Player | None = None,
        when_shown: Callable[[], None] | None = None,
    ) -> None:
        """`themes` are parsed theme files by their source; `problems` are sentences to show once it is open.

        `mark` is what the header says beside DEMO. With a `player` the engine is a recording. `when_shown` is called
        once, after the main screen's first frame.
        """
        super().__init__()
        self._backend = backend
        self._theme_data = themes
        self._wanted_theme = theme
        self._theme_problems = list(problems)
        self._mark = mark
        self._player = player
        self._when_shown = when_shown
        self._main: MainScreen | None = None
        self.crash: Exception | None = None
        """What went wrong in the screen itself. Whoever runs it reports that, once the terminal is back."""

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return THEME_VARIABLE_DEFAULTS

    def compose(self) -> ComposeResult:
        yield Static("looking at this machine …", id="opening", markup=False)

    def on_mount(self) -> None:
        for source, data in self._theme_data.items():
            try:
                self.register_theme(build_theme(source, data))
            except ConfigError as error:
                self._theme_problems.append(str(error))
        self._choose_theme(self._wanted_theme or DEFAULT_THEME)
        self._backend.engine.subscribe(self._event)
        self._open()

    def _choose_theme(self, name: str) -> None:
        if name in self.available_themes:
            self.theme = name
        else:
            self._theme_problems.append(f"there is no theme {name}: {', '.join(sorted(self.available_themes))}")

    def on_unmount(self) -> None:
        self._backend.engine.unsubscribe(self._event)

    @work(thread=True, group="open", exit_on_error=False)
    def _open(self) -> None:
        """Asking drivers and binaries takes a moment: the screen is there meanwhile."""
        try:
            session = self._backend.open()
        except HettuiError as error:
            self.call_later(self.exit, error)
        else:
            self.call_later(self._show, session)

    def _show(self, session: Session) -> None:
        if self._wanted_theme is None:
            self._choose_theme(session.config.theme)
        try:
            if self._player is None:
                self._main = MainScreen(self._backend, session, self._mark)
            else:
                self._main = ReplayScreen(self._backend, session, self._player)
        except HettuiError as error:
            self.exit(error)
            return
        self.push_screen(self._main)
        if self._backend.first_run(session):
            self.push_screen(WelcomeScreen(self._backend, session), self._main.after_welcome)
        if self._when_shown is not None:
            self._main.call_after_refresh(self._when_shown)
        for problem in self._theme_problems:
            self._main.post_message(NoticeArrived(problem, "warning"))

    # -- events: called on the engine's thread -------------------------------------------------------------

    def _event(self, event: Event) -> None:
        main = self._main
        if main is None or not main.is_attached:
            return
        main.post_message(_message(event))

    def _fatal_error(self) -> None:
        """Textual's own prints a traceback with the values of all variables: prompts and keys would be among them."""
        self.crash = self._exception or RuntimeError("the screen failed")
        self._close_messages_no_wait()

    def panic(self, *renderables: object) -> None:
        """The thread that reads keys failed: the terminal is gone, or sent what is no text."""
        self.crash = self.crash or RuntimeError("the terminal could not be read any more")
        self._return_code = 1
        self._close_messages_no_wait()

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
        case ChatProgressed() | ChatEnded() | ChatWaiting() | ParallelChanged():
            return ChatArrived(event)
        case PlaybackMoved():
            return PlaybackArrived(event)
        case Rewound():
            return RewoundArrived(event)
