"""The app as far as it is the terminal's matter: its colours, and what becomes of a crash.

With `slow_line`, `toasts` and `closed_widgets` all that reaches into Textual 8.2.8's own parts of an app.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from rich.color import ColorSystem
from textual.app import App
from textual.filter import LineFilter
from textual.theme import Theme

from hettui.ui.colours.themes import terminal_theme
from hettui.ui.terminal.begun import Begun
from hettui.ui.terminal.closed_widgets import let_go_of_closed_widgets
from hettui.ui.terminal.lean_textual import import_palette
from hettui.ui.terminal.output import Output
from hettui.ui.terminal.slow_line import SlowLineApp

_ReturnType = TypeVar("_ReturnType")
let_go_of_closed_widgets()


class TerminalApp(SlowLineApp[_ReturnType]):
    """Draws what the terminal can show, and keeps an exception instead of printing it."""

    def __init__(self, output: Output, begun: Begun | None = None) -> None:
        # Textual asks for the filters while it begins.
        self._output = output
        self._has_themes = False
        super().__init__(begun)
        self._has_themes = True
        # Which colours there are is `Output`'s matter: Rich knows less, and takes a dumb terminal for a colourful one.
        self.console._color_system = ColorSystem.TRUECOLOR
        self.crash: Exception | None = None
        """What went wrong in the screen itself. Whoever runs it reports that, once the terminal is back."""

    def get_line_filters(self) -> Sequence[LineFilter]:
        return self._output.filters(super().get_line_filters())

    def action_command_palette(self) -> None:
        import_palette()
        super().action_command_palette()

    def open_in(self, theme: Theme) -> None:
        """The theme of the first frame. Chosen later, every style sheet there is would be parsed three times."""
        self.register_theme(theme)
        self.set_reactive(App.theme, theme.name)
        self._show_colours_of(theme)
        self.stylesheet.set_variables(self.get_css_variables())
        self._refresh_truecolor_filter(self.ansi_theme)
        classes = {f"-theme-{theme.name}": True, "-dark-mode": theme.dark, "-light-mode": not theme.dark}
        self.update_classes(classes, update=False)

    def get_css_variables(self) -> dict[str, str]:
        # Asked for by Textual before any theme of ours can be there: those of its own would be worked out for nothing.
        return super().get_css_variables() if self._has_themes else {}

    def _show_colours_of(self, theme: Theme) -> None:
        own = terminal_theme(theme)
        self.set_reactive(App.ansi_theme_dark, own)
        self.set_reactive(App.ansi_theme_light, own)
        self._output.use_theme(theme)

    def _watch_theme(self, theme_name: str) -> None:
        self._show_colours_of(self.available_themes[theme_name])
        super()._watch_theme(theme_name)

    def show_theme_anew(self) -> None:
        """Other colours under the same name: no watcher would hear of it."""
        self._watch_theme(self.theme)

    def _fatal_error(self) -> None:
        """Textual's own prints a traceback with the values of all variables: prompts and keys would be among them."""
        self.crash = self._exception or RuntimeError("the screen failed")
        self._close_messages_no_wait()

    def panic(self, *renderables: object) -> None:
        """The thread that reads keys failed: the terminal is gone, or sent what is no text."""
        self.crash = self.crash or RuntimeError("the terminal could not be read any more")
        self._return_code = 1
        self._close_messages_no_wait()
