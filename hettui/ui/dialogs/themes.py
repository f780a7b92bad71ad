"""Chooses a theme: the one under the highlight is shown at once, on the whole screen behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.theme import Theme
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

_NAME_CELLS = 12


class ThemeScreen(ModalScreen[str | None]):
    """Enter keeps the theme, Esc gives back the one before. The list follows the files while it is open."""

    BINDINGS = [
        Binding("escape,q,T", "dismiss(None)", "Back"),
        Binding("j", "cursor(1)", show=False),
        Binding("k", "cursor(-1)", show=False),
    ]
    DEFAULT_CSS = """
    ThemeScreen { align: right middle; background: transparent; }
    ThemeScreen > Vertical {
        width: 30; height: auto; max-height: 90%; padding: 1 2;
        background: $surface; border: round $primary; border-title-color: $foreground;
    }
    ThemeScreen OptionList { height: auto; max-height: 20; border: none; background: $surface; padding: 0; }
    ThemeScreen OptionList:focus { border: none; background-tint: transparent; }
    ThemeScreen OptionList:focus > .option-list--option-highlighted {
        background: $primary; color: $hettui-primary-text; text-style: bold;
    }
    ThemeScreen Static { height: auto; margin: 1 0 0 0; color: $hettui-muted; }
    """

    def __init__(self, themes: Sequence[Theme], current: str, show: Callable[[str], None]) -> None:
        """`show` makes a theme the screen's, until something else is chosen."""
        super().__init__()
        self._themes = themes
        self._before = self._shown = current
        self._show = show
        self._choices = OptionList(*self._options(), markup=False)

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "Theme"
            yield self._choices
            yield Static(Content("↑ ↓ shows it at once\n⏎ keeps it\nEsc the one before"), markup=False)

    def on_mount(self) -> None:
        self._highlight()

    def _options(self) -> list[Option]:
        def kind(theme: Theme) -> str:
            return "dark" if theme.dark else "light"

        return [
            Option(Content.assemble((f"{theme.name:<{_NAME_CELLS}} "), kind(theme)), id=theme.name)
            for theme in self._themes
        ]

    def _highlight(self) -> None:
        names = [theme.name for theme in self._themes]
        if self._shown in names:
            self._choices.highlighted = names.index(self._shown)

    def use(self, themes: Sequence[Theme], shown: str) -> None:
        """Other themes than before: a file came, went or changed."""
        self._themes, self._shown = themes, shown
        if self._before not in [theme.name for theme in themes]:
            self._before = shown
        choices = self._choices
        with self.prevent(OptionList.OptionHighlighted):
            choices.clear_options()
            choices.add_options(self._options())
            self._highlight()

    def action_cursor(self, direction: int) -> None:
        choices = self._choices
        if direction > 0:
            choices.action_cursor_down()
        else:
            choices.action_cursor_up()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        name = event.option.id
        if name is not None and name != self._shown:
            self._shown = name
            self._show(name)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)

    async def action_dismiss(self, result: str | None = None) -> None:
        self._show(self._before)
        await super().action_dismiss(result)
