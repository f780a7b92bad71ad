"""All devices and the host in the form that their number and the room ask for, the selected one's details below."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.geometry import Size
from textual.message import Message

from hettui.ui.colours.roles import Look
from hettui.ui.drawing.device_row import row_titles
from hettui.ui.drawing.gauges import Runs
from hettui.ui.drawing.layout import Arrangement, Form, arrange
from hettui.ui.panes.explain import ExplainPane
from hettui.ui.presenting.views import CardView
from hettui.ui.widgets.device_card import DeviceCard, DeviceDetails
from hettui.ui.widgets.painted import Painted


class RowTitles(Painted):
    """What stands in the columns of one-line rows."""

    ROLES = {"label": Look("hettui-muted")}
    DEFAULT_CSS = "RowTitles { height: 1; padding: 0 1; border-left: outer $background; }"

    def drawn_rows(self) -> Sequence[Runs]:
        return [row_titles(self.content_size.width)]


class DeviceList(Vertical):
    """Its own size decides; nothing that it holds changes that size."""

    DEFAULT_CSS = """
    DeviceList > #devices { height: auto; max-height: 1fr; }
    DeviceList > #below { height: 1fr; padding: 0 1; margin: 1 0 0 0; border-top: solid $panel; }
    """

    class Rearranged(Message):
        """The cards have another form: graphs may be wider, explanations may be wanted."""

    def __init__(self, devices: int, expected: Callable[[], Size], *, id: str) -> None:
        """`expected` is the size that it will probably have: then the first frame is right already."""
        super().__init__(id=id)
        self._devices = devices
        self._expected = expected
        self.cards = [DeviceCard() for _ in range(devices + 1)]
        """In device order, the host's last."""
        self.details = DeviceDetails()
        self.below = ExplainPane(id="below")
        self._titles = RowTitles()
        self._scroll = VerticalScroll(id="devices", can_focus=False)
        self.arrangement = Arrangement(Form.CARD)
        self._more = 0
        """Rows of each card beside the usual: a second slider, for experts."""

    def compose(self) -> ComposeResult:
        yield self._titles
        with self._scroll:
            yield from self.cards
        yield self.details
        yield self.below

    def on_mount(self) -> None:
        self._arrange(self._expected())

    def on_resize(self) -> None:
        self._arrange(self.content_size)

    def _arrange(self, size: Size) -> None:
        new = arrange(self._devices, size.height, size.width, self._more)
        if new == self.arrangement:
            return
        self.arrangement = new
        self._titles.display = new.titles
        self._place(new)
        for card in self.cards[:-1]:
            card.styles.height = new.card_rows
        host = self.cards[-1]
        host.styles.height, host.styles.column_span = new.host_rows, new.columns
        for card in self.cards:
            card.form, card.graph_rows = new.form, new.graph_rows
            card.styles.margin = (0, 0, new.gap if card is not host else 0, 0)
        self.details.display = new.details_rows > 0
        self.details.styles.height = new.details_rows
        self.details.beside, self.details.graph_rows = new.form, new.graph_rows
        self.below.display = new.below_rows > 0
        self.post_message(self.Rearranged())

    def _place(self, new: Arrangement) -> None:
        scroll = self._scroll
        if new.columns > 1:
            scroll.styles.layout = "grid"
            scroll.styles.grid_size_columns = new.columns
            high = -(-self._devices // new.columns)
            scroll.styles.grid_rows = " ".join([str(new.card_rows + new.gap)] * high + [str(new.host_rows)])
        else:
            scroll.styles.layout = "vertical"

    # -- for the screen ------------------------------------------------------------------------------------

    @property
    def history_cells(self) -> int:
        """How wide the graphs are; 0: there are none, or nothing was laid out yet."""
        return max(self.cards[0].history_cells, self.details.history_cells if self.details.display else 0)

    @property
    def load_graphs(self) -> bool:
        """Loads are drawn over time as well."""
        return self.arrangement.graph_rows > 1

    @property
    def short(self) -> tuple[bool, ...]:
        """Of each card, whether what it is to hold does not fit."""
        return tuple(card.view.short_bytes > 0 for card in self.cards)

    @property
    def explains(self) -> bool:
        """There is room for an explanation below the cards."""
        return self.arrangement.below_rows > 0

    def show(self, views: Sequence[CardView], selected: int) -> None:
        """`selected` is a place in `cards`."""
        more = int(any(view.experts is not None for view in views))
        if more != self._more:
            self._more = more
            self._arrange(self.content_size)
        for place, (card, view) in enumerate(zip(self.cards, views, strict=True)):
            card.view = view
            card.chosen = place == selected
        self.details.view = views[selected]
