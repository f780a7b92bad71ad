"""The whole model as one bar in device order; its boundaries can be dragged, like partitions of a disk."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from hettui.domain.split import HOST
from hettui.ui import drawing
from hettui.ui.widgets.drag import Draggable

DEVICE_COLOURS = 16


@dataclass(frozen=True, slots=True)
class LayerBarView:
    """Names and layers in device order, the host's layers apart."""

    names: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()
    host_layers: int = 0


class LayerBar(Draggable):
    """One row. Dragging a boundary moves layers between the two devices beside it."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES = {f"layer-bar--device-{n}" for n in range(1, DEVICE_COLOURS + 1)} | {"layer-bar--host"}
    DEFAULT_CSS = "\n".join(
        [
            "LayerBar { height: 1; margin: 0 1; }",
            ".layer-bar--host { background: $panel; color: $hettui-muted; }",
            *(
                f".layer-bar--device-{n} {{ background: $hettui-device-{n}; color: $hettui-device-{n}-text; }}"
                for n in range(1, DEVICE_COLOURS + 1)
            ),
        ]
    )

    view: reactive[LayerBarView] = reactive(LayerBarView())

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

    def _parts(self) -> list[tuple[str, int, str]]:
        view = self.view
        parts = [("CPU", view.host_layers, "host")]
        for i, (name, layers) in enumerate(zip(view.names, view.layers, strict=True)):
            parts.append((f"{i + 1} {name}", layers, f"device-{i % DEVICE_COLOURS + 1}"))
        return parts

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        base = self.rich_style
        runs = drawing.layer_bar(width, self._parts()) if y == 0 else []
        segments = [
            Segment(text, base + self.get_component_rich_style(f"layer-bar--{role}", partial=True))
            for text, role in runs
        ]
        used = sum(cell_len(text) for text, _ in runs)
        return Strip([*segments, Segment(" " * max(0, width - used), base)]).crop(0, width)

    def _holders(self) -> list[tuple[int, int, int]]:
        """Device, first cell and end cell of everything that holds layers."""
        parts = self._parts()
        widths = drawing.bar_widths(self.size.width, [layers for _, layers, _ in parts])
        found, x = [], 0
        for position, cells in enumerate(widths):
            if parts[position][1]:
                found.append((position - 1 if position else HOST, x, x + cells))
            x += cells
        return found

    def on_mouse_down(self, event: events.MouseDown) -> None:
        holders = self._holders()
        near = [
            (abs(event.x - right_start), left, right) for (left, _, _), (right, right_start, _) in pairwise(holders)
        ]
        if near and (nearest := min(near))[0] <= 1:
            self._dragged = nearest[1:]
            self.capture_mouse()
            event.stop()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._dragged is None or not self.dragging:
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
        self._dragged = None
        super().let_go()
