"""`A`: a card that one does not own is planned with, or no longer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from hettui.domain.devices.common_cards import common_card
from hettui.domain.devices.device import Device
from hettui.domain.errors import UsageError
from hettui.domain.session.imagined import imagined, matching
from hettui.domain.text import clean_line
from hettui.ui.drawing.gauges import Runs, fit
from hettui.ui.widgets.pick_list import PickList

_KEYS = "⏎ plans with it · ↑↓ choose · esc closes"
_SAYS = "NAME, 24 GiB, 936 GB/s, and a link behind it: pcie, or the round trip to its host such as 0.3 ms"
_ROWS, _MOST_CHARS = 8, 80


class AddCardScreen(ModalScreen[Device | str | None]):
    """Answers a device to plan with, or the name of one that shall go."""

    BINDINGS = [
        Binding("escape", "dismiss(None)", "Close", priority=True),
        # Not before what was typed ahead of it: no priority, and from the field as its own message.
        Binding("enter", "take", "Take"),
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
    ]
    DEFAULT_CSS = """
    AddCardScreen { align: center middle; }
    AddCardScreen > Vertical {
        width: 90%; max-width: 76; height: auto; padding: 0 2; background: $surface; border: round $primary;
        border-title-color: $foreground; border-subtitle-color: $hettui-muted;
    }
    AddCardScreen Static { height: auto; color: $hettui-muted; margin: 1 0; }
    AddCardScreen #why { color: $hettui-crit; margin: 0; max-height: 3; }
    AddCardScreen Input { background: $panel; }
    """

    def __init__(self, added: Sequence[str], taken: Sequence[str]) -> None:
        """Names of those that were added here, and of all devices."""
        super().__init__()
        self._added, self._taken = added, taken
        self._field = Input(placeholder="a name, or NAME, GiB, GB/s, link", compact=True)
        self._list = PickList()
        self._why = Static(id="why", markup=False)
        self._rows: list[tuple[str, Callable[[], Device | str]]] = []
        self._cursor = 0

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = " A card that you do not have "
            box.border_subtitle = Content(_KEYS)
            yield self._field
            yield self._list
            yield Static(Content(_SAYS), markup=False)
            yield self._why

    def on_mount(self) -> None:
        self._list.styles.height = _ROWS
        self._offer()

    @on(Input.Changed)
    def _offer(self) -> None:
        typed = self._field.value
        gone = [name for name in self._added if typed.lower() in name.lower()]
        self._rows = [(f"without {name}", partial(str, name)) for name in gone]
        self._rows += [(name, partial(imagined, name, self._taken)) for name in matching(typed)]
        if "," in typed:
            self._rows = [(typed, partial(imagined, typed, self._taken))]
        self._cursor = 0
        self._why.update("")
        self._draw()

    def _draw(self) -> None:
        self._list.show(len(self._rows), self._row, self._cursor)

    def _row(self, index: int, width: int) -> Runs:
        name = self._rows[index][0]
        card = common_card(name)
        facts = "" if card is None else f"{card.gib:>3} GiB {card.bandwidth_bytes_per_s / 1e9:>6.0f} GB/s"
        return [(fit(clean_line(name, _MOST_CHARS), max(0, width - len(facts))), ""), (facts, "muted")]

    def action_move(self, rows: int) -> None:
        self._cursor = min(max(self._cursor + rows, 0), max(0, len(self._rows) - 1))
        self._draw()

    @on(PickList.Clicked)
    def _clicked(self, message: PickList.Clicked) -> None:
        message.stop()
        self._cursor = message.index
        self._draw()
        if message.again:
            self.action_take()

    @on(Input.Submitted)
    def action_take(self) -> None:
        try:
            answer = self._rows[self._cursor][1]() if self._rows else imagined(self._field.value, self._taken)
        except UsageError as error:
            self._why.update(Content(str(error)))
        else:
            self.dismiss(answer)
