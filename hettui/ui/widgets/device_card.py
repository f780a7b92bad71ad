"""One device: name and state, slider, memory against the budget, sensors, and one line why.

The card is one widget that draws its rows itself: sixteen of them repaint within a frame.
"""

from __future__ import annotations

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from hettui.domain.units import UNKNOWN, format_bytes, missing_mib
from hettui.ui import drawing
from hettui.ui.drawing import Runs
from hettui.ui.views import CardView
from hettui.ui.widgets.drag import Draggable

_LABEL_CELLS = 7
_LAYERS_CELLS = 12
_NUMBERS_CELLS = 34
"""`  13.2 GiB / 15.5 GiB  now 13.0 GiB`: always as wide, so that bars and numbers line up over all cards."""
_ROLES = (
    "title", "dim", "label", "fill", "track", "tick", "over", "weights", "kv", "compute", "overhead",
    "free", "measured", "ghost", "temp-ok", "temp-warn", "temp-crit", "ok", "warn", "crit", "entry",
)  # fmt: skip
_EMPTY = CardView(0, "", "", 0, 1)


class DeviceCard(Draggable, can_focus=True):
    """The focused card is the selected one. Keys are the screen's; the mouse moves the slider.

    | component class | what |
    | `device-card--ROLE` | the colours of the roles in `hettui.ui.drawing` |
    """

    ALLOW_SELECT = False
    COMPONENT_CLASSES = {f"device-card--{role}" for role in _ROLES}
    DEFAULT_CSS = """
    DeviceCard {
        height: 5; padding: 0 1; background: $background;
        border-left: outer $background;
    }
    DeviceCard.-host { height: 3; }
    DeviceCard:focus { border-left: outer $primary; background: $surface; }
    .device-card--title { color: $foreground; text-style: bold; }
    .device-card--dim, .device-card--free, .device-card--track { color: $hettui-muted; }
    .device-card--label { color: $hettui-muted; }
    .device-card--fill { color: $primary; }
    .device-card--tick { color: $foreground; }
    .device-card--ghost { color: $hettui-kv; }
    .device-card--over, .device-card--crit { color: $hettui-crit; text-style: bold; }
    .device-card--weights { color: $hettui-weights; }
    .device-card--kv { color: $hettui-kv; }
    .device-card--compute { color: $hettui-compute; }
    .device-card--overhead { color: $hettui-overhead; }
    .device-card--measured { color: $foreground; text-style: bold; }
    .device-card--temp-ok { color: $hettui-temp-ok; }
    .device-card--temp-warn { color: $hettui-temp-warn; }
    .device-card--temp-crit { color: $hettui-temp-crit; }
    .device-card--ok { color: $hettui-ok; }
    .device-card--warn { color: $hettui-warn; }
    .device-card--entry { color: $foreground; text-style: bold reverse; }
    """

    view: reactive[CardView] = reactive(_EMPTY)

    class SliderMoved(Message):
        """The mouse put the slider somewhere; the screen decides what that means for the others."""

        def __init__(self, card: DeviceCard, layers: int) -> None:
            super().__init__()
            self.card = card
            self.layers = layers

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, DeviceCard.SliderMoved) and message.card is self.card

    def watch_view(self, view: CardView) -> None:
        self.set_class(view.is_host, "-host")

    # -- drawing -------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        width = self.content_size.width
        view = self.view
        rows = (self._title, self._slider, self._memory, self._sensors, self._note)
        runs = rows[y](view, width) if y < len(rows) else []
        base = self.rich_style
        segments = [
            Segment(text, base + self.get_component_rich_style(f"device-card--{role}", partial=True))
            for text, role in runs
        ]
        used = sum(cell_len(text) for text, _ in runs)
        segments.append(Segment(" " * max(0, width - used), base))
        return Strip(segments).crop(0, width)

    def _title(self, view: CardView, width: int) -> Runs:
        marker = "▶" if self.has_focus else " "
        number = "  " if view.is_host else f"{view.index + 1:<2}"
        signs = (" locked" if view.locked else "") + (f" {drawing.OUTPUT} output" if view.output else "")
        state = _STATES.get(view.process, ("", "dim"))
        right = f"{view.role}{'  ' if state[0] else ''}"
        room = width - 3 - cell_len(signs) - cell_len(right) - cell_len(state[0]) - 1
        name = drawing.fit(view.name, min(cell_len(view.name), max(4, room)))
        gap = max(1, width - 3 - cell_len(name) - cell_len(signs) - cell_len(right) - cell_len(state[0]))
        return [
            (f"{marker}{number}", "title"),
            (name, "title"),
            (signs, "warn" if view.locked else "dim"),
            (" " * gap + right, "dim"),
            state,
        ]

    def _track(self, width: int) -> tuple[int, int]:
        """First cell and width of the slider."""
        return _LABEL_CELLS, max(3, width - _LABEL_CELLS - _LAYERS_CELLS)

    def _slider(self, view: CardView, width: int) -> Runs:
        start, track = self._track(width)
        runs: Runs = [("layers".ljust(start), "label")]
        over = view.short_bytes > 0
        runs += drawing.slider(
            track, view.layers, view.maximum, running=view.running, ghost=view.ghost, locked=view.locked, over=over
        )
        if view.entry is not None:
            return [*runs, (f" {view.entry:>3}▏ ⏎", "entry")]
        change = "" if view.running in (None, view.layers) else f"{view.layers - view.running:+d}"
        return [*runs, (f" {view.layers:>4}", "title"), (f" {f'({change})' if change else '':<6}", "warn")]

    def _memory(self, view: CardView, width: int) -> Runs:
        need, budget = view.memory.total_bytes, view.budget_bytes
        of = f" / {format_bytes(budget):>8}" if budget is not None else " " * 11
        used = None if view.sample is None else view.sample.used_bytes
        if view.short_bytes:
            now = (f" !{missing_mib(view.short_bytes)} over", "crit")
        else:
            now = (f"  now {format_bytes(used):>8}", "dim")
        numbers: Runs = [(f" {format_bytes(need):>8}{of}", "title"), now]
        bar = self._gauge_cells(width)
        if not need and used is None:
            # An empty device is an empty bar, not a missing one.
            shown: Runs = [(drawing.FREE * bar, "free")]
        else:
            shown = drawing.memory_bar(bar, view.memory, budget, used)
        return [("memory".ljust(_LABEL_CELLS), "label"), *shown, *numbers]

    @staticmethod
    def _gauge_cells(width: int) -> int:
        """Memory bar and history stand above each other: one width for both."""
        return max(0, width - _LABEL_CELLS - _NUMBERS_CELLS)

    def _sensors(self, view: CardView, width: int) -> Runs:
        sample = view.sample
        if view.stale_s is not None:
            return [("sensor".ljust(_LABEL_CELLS), "label"), (f"no reading for {view.stale_s:.0f} s", "warn")]
        facts = _facts(view)
        room = min(self._gauge_cells(width), max(0, width - _LABEL_CELLS - cell_len(facts) - 1))
        limit = (sample.slowdown_c if sample else None) or 90.0
        if view.is_cpu:
            graph = drawing.history(room, view.loads, 100.0, warn=1e9, crit=1e9)
        else:
            graph = drawing.history(room, view.temperatures, limit, warn=limit - 10, crit=limit)
        label = "cpu" if view.is_cpu else "temp"
        return [(label.ljust(_LABEL_CELLS), "label"), *graph, (f" {facts}", "dim")]

    def _note(self, view: CardView, width: int) -> Runs:
        if not view.note:
            return []
        return [("why".ljust(_LABEL_CELLS), "label"), (drawing.fit(view.note, width - _LABEL_CELLS).rstrip(), "warn")]

    # -- mouse ---------------------------------------------------------------------------------------------

    def _on_slider_row(self, event: events.MouseEvent) -> bool:
        return event.screen_y - self.content_region.y == 1

    def _point(self, event: events.MouseEvent) -> None:
        start, track = self._track(self.content_size.width)
        cell = event.screen_x - self.content_region.x - start
        self.post_message(self.SliderMoved(self, drawing.slider_value(track, cell, self.view.maximum)))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self.focus()
        if self._on_slider_row(event):
            event.stop()
            self.capture_mouse()
            self._point(event)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self.dragging:
            event.stop()
            self._point(event)

    # The wheel moves layers on the focused card only: scrolling through many cards shall change nothing.

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        if self.has_focus and self._on_slider_row(event):
            event.stop()
            self.post_message(self.SliderMoved(self, self.view.layers + 1))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        if self.has_focus and self._on_slider_row(event):
            event.stop()
            self.post_message(self.SliderMoved(self, self.view.layers - 1))


_STATES = {
    "starting": ("◐ starting", "warn"),
    "ready": ("● up", "ok"),
    "stopping": ("◒ stopping", "warn"),
    "failed": ("✗ ended", "crit"),
    "waiting": ("◌ waits", "warn"),
    "stopped": ("○ stopped", "dim"),
}


def _facts(view: CardView) -> str:
    """The sensors' numbers in fixed widths, so that nothing jumps while they change."""
    sample = view.sample
    if sample is None:
        return f"{UNKNOWN:>4} %  {UNKNOWN:>3} °C"
    load = UNKNOWN if sample.utilisation_percent is None else f"{sample.utilisation_percent:.0f}"
    heat = UNKNOWN if sample.temperature_c is None else f"{sample.temperature_c:.0f}"
    text = f"{load:>4} %  {heat:>3} °C"
    if sample.slowdown_c is not None:
        text += f" of {sample.slowdown_c:.0f}"
    if sample.power_w is not None:
        limit = "" if sample.power_limit_w is None else f"/{sample.power_limit_w:.0f}"
        text += f"  {sample.power_w:>3.0f}{limit} W"
    if sample.link_now is not None:
        text += f"  {sample.link_now}"
    return text
