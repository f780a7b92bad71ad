"""One device: name and state, slider, memory against the budget, sensors, and one line why.

In which form, its list decides (`hettui.ui.drawing.layout`); what the forms look like is in
`hettui.ui.drawing.card_rows`.
"""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.message import Message
from textual.reactive import reactive

from hettui.domain.devices.colours import COLOURS
from hettui.ui.drawing import card_rows, gauges
from hettui.ui.drawing.card_rows import Frame
from hettui.ui.drawing.gauges import Runs
from hettui.ui.drawing.layout import CARD_ROWS, Form
from hettui.ui.presenting.views import CardView
from hettui.ui.widgets.drag import Draggable
from hettui.ui.widgets.painted import Painted

_EMPTY = CardView(0, "", "", 0, 1)


class DevicePart(Painted, Draggable):
    """What shows a device and its slider. Keys are the screen's; the mouse moves the slider."""

    ALLOW_SELECT = False
    ROLES = card_rows.LOOKS
    DEFAULT_CSS = """
    DevicePart {
        height: 5; padding: 0 1; background: $background;
        border-left: outer $background;
    }
    """

    _coloured = 0
    view: reactive[CardView] = reactive(_EMPTY, repaint=False)
    form: reactive[Form] = reactive(Form.CARD, repaint=False)
    graph_rows: reactive[int] = reactive(1, repaint=False)
    """Of each graph in a tall card."""

    class SliderMoved(Message):
        """The mouse put a slider somewhere; the screen decides what that means for the others."""

        def __init__(self, card: DevicePart, value: int, *, experts: bool = False) -> None:
            """`value`: layers, or of how many blocks the experts lie here."""
            super().__init__()
            self.card = card
            self.value = value
            self.experts = experts

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, DevicePart.SliderMoved) and message.card is self.card

    def watch_view(self) -> None:
        self._edge()
        self.repaint()

    def watch_form(self) -> None:
        self.repaint()

    def watch_graph_rows(self) -> None:
        self.repaint()

    @property
    def frame(self) -> Frame:
        """The room that it has."""
        size = self.content_size
        return Frame(self.form, size.width, size.height, self.graph_rows, self.marker)

    @property
    def marker(self) -> str:
        """Before the number."""
        return " "

    @property
    def marked(self) -> bool:
        """It is the selected one."""
        return False

    def drawn_rows(self) -> Sequence[Runs]:
        return card_rows.device_rows(self.view, self.frame)

    def _edge(self) -> None:
        """In the device's own colour, wherever it stands in the order."""
        if self._coloured != self.view.colour:
            self.remove_class(f"-device-{self._coloured}")
            self.add_class(f"-device-{self.view.colour}")
            self._coloured = self.view.colour

    # -- mouse ---------------------------------------------------------------------------------------------

    def _on_slider(self, event: events.MouseEvent) -> bool:
        """Beside its row also its cells: in a one-line row a click on the name only selects."""
        row, start, track = self.frame.slider
        x, y = event.screen_x - self.content_region.x, event.screen_y - self.content_region.y
        return y == row and (self.form is not Form.ROW or start - 1 <= x <= start + track)

    def _on_experts(self, event: events.MouseEvent) -> bool:
        row = event.screen_y - self.content_region.y
        return self.view.experts is not None and row == self.frame.experts_row

    def _point(self, event: events.MouseEvent) -> None:
        _, start, track = self.frame.slider
        cell = event.screen_x - self.content_region.x - start
        if self._drags_experts and self.view.experts is not None:
            here = gauges.slider_value(track, cell, self.view.experts[1])
            self.post_message(self.SliderMoved(self, here, experts=True))
        else:
            self.post_message(self.SliderMoved(self, gauges.slider_value(track, cell, self.view.maximum)))

    _drags_experts = False
    """Which of the two the mouse holds."""

    def on_mouse_down(self, event: events.MouseDown) -> None:
        experts = self._on_experts(event)
        if experts or self._on_slider(event):
            event.stop()
            self._drags_experts = experts
            self.capture_mouse()
            self._point(event)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self.drags(event):
            event.stop()
            self._point(event)

    # The wheel moves layers on the selected device only: scrolling through many shall change nothing.

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._scrolled(event, 1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._scrolled(event, -1)

    def _scrolled(self, event: events.MouseEvent, change: int) -> None:
        if not self.marked:
            return
        if self._on_slider(event):
            event.stop()
            self.post_message(self.SliderMoved(self, self.view.layers + change))
        elif self._on_experts(event) and self.view.experts is not None:
            event.stop()
            self.post_message(self.SliderMoved(self, self.view.experts[0] + change, experts=True))


class DeviceCard(DevicePart, can_focus=True):
    """The focused card is the selected one; where the focus is elsewhere, its list says which."""

    DEFAULT_CSS = """
    DeviceCard:focus { border-left: outer $primary; background: $surface; }
    """ + "".join(
        f"DeviceCard.-device-{n} {{ border-left: wide $hettui-device-{n}; }}\n"
        f"DeviceCard.-device-{n}:focus {{ border-left: outer $hettui-device-{n}; }}\n"
        for n in range(1, COLOURS + 1)
    )

    chosen: reactive[bool] = reactive(False, repaint=False)
    takes_text = False
    """A device's name is being typed: letters are no commands."""

    def check_consume_key(self, key: str, character: str | None = None) -> bool:
        return self.takes_text and character is not None and character.isprintable()

    def watch_chosen(self, chosen: bool) -> None:
        self.repaint()

    @property
    def marker(self) -> str:
        return card_rows.FOCUSED if self.has_focus else card_rows.CHOSEN if self.chosen else " "

    @property
    def marked(self) -> bool:
        return self.chosen

    @property
    def history_cells(self) -> int:
        """How wide its graphs are; none in a row."""
        return 0 if self.form in (Form.ROW, Form.COMPACT) else self.frame.gauge_cells

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self.focus()


class DeviceDetails(DevicePart):
    """The selected device below the others: what their rows have no room for."""

    DEFAULT_CSS = """
    DeviceDetails { background: $surface; border-left: outer $surface; }
    """

    beside: reactive[Form] = reactive(Form.ROW, repaint=False)
    """The form of the others."""

    def watch_beside(self) -> None:
        self.repaint()

    @property
    def marked(self) -> bool:
        return True

    @property
    def frame(self) -> Frame:
        return card_rows.details_frame(self.content_size.width, self.content_size.height, self.graph_rows)

    @property
    def history_cells(self) -> int:
        return self.frame.gauge_cells

    def drawn_rows(self) -> Sequence[Runs]:
        return card_rows.details_rows(self.view, self.frame, beside=self.beside)

    def _on_slider(self, event: events.MouseEvent) -> bool:
        return self._has_sliders and super()._on_slider(event)

    def _on_experts(self, event: events.MouseEvent) -> bool:
        return self._has_sliders and super()._on_experts(event)

    @property
    def _has_sliders(self) -> bool:
        return self.beside is Form.ROW and self.content_size.height >= CARD_ROWS
