"""One device: name and state, slider, memory against the budget, sensors, and one line why.

The card is one widget that draws its rows itself: sixteen of them repaint within a frame.
"""

from __future__ import annotations

import re

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from hettui.domain.telemetry import DeviceSample, Link
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
    "free", "foreign", "measured", "ghost", "temp-ok", "temp-warn", "temp-crit", "ok", "warn", "crit", "entry",
)  # fmt: skip
_ROOMY_ROWS = 6
"""From so many rows on a GPU's heat and load stand on two."""
_EMPTY = CardView(0, "", "", 0, 1)


class DeviceCard(Draggable, can_focus=True):
    """The focused card is the selected one. Keys are the screen's; the mouse moves the slider.

    | component class | what |
    | `device-card--ROLE` | the colours of the roles in `hettui.ui.drawing` |
    """

    ALLOW_SELECT = False
    takes_text = False
    """A device's name is being typed: letters are no commands."""
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
    .device-card--foreign { color: $hettui-foreign; }
    .device-card--measured { color: $foreground; text-style: bold; }
    .device-card--temp-ok { color: $hettui-temp-ok; }
    .device-card--temp-warn { color: $hettui-temp-warn; }
    .device-card--temp-crit { color: $hettui-temp-crit; }
    .device-card--ok { color: $hettui-ok; }
    .device-card--warn { color: $hettui-warn; }
    .device-card--entry { color: $foreground; text-style: bold reverse; }
    """

    view: reactive[CardView] = reactive(_EMPTY, repaint=False)

    class SliderMoved(Message):
        """The mouse put the slider somewhere; the screen decides what that means for the others."""

        def __init__(self, card: DeviceCard, layers: int) -> None:
            super().__init__()
            self.card = card
            self.layers = layers

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, DeviceCard.SliderMoved) and message.card is self.card

    def __init__(self) -> None:
        super().__init__()
        self._drawn: list[Runs] = []
        """What stands on the screen."""

    def check_consume_key(self, key: str, character: str | None = None) -> bool:
        return self.takes_text and character is not None and character.isprintable()

    def watch_view(self, view: CardView) -> None:
        self.set_class(view.is_host, "-host")
        self.set_class(not view.is_host and not view.is_cpu, "-gpu")
        self._repaint()

    # -- drawing -------------------------------------------------------------------------------------------

    @property
    def history_cells(self) -> int:
        """How wide its graphs are."""
        return self._gauge_cells(self.content_size.width)

    def _repaint(self) -> None:
        """Repaints only the cells that change: over a slow line every reading costs little."""
        before, self._drawn = self._drawn, self._rows()
        if len(before) != len(self._drawn):
            self.refresh()
            return
        changes = (drawing.changed_cells(old, new) for old, new in zip(before, self._drawn, strict=True))
        regions = [Region(cells[0], y, cells[1], 1) for y, cells in enumerate(changes) if cells]
        if regions:
            self.refresh(*regions)

    def _rows(self) -> list[Runs]:
        width, height, view = self.content_size.width, self.content_size.height, self.view
        rows = [self._title, self._slider, self._memory]
        if not view.is_host:
            rows += [self._heat, self._load, self._note] if height >= _ROOMY_ROWS else [self._heat, self._note]
        drawn = []
        for row in rows[:height]:
            runs = row(view, width)
            drawn.append([*runs, (" " * max(0, width - sum(cell_len(text) for text, _ in runs)), "")])
        return drawn

    def render_line(self, y: int) -> Strip:
        if y == 0 or y >= len(self._drawn):
            self._drawn = self._rows()
        base = self.rich_style
        segments = [
            Segment(text, base + self.get_component_rich_style(f"device-card--{role}", partial=True) if role else base)
            for text, role in (self._drawn[y] if y < len(self._drawn) else [(" " * self.content_size.width, "")])
        ]
        # Neighbours of one style are written as one: each of its own would cost its colours once more.
        return Strip(segments).simplify().crop(0, self.content_size.width)

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
        scale = drawing.MemoryScale(budget, view.card_bytes, view.own_bytes, view.foreign_bytes)
        shown = drawing.memory_bar(self._gauge_cells(width), view.memory, scale)
        return [("memory".ljust(_LABEL_CELLS), "label"), *shown, *numbers]

    @staticmethod
    def _gauge_cells(width: int) -> int:
        """Memory bar and history stand above each other: one width for both."""
        return max(0, width - _LABEL_CELLS - _NUMBERS_CELLS)

    def _heat(self, view: CardView, width: int) -> Runs:
        """The graph of two minutes, and the numbers that matter most; on a roomy card the others stand below."""
        if view.stale_s is not None:
            return [("sensor".ljust(_LABEL_CELLS), "label"), (f"no reading for {view.stale_s:.0f} s", "warn")]
        sample = view.sample or _NO_READINGS
        if view.is_cpu:
            label, gauge, facts = "cpu", _CPU_GAUGE, f"{_percent(sample.utilisation_percent)}  {_celsius(sample)}"
        else:
            limit = sample.slowdown_c or _USUAL_SLOWDOWN_C
            label, gauge = "heat", drawing.Gauge(_ROOM_C, limit, limit - 10, limit)
            facts = _heat_facts(sample) if self.content_size.height >= _ROOMY_ROWS else _all_facts(sample)
        graph = drawing.history(self._gauge_cells(width), view.history, gauge)
        return [(label.ljust(_LABEL_CELLS), "label"), *graph, *_pieces(facts)]

    def _load(self, view: CardView, width: int) -> Runs:
        sample = view.sample if view.sample is not None and view.stale_s is None else _NO_READINGS
        load = sample.utilisation_percent
        cells = self._gauge_cells(width)
        full = 0 if load is None else round(min(load, 100) / 100 * cells)
        bar: Runs = [("▆" * full, "fill"), ((" " if load is None else drawing.FREE) * (cells - full), "track")]
        return [("load".ljust(_LABEL_CELLS), "label"), *bar, *_pieces(_load_facts(sample))]

    def _note(self, view: CardView, width: int) -> Runs:
        if not view.note:
            return []
        label = "why" if view.note_role in ("warn", "crit") else ""
        shown = drawing.fit(view.note, width - _LABEL_CELLS).rstrip()
        return [(label.ljust(_LABEL_CELLS), "label"), (shown, view.note_role)]

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


_NO_READINGS = DeviceSample()
_ROOM_C = 20.0
"""Where the heat's scale begins."""
_USUAL_SLOWDOWN_C = 90.0
"""Of cards that do not tell theirs."""
_CPU_GAUGE = drawing.Gauge(0.0, 100.0, 1e9, 1e9)


