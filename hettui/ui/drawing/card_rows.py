"""What a device looks like in each form, as plain functions: rows of pieces with roles."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len

from hettui.domain.units import UNKNOWN, format_bytes, missing_mib
from hettui.ui.drawing import gauges, readings
from hettui.ui.drawing.gauges import Runs
from hettui.ui.drawing.layout import CARD_ROWS, ROOMY_ROWS, Form
from hettui.ui.drawing.readings import NO_READINGS
from hettui.ui.presenting.views import CardView

LABEL_CELLS = 7
LAYERS_CELLS = 12
NUMBERS_CELLS = 34
"""`  13.2 GiB / 15.5 GiB  now 13.0 GiB`: always as wide, so that bars and numbers line up over all cards."""
_NOW_CELLS = 14
FOCUSED, CHOSEN = "▶", "▷"
"""The selected device, with and without the keyboard."""

STATES = {
    "starting": ("◐", "starting", "warn"),
    "ready": ("●", "up", "ok"),
    "stopping": ("◒", "stopping", "warn"),
    "failed": ("✗", "ended", "crit"),
    "waiting": ("◌", "waits", "warn"),
    "stopped": ("○", "stopped", "dim"),
}
"""Sign, word and role of a process's state: readable without colours."""

_ROOM_C = 20.0
"""Where the heat's scale begins."""
_USUAL_SLOWDOWN_C = 90.0
"""Of cards that do not tell theirs."""
_LOAD_GAUGE = gauges.Gauge(0.0, 100.0, 1e9, 1e9)


@dataclass(frozen=True, slots=True)
class Frame:
    """The room that a device has, and how it is shown in it."""

    form: Form
    width: int
    rows: int
    graph_rows: int = 1
    marker: str = " "
    """Before its number."""

    @property
    def gauge_cells(self) -> int:
        """Memory bar and history stand above each other: one width for both."""
        return max(0, self.width - LABEL_CELLS - NUMBERS_CELLS)

    @property
    def slider(self) -> tuple[int, int, int]:
        """Its row, first cell and width."""
        if self.form is Form.ROW:
            columns = row_columns(self.width)
            return 0, columns.slider_start, columns.slider
        return 1, LABEL_CELLS, max(3, self.width - LABEL_CELLS - LAYERS_CELLS)


def device_rows(view: CardView, frame: Frame) -> list[Runs]:
    """The rows of a card, or the one row."""
    if frame.form is Form.ROW:
        return [_row(view, frame)][: frame.rows]
    if frame.form is Form.COMPACT:
        return [_title(view, frame, facts=True), _slider(view, frame), _memory(view, frame)][: frame.rows]
    if view.is_host:
        return [_title(view, frame), _slider(view, frame), _memory(view, frame)][: frame.rows]
    return _card(view, frame)[: frame.rows]


def _card(view: CardView, frame: Frame) -> list[Runs]:
    title, slider, memory = _title(view, frame), _slider(view, frame), _memory(view, frame)
    if frame.form is Form.TALL:
        return [title, slider, memory, _parts(view, frame), *_graphs(view, frame), _note(view, frame)]
    if frame.rows >= ROOMY_ROWS and not view.is_cpu:
        return [title, slider, memory, _heat(view, frame, facts="some"), _load(view, frame), _note(view, frame)]
    return [title, slider, memory, _heat(view, frame), _note(view, frame)]


def details_rows(view: CardView, frame: Frame, *, beside: Form) -> list[Runs]:
    """Of the selected device, below all others: what its own row (`beside`) does not say, the most important first."""
    if beside is Form.COMPACT:
        rows = [_heat(view, frame), _load(view, frame), _note(view, frame)]
        return ([rows[2]] if frame.rows == 1 else [rows[0], rows[2]] if frame.rows == 2 else rows)[: frame.rows]
    if frame.rows >= CARD_ROWS:
        if view.is_host:
            return device_rows(view, frame)
        return _card(view, frame)[: frame.rows]
    brief = _brief(view, frame)
    if frame.rows <= 2:
        note = _note(view, frame)
        return ([note or brief] if frame.rows == 1 else [brief, note])[: frame.rows]
    rows = [_memory(view, frame), _heat(view, frame), _note(view, frame)]
    return [_title(view, frame), *rows][: frame.rows] if frame.rows > len(rows) else rows


# -- one line ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RowColumns:
    """Cells of each column of a one-line row; 0: it is not there. The same for all rows of one width."""

    name: int
    change: int
    slider: int
    bar: int
    share: int
    temperature: int
    load: int
    power: int
    numbers: int
    state: int

    @property
    def slider_start(self) -> int:
        return _MARK_CELLS + self.name + 2


