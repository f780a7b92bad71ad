"""llama-server's settings: each change is seen at once on the memory bars behind, taken as one step or not at all."""

from __future__ import annotations

from collections.abc import Callable

from rich.cells import set_cell_size
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Static

from hettui.domain.llama.params import RuntimeParams
from hettui.domain.llama.setting import by_hand, ranges, stepped, typed, value_of, with_value
from hettui.domain.text import clean
from hettui.ui.dialogs.look_through import LookThrough
from hettui.ui.drawing import gauges
from hettui.ui.drawing.gauges import Runs
from hettui.ui.presenting.settings import SettingView
from hettui.ui.widgets.pick_list import PickList

_NAME, _VALUE = 14, 10
_MOST_DIGITS = 7
_LOW_PART, _HIGH_PART = 0.6, 0.75


class SettingsScreen(LookThrough[RuntimeParams | None]):
    """Enter takes all of them, Esc none; a number is typed and set by Enter."""

    BINDINGS = [
        Binding("escape,q", "back", "Back"),
        Binding("enter", "take", "Take"),
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("left,h", "step(-1)", show=False),
        Binding("right,l,space", "step(1)", show=False),
        Binding("r", "reset", show=False),
    ]
    DEFAULT_CSS = """
    SettingsScreen Static { height: 3; margin-top: 1; color: $foreground; }
    SettingsScreen #effect { height: 1; margin-top: 0; color: $hettui-muted; }
    SettingsScreen #effect.-short { color: $hettui-crit; text-style: bold; }
    SettingsScreen.-low Static { margin-top: 0; height: 2; }
    SettingsScreen.-low #effect { height: 1; }
    """

    def __init__(
        self,
        now: RuntimeParams,
        configured: RuntimeParams,
        view: Callable[[RuntimeParams], list[SettingView]],
        show: Callable[[RuntimeParams | None], tuple[str, bool]],
    ) -> None:
        """`show` puts the settings on the screen behind, None those from before, and says what that means and whether
        it fits."""
        super().__init__()
        self._options = by_hand()
        self._now, self._configured = now, configured
        self._view, self._show = view, show
        self._views: list[SettingView] = []
        self._cursor = 0
        self._typed = ""
        self._effect = ("", True)
        self._list = PickList(id="settings")
        self._details = Static(id="details", markup=False)
        self._said = Static(id="effect", markup=False)

    def compose(self) -> ComposeResult:
        with self._box:
            self._box.border_title = " Settings of llama-server "
            yield self._list
            yield self._details
            yield self._said

    def on_mount(self) -> None:
        self._set(self._now)

    def on_resize(self) -> None:
        low = self._low
        room = int(self.size.height * (_LOW_PART if low else _HIGH_PART)) - (5 if low else 7)
        self._list.styles.height = max(1, min(len(self._options), room))
        self._draw()

    def _set(self, params: RuntimeParams) -> None:
        self._now, self._typed = params, ""
        self._effect = self._show(params)
        self._draw()

    # -- drawing -------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        if not self.is_mounted:
            return
        self._views = self._view(self._now)
        self._box.border_subtitle = (
            " ⏎ sets it · esc drops it " if self._typed else " ← → · number ⏎ · r as configured · ⏎ takes all "
        )
        self._list.show(len(self._views), self._row, self._cursor)
        view = self._views[self._cursor]
        self._details.update(Content(clean("\n".join(view.details))))
        text, fits = self._effect
        self._said.set_class(not fits, "-short")
        self._said.update(Content(gauges.cut(clean(text), max(10, self._list.content_size.width))))

    def _row(self, index: int, width: int) -> Runs:
        view = self._views[index]
        typing = bool(self._typed) and index == self._cursor
        value = f"{self._typed}▏" if typing else view.value
        rest = max(0, width - _NAME - _VALUE - 3)
        return [
            (set_cell_size(view.name, _NAME), ""),
            (f"{value:>{_VALUE}}", "strong" if typing or view.changed else ""),
            (" * " if view.changed else "   ", "warn"),
            (set_cell_size(gauges.cut(view.does, rest), rest), "muted"),
        ]

    # -- keys ----------------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        if event.character and event.character.isdecimal() and event.character.isascii():
            event.stop()
            if self._options[self._cursor].kind in ("integer", "slots"):
                self._typed = (self._typed + event.character)[:_MOST_DIGITS]
                self._draw()
        elif event.key == "backspace" and self._typed:
            event.stop()
            self._typed = self._typed[:-1]
            self._draw()

    def on_pick_list_clicked(self, message: PickList.Clicked) -> None:
        message.stop()
        self._cursor, self._typed = message.index, ""
        self._draw()

    def action_move(self, rows: int) -> None:
        self._cursor, self._typed = min(max(self._cursor + rows, 0), len(self._options) - 1), ""
        self._draw()

    def action_step(self, direction: int) -> None:
        option = self._options[self._cursor]
        self._set(with_value(self._now, option, stepped(option, value_of(self._now, option), direction)))

    def action_reset(self) -> None:
        option = self._options[self._cursor]
        self._set(with_value(self._now, option, value_of(self._configured, option)))

    def action_take(self) -> None:
        if not self._typed:
            self.dismiss(self._now)
            return
        option = self._options[self._cursor]
        value = typed(option, self._typed)
        if value is None:
            self.app.bell()
            self._effect = (f"{self._typed} cannot be: {ranges(option)}", False)
            self._typed = ""
            self._draw()
            return
        self._set(with_value(self._now, option, value))

    def action_back(self) -> None:
        if self._typed:
            self._typed = ""
            self._draw()
        else:
            self.dismiss(None)
