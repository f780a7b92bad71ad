"""The whole model as one bar in device order; its boundaries can be dragged, like partitions of a disk."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from textual import events
from textual.message import Message
from textual.reactive import reactive

from hettui.domain.plan.split import HOST
from hettui.ui.drawing import gauges
from hettui.ui.drawing.gauges import Runs
from hettui.ui.drawing.top_rows import LOOKS, layer_parts, layer_rows
from hettui.ui.presenting.views import LayerBarView
from hettui.ui.widgets.drag import Draggable
from hettui.ui.widgets.painted import Painted


class LayerBar(Painted, Draggable):
    """One row, or two where there is height. Dragging a boundary moves layers between the two devices beside it."""

    ALLOW_SELECT = False
    ROLES = LOOKS
    DEFAULT_CSS = "LayerBar { height: 1; margin: 0 1; }"

    view: reactive[LayerBarView] = reactive(LayerBarView(), repaint=False)

    class BoundaryMoved(Message):
        """The boundary between two neighbours was dragged: `left` shall hold `layers`."""

        def __init__(self, bar: LayerBar, left: int, right: int, layers: int) -> None:
            super().__init__()
            self.bar = bar
            self.left = left
            self.right = right
            self.layers = layers

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, LayerBar.BoundaryMoved) and message.bar is self.bar

    def __init__(self) -> None:
        super().__init__()
        self._dragged: tuple[int, int] | None = None
        """The devices left and right of the boundary that the mouse holds."""
        self._near: tuple[int, int] | None = None
        """Those of the boundary that it is on."""

    def watch_view(self) -> None:
        self.repaint()

    def drawn_rows(self) -> Sequence[Runs]:
        boundary = self._dragged or self._near
        held = None if boundary is None else boundary[1] + 1
        return layer_rows(self.view, self.content_size.width, max(1, self.content_size.height), held)

    def _holders(self) -> list[tuple[int, int, int]]:
        """Device, first cell and end cell of everything that holds layers."""
        parts = layer_parts(self.view)
        widths = gauges.bar_widths(self.size.width, [part.layers for part in parts])
        found, x = [], 0
        for position, cells in enumerate(widths):
            if parts[position].layers:
                found.append((position - 1 if position else HOST, x, x + cells))
            x += cells
        return found

    def _boundary(self, x: int) -> tuple[int, int] | None:
        """The devices on both sides of the boundary at this cell, or beside it."""
        holders = self._holders()
        near = [(abs(x - right_start), left, right) for (left, _, _), (right, right_start, _) in pairwise(holders)]
        return nearest[1:] if near and (nearest := min(near))[0] <= 1 else None

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._dragged = self._boundary(event.x)
        if self._dragged is not None:
            self.capture_mouse()
            event.stop()
            self.repaint()

    def on_leave(self) -> None:
        self._near = None
        self.repaint()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if not self.drags(event) or self._dragged is None:
            self._near = self._boundary(event.x)
            self.repaint()
            return
        event.stop()
        left, right = self._dragged
        starts = {device: start for device, start, _ in self._holders()}
        if left not in starts or not self.size.width:
            return
        total = sum(self.view.layers) + self.view.host_layers
        x = event.screen_x - self.region.x
        layers = round((x - starts[left]) / self.size.width * total)
        # Neither side is emptied by the mouse: an empty side has no boundary to take hold of again.
        held = self._layers(left) + self._layers(right)
        self.post_message(self.BoundaryMoved(self, left, right, max(1, min(layers, held - 1))))

    def _layers(self, device: int) -> int:
        return self.view.host_layers if device == HOST else self.view.layers[device]

    def let_go(self) -> None:
        self._dragged = self._near = None
        super().let_go()
        self.repaint()