_MARK_CELLS, _COUNT_CELLS = 4, 4
_CHANGE_CELLS, _SHARE_CELLS, _READING_CELLS, _STATE_CELLS = 5, 5, 5, 2
_BYTES_CELLS = 20
_LONGEST_NAME = 28
_LEAST_NAME = 6


def row_columns(width: int) -> RowColumns:
    """The least important columns go first where it is narrow; number, name and layers are always there."""
    change = _CHANGE_CELLS if width >= 24 else 0
    state = _STATE_CELLS if width >= 20 else 0
    share = _SHARE_CELLS if width >= 34 else 0
    temperature = _READING_CELLS if width >= 42 else 0
    load = _READING_CELLS if width >= 50 else 0
    power = _READING_CELLS if width >= 88 else 0
    numbers = _BYTES_CELLS if width >= 104 else 0
    rest = width - _MARK_CELLS - 2 - _COUNT_CELLS
    rest -= change + state + share + temperature + load + power + numbers
    if rest < _LEAST_NAME + 4:
        return RowColumns(max(rest, 1), change, 0, 0, share, temperature, load, power, numbers, state)
    name = min(max(rest * 3 // 10, min(8, rest - 4)), _LONGEST_NAME)
    bar = (rest - name) * 9 // 20 - 1 if rest - name >= 16 else 0
    slider = rest - name - (bar + 1 if bar else 0)
    return RowColumns(name, change, slider, bar, share, temperature, load, power, numbers, state)


def row_titles(width: int) -> Runs:
    """What stands in the columns of the rows below."""
    columns = row_columns(width)
    text = " " * _MARK_CELLS + gauges.fit("device", columns.name + 2) + gauges.fit("layers", columns.slider)
    text += " " * (_COUNT_CELLS + columns.change)
    if columns.bar:
        text += " " + gauges.fit("memory", columns.bar)
    text += " " * columns.numbers + f"{'mem' if not columns.bar else '':>{columns.share}}"
    text += f"{'°C':>5}" if columns.temperature else ""
    text += f"{'load':>5}" if columns.load else ""
    text += f"{'W':>5}" if columns.power else ""
    return [(gauges.fit(text, width), "label")]


def _row(view: CardView, frame: Frame) -> Runs:
    columns = row_columns(frame.width)
    number = "  " if view.is_host else f"{view.index + 1:>2}"
    over = view.short_bytes > 0
    runs: Runs = [
        (f"{frame.marker}{number} ", "title"),
        (gauges.fit_name(view.name, columns.name), "title"),
        (f"{gauges.OUTPUT if view.output else ' '} ", "dim"),
        *gauges.slider(
            columns.slider,
            view.layers,
            view.maximum,
            running=view.running,
            ghost=view.ghost,
            locked=view.locked,
            over=over,
        ),
        *_count(view, columns),
    ]
    if columns.bar:
        runs += [(" ", ""), *_row_memory(view, columns.bar)]
    if columns.numbers:
        budget = "" if view.budget_bytes is None else f" / {format_bytes(view.budget_bytes)}"
        runs.append((f"{format_bytes(view.memory.total_bytes):>9}{budget:<11}", "dim"))
    budget_bytes = view.budget_bytes
    share = view.memory.total_bytes / budget_bytes * 100 if budget_bytes else None
    if columns.share:
        said = UNKNOWN if share is None else f"{share:.0f}%" if share < 999.5 else ">999%"
        runs.append((f"{said:>{columns.share}}", "crit" if over else "dim"))
    sample = view.sample if view.sample is not None and view.stale_s is None else NO_READINGS
    if view.is_host and view.sample is None:
        # Nothing measures it: not even a dash for what nobody asks.
        runs.append((" " * (columns.temperature + columns.load + columns.power), ""))
        return [*runs, _sign(view)] if columns.state else runs
    if columns.temperature:
        hot = sample.temperature_c is not None and sample.temperature_c >= _limit_c(view) - 10
        role = "warn" if hot else "dim"
        runs.append((f"{readings.number(sample.temperature_c, 4)}°", role))
    if columns.load:
        runs.append((f"{readings.number(sample.utilisation_percent, 4)}%", "dim"))
    if columns.power:
        runs.append((f"{readings.number(sample.power_w, 4)}W", "dim"))
    return [*runs, _sign(view)] if columns.state else runs


def _row_memory(view: CardView, width: int) -> Runs:
    """A bar against the budget; without one there is nothing to compare with, and a number says more."""
    if view.budget_bytes is None and view.card_bytes is None:
        return [(gauges.fit(format_bytes(view.memory.total_bytes), width), "dim")]
    return gauges.memory_bar(width, view.memory, _scale(view))


def _count(view: CardView, columns: RowColumns) -> Runs:
    if view.entry is not None:
        return [(f"{view.entry:>3}▏" + (" ⏎   " if columns.change else ""), "entry")]
    change = "" if view.running in (None, view.layers) else f"{view.layers - view.running:+d}"
    return [(f"{view.layers:>4}", "title"), (f" {change:<4}" if columns.change else "", "warn")]


def _sign(view: CardView) -> tuple[str, str]:
    """What is wrong, else what its process does."""
    sign, _, role = STATES.get(view.process, (" ", "", "dim"))
    if view.note and view.note_role in ("warn", "crit") and role != "crit":
        sign, role = "!", view.note_role
    if view.stale_s is not None:
        sign, role = "?", "warn"
    return f" {sign}", role


def _scale(view: CardView) -> gauges.MemoryScale:
    return gauges.MemoryScale(view.budget_bytes, view.card_bytes, view.own_bytes, view.foreign_bytes)


def _limit_c(view: CardView) -> float:
    return (view.sample.slowdown_c if view.sample else None) or _USUAL_SLOWDOWN_C


# -- cards -------------------------------------------------------------------------------------------------------


def _title(view: CardView, frame: Frame, *, facts: bool = False) -> Runs:
    number = "  " if view.is_host else f"{view.index + 1} "
    signs = (" locked" if view.locked else "") + (f" {gauges.OUTPUT} output" if view.output else "")
    sign, word, role = STATES.get(view.process, ("", "", "dim"))
    state = f"{sign} {word}" if sign else ""
    said = view.role
    if facts and view.sample is not None and view.stale_s is None and not view.is_host:
        heat_and_load = f"{readings.celsius(view.sample)}{readings.percent(view.sample.utilisation_percent)}"
        said = "asleep" if view.sample.asleep else heat_and_load
    right = f"{said}{'  ' if state else ''}"
    taken = 1 + len(number) + cell_len(signs) + cell_len(right) + cell_len(state)
    name = gauges.fit_name(view.name, min(cell_len(view.name), max(4, frame.width - taken - 1)))
    gap = max(1, frame.width - taken - cell_len(name))
    return [
        (f"{frame.marker}{number}", "title"),
        (name, "title"),
        (signs, "warn" if view.locked else "dim"),
        (" " * gap, ""),
        *(readings.pieces(right) if facts else [(right, "dim")]),
        *([("  ", "")] if facts and state else []),
        (state, role),
    ]


def _slider(view: CardView, frame: Frame) -> Runs:
    _, start, track = frame.slider
    runs: Runs = [("layers".ljust(start), "label")]
    over = view.short_bytes > 0
    runs += gauges.slider(
        track, view.layers, view.maximum, running=view.running, ghost=view.ghost, locked=view.locked, over=over
    )
    if view.entry is not None:
        return [*runs, (f" {view.entry:>3}▏ ⏎", "entry")]
    change = "" if view.running in (None, view.layers) else f"{view.layers - view.running:+d}"
    return [*runs, (f" {view.layers:>4}", "title"), (f" {f'({change})' if change else '':<6}", "warn")]


def _memory_numbers(view: CardView) -> Runs:
    need, budget = view.memory.total_bytes, view.budget_bytes
    of = f" / {format_bytes(budget):>8}" if budget is not None else " " * 11
    used = None if view.sample is None else view.sample.used_bytes
    if view.short_bytes:
        missing = f" !{missing_mib(view.short_bytes)}"
        now = (missing + (" over" if len(missing) <= _NOW_CELLS - 5 else ""), "crit")
    else:
        now = (f"  now {format_bytes(used):>8}", "dim")
    return [(f" {format_bytes(need):>8}{of}", "title"), now]


def _memory(view: CardView, frame: Frame) -> Runs:
    if view.budget_bytes is None and view.card_bytes is None and view.own_bytes is None:
        shown = _told_parts(view, frame.gauge_cells)
    else:
        shown = gauges.memory_bar(frame.gauge_cells, view.memory, _scale(view))
    return [("memory".ljust(LABEL_CELLS), "label"), *shown, *_memory_numbers(view)]


def _memory_parts(view: CardView) -> list[tuple[str, str, str, int]]:
    """Glyph, role, word and bytes."""
    memory = view.memory
    return [
        (gauges.WEIGHTS, "weights", "weights", memory.weights_bytes),
        (gauges.CONTEXT, "kv", "KV cache", memory.context_bytes),
        (gauges.COMPUTE, "compute", "compute", memory.compute_bytes),
        (gauges.OVERHEAD, "overhead", "overhead", memory.overhead_bytes),
    ]


def _told_parts(view: CardView, width: int) -> Runs:
    """In place of a bar that would have nothing to be compared with: as many of the parts as there is room for."""
    runs: Runs = []
    left = width
    for glyph, role, _, size in _memory_parts(view):
        text = f" {format_bytes(size)}  "
        if size and 1 + len(text) <= left:
            runs += [(glyph, role), (text, "dim")]
            left -= 1 + len(text)
    return [*runs, (" " * left, "")]


def _parts(view: CardView, frame: Frame) -> Runs:
    """What the planned memory is made of; also the key to the bar above."""
    parts = _memory_parts(view)
    worded = frame.width >= LABEL_CELLS + sum(len(word) + 13 for _, _, word, _ in parts)
    runs: Runs = [(" " * LABEL_CELLS, "label")]
    for glyph, role, word, size in parts:
        runs += [(glyph, role), (f" {word if worded else ''}{format_bytes(size):>{9 if worded else 8}}  ", "dim")]
    return runs


def _heat(view: CardView, frame: Frame, *, facts: str = "all") -> Runs:
    """The graph of two minutes, and the numbers that matter most; on a roomy card the others stand below."""
    if view.stale_s is not None:
        return [("sensor".ljust(LABEL_CELLS), "label"), (f"no reading for {view.stale_s:.0f} s", "warn")]
    sample = view.sample or NO_READINGS
    label, gauge = _gauge(view)
    if view.is_cpu:
        said = f"{readings.percent(sample.utilisation_percent)}  {readings.celsius(sample)}"
    else:
        said = readings.heat_facts(sample) if facts == "some" else readings.all_facts(sample)
    drawn = gauges.history(frame.gauge_cells, view.history, gauge)
    return [(label.ljust(LABEL_CELLS), "label"), *drawn, *readings.pieces(said)]


def _gauge(view: CardView) -> tuple[str, gauges.Gauge]:
    if view.is_cpu:
        return "cpu", _LOAD_GAUGE
    limit = _limit_c(view)
    return "heat", gauges.Gauge(_ROOM_C, limit, limit - 10, limit)


def _load(view: CardView, frame: Frame) -> Runs:
    sample = view.sample if view.sample is not None and view.stale_s is None else NO_READINGS
    load = sample.utilisation_percent
    cells = frame.gauge_cells
    full = 0 if load is None else round(min(load, 100) / 100 * cells)
    bar: Runs = [("▆" * full, "fill"), ((" " if load is None else gauges.FREE) * (cells - full), "track")]
    return [("load".ljust(LABEL_CELLS), "label"), *bar, *readings.pieces(readings.load_facts(sample))]


def _graphs(view: CardView, frame: Frame) -> list[Runs]:
    """Two minutes of heat and of load, each over several rows; of a CPU only its load."""
    cells, each = frame.gauge_cells, frame.graph_rows
    if view.stale_s is not None:
        return [_heat(view, frame), *([] for _ in range(2 * each - 1))]
    sample = view.sample or NO_READINGS
    label, gauge = _gauge(view)
    if view.is_cpu:
        said = f"{readings.percent(sample.utilisation_percent)}  {readings.celsius(sample)}"
        return _labelled(label, gauges.graph(cells, 2 * each, view.history, gauge), [said])
    heat = gauges.graph(cells, each, view.history, gauge)
    load = gauges.graph(cells, each, view.loads, _LOAD_GAUGE)
    return [
        *_labelled(label, heat, [readings.heat_facts(sample)]),
        *_labelled("load", load, [readings.load_facts(sample), readings.limits(sample)]),
    ]


def _labelled(label: str, rows: list[Runs], facts: list[str]) -> list[Runs]:
    texts = [*facts, *([""] * len(rows))]
    return [
        [((label if y == 0 else "").ljust(LABEL_CELLS), "label"), *row, *readings.pieces(texts[y])]
        for y, row in enumerate(rows)
    ]


def _brief(view: CardView, frame: Frame) -> Runs:
    """Memory and sensors in one line without bars."""
    if view.stale_s is not None:
        return [("sensor".ljust(LABEL_CELLS), "label"), (f"no reading for {view.stale_s:.0f} s", "warn")]
    sample = view.sample or NO_READINGS
    runs: Runs = [("memory".ljust(LABEL_CELLS), "label"), *_memory_numbers(view)]
    return runs if view.is_host else [*runs, *readings.pieces(readings.all_facts(sample))]


def _note(view: CardView, frame: Frame) -> Runs:
    if not view.note:
        return []
    label = "why" if view.note_role in ("warn", "crit") else ""
    shown = gauges.fit(view.note, frame.width - LABEL_CELLS).rstrip()
    return [(label.ljust(LABEL_CELLS), "label"), (shown, view.note_role)]