def _pieces(text: str) -> Runs:
    """Each number a piece of its own, so that only the one that changes is repainted."""
    return [(piece, "dim") for piece in re.findall(r"\s*\S+", text)]


def _number(value: float | None, width: int, form: str = ".0f") -> str:
    return f"{UNKNOWN if value is None else format(value, form):>{width}}"


def _percent(value: float | None) -> str:
    return f"{_number(value, 5)} %"


def _celsius(sample: DeviceSample) -> str:
    return f"{_number(sample.temperature_c, 3)} °C"


def _watts(sample: DeviceSample) -> str:
    return f"{_number(sample.power_w, 4)}/{_number(sample.power_limit_w, 1):<3} W"


def _heat_facts(sample: DeviceSample) -> str:
    of = "" if sample.slowdown_c is None else f" of {sample.slowdown_c:.0f}"
    memory = "" if sample.memory_temperature_c is None else f"  mem {sample.memory_temperature_c:.0f}"
    fan = "" if sample.fan_percent is None else f"  fan {sample.fan_percent:>3.0f} %"
    return f" {_celsius(sample)}{of}{memory}{fan}"


def _load_facts(sample: DeviceSample) -> str:
    clock = "" if sample.clock_mhz is None else f" {sample.clock_mhz / 1000:.2f} GHz"
    link = "" if sample.link_now is None else f" {_short(sample.link_now)}"
    return f"{_number(sample.utilisation_percent, 4)} %{_watts(sample)}{clock}{link}"


def _all_facts(sample: DeviceSample) -> str:
    of = "" if sample.slowdown_c is None else f"/{sample.slowdown_c:.0f}"
    link = "" if sample.link_now is None else f" {_short(sample.link_now)}"
    heat = f"{_number(sample.temperature_c, 4)}{of} °C"
    return f"{heat}{_number(sample.utilisation_percent, 4)} %{_watts(sample)}{link}"


def _short(link: Link) -> str:
    return str(link).replace(" ", "")
