"""Chooses one of several plans: the one under the highlight is shown at once, on the bar and the cards behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.cells import set_cell_size
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Static

from hettui.domain.records import dataclass
from hettui.domain.session.choices import Choice, alike
from hettui.domain.text import clean
from hettui.ui.dialogs.look_through import LookThrough
from hettui.ui.drawing import gauges
from hettui.ui.drawing.gauges import Runs
from hettui.ui.presenting.choices import WORKING, ChoiceView, waiting
from hettui.ui.widgets.pick_list import PickList

MARK_AFTER_S = 0.05
_RATE, _CONTEXT, _LEFT = 7, 6, 9
"""Cells of its columns."""
_TITLE, _LEAST_NOTE = 25, 20
_DETAIL_ROWS, _LOW_DETAILS = 3, 2
_LOW_PART, _HIGH_PART = 0.6, 0.7
"""Of the screen's rows: above it the bar and the cards are looked at."""


@dataclass(frozen=True, slots=True)
class _Row:
    """What was asked, and what came of it."""

    title: str
    choice: Choice | None = None
    """None: it is still being worked out."""


class ChoicesScreen(LookThrough[Choice | None]):
    """Enter takes the plan, Esc goes back to the one before, and what is still being worked out is not wanted then."""

    BINDINGS = [
        Binding("escape,q", "dismiss(None)", "Back"),
        Binding("enter", "take", "Take"),
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("home", "move(-1000)", show=False),
        Binding("end", "move(1000)", show=False),
    ]
    DEFAULT_CSS = """
    ChoicesScreen Static { height: 1; color: $hettui-muted; }
    ChoicesScreen #details { height: 3; margin-top: 1; color: $foreground; }
    ChoicesScreen.-low #details { margin-top: 0; height: 2; }
    """

    def __init__(
        self,
        titles: Sequence[str],
        view: Callable[[Choice, Choice | None], ChoiceView],
        show: Callable[[Choice | None], None],
        again: Sequence[str],
        again_shown: str,
    ) -> None:
        """`show` puts a choice's plan on the screen behind, None one's own; `again`: the keys that opened this: here
        they go to the next one."""
        super().__init__()
        self._rows = [_Row(title) for title in titles]
        self._view, self._show = view, show
        self._again, self._again_shown = again, again_shown
        self._cursor = 0
        self._moved = self._marks = self._wanted = False
        self._list = PickList(id="plans")
        self._details = Static(id="details", markup=False)
        self._head = Static(id="head", markup=False)

    def compose(self) -> ComposeResult:
        with self._box:
            self._box.border_title = " Plans "
            yield self._head
            yield self._list
            yield self._details

    def on_mount(self) -> None:
        self.set_timer(MARK_AFTER_S, self._mark)
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _mark(self) -> None:
        self._marks = True
        self._draw()

    # -- what comes ----------------------------------------------------------------------------------------

    def take(self, title: str, found: Sequence[Choice]) -> None:
        """What came of a question. The highlight stays on what it is on."""
        at = self._rows[self._cursor]
        place = next(i for i, row in enumerate(self._rows) if row.title == title and row.choice is None)
        self._rows[place : place + 1] = [_Row(one.title, one) for one in found]
        self._cursor = next((i for i, row in enumerate(self._rows) if row.title == at.title), 0)
        self._cursor = min(self._cursor, max(0, len(self._rows) - 1))
        if self._wanted and (choice := self._current) is not None:
            self._finish(choice)
            return
        self._draw()
        self._show(self._current)

    @property
    def _open(self) -> int:
        return sum(row.choice is None for row in self._rows)

    @property
    def _current(self) -> Choice | None:
        return self._rows[self._cursor].choice if self._rows else None

    # -- drawing -------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        if not self.is_mounted:
            return
        open_ones = f" {WORKING} {self._open} to work out · esc stops " if self._open and self._marks else ""
        self._box.border_subtitle = Content(open_ones or f" ⏎ takes · esc back · {self._again_shown} next ")
        width = max(0, self._list.content_size.width - 2) or 52
        self._fit()
        head = "".join(
            text for text, _ in self._columns("", "tok/s", "ctx", "MiB left", "changes", width, "muted", "muted")
        )
        self._head.update(Content(head))
        self._list.show(len(self._rows), self._row, self._cursor)
        self._say()

    def _fit(self) -> None:
        """As many rows as there are, and as there is room for above the edge."""
        low = self._low
        part, taken = (_LOW_PART, _LOW_DETAILS) if low else (_HIGH_PART, _DETAIL_ROWS + 1)
        rows = max(1, min(len(self._rows), int(self.size.height * part) - taken - 3))
        height = self._list.styles.height
        if height is None or height.value != rows:
            self._list.styles.height = rows

    def _view_of(self, index: int) -> ChoiceView:
        row = self._rows[index]
        if row.choice is None:
            return waiting(row.title, WORKING if self._marks else "")
        return self._view(row.choice, alike([row.choice for row in self._rows if row.choice is not None], row.choice))

    def _row(self, index: int, width: int) -> Runs:
        view = self._view_of(index)
        role = "" if view.can else "muted"
        tone = "muted" if view.fits else "crit"
        return self._columns(view.title, view.rate, view.context, view.left, view.note, width, role, tone)

    @staticmethod
    def _columns(title: str, rate: str, context: str, left: str, note: str, width: int, role: str, tone: str) -> Runs:
        numbers = _RATE + _CONTEXT + _LEFT
        room = width - numbers
        if room >= _TITLE + _LEAST_NOTE:
            room = _TITLE
        runs: Runs = [(_cut(title, room), role)]
        runs.append((f"{rate:>{_RATE}}{context:>{_CONTEXT}}{left:>{_LEFT}}", role))
        rest = width - room - numbers - 2
        if rest >= _LEAST_NOTE - 2:
            runs.append((f"  {_cut(note, rest)}", tone))
        return runs

    def _say(self) -> None:
        if not self._rows:
            self._details.update(Content("Nothing to choose from: no model is chosen"))
            return
        view = self._view_of(self._cursor)
        lines = list(view.details) or ["it is taken as soon as it is worked out" if self._wanted else ""]
        self._details.update(Content(clean("\n".join(lines))))

    # -- keys ----------------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        if event.key in self._again:
            event.stop()
            event.prevent_default()
            self._go((self._cursor + 1) % max(1, len(self._rows)))

    def action_move(self, rows: int) -> None:
        self._go(min(max(self._cursor + rows, 0), max(0, len(self._rows) - 1)))

    def on_pick_list_clicked(self, message: PickList.Clicked) -> None:
        message.stop()
        self._go(message.index)
        if message.again:
            self.action_take()

    def _go(self, cursor: int) -> None:
        self._cursor, self._wanted = cursor, False
        self._draw()
        self._show(self._current)

    def action_take(self) -> None:
        """Now, or when it is worked out."""
        if not self._rows:
            return
        choice = self._current
        if choice is not None:
            self._finish(choice)
            return
        self._wanted = True
        self._say()

    def _finish(self, choice: Choice) -> None:
        if choice.plan is None and not choice.action:
            self._wanted = False
            self._draw()
            self.app.bell()
            return
        self.dismiss(choice)


def _cut(text: str, cells: int) -> str:
    """Just as wide."""
    return set_cell_size(gauges.cut(text, cells), cells)
