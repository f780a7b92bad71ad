"""What a device looks like as a card, and in every form: plain functions that give rows of pieces with roles."""

from __future__ import annotations

from collections.abc import Mapping

from rich.cells import cell_len

from hettui.domain.records import dataclass
from hettui.domain.units import format_bytes, missing_mib
from hettui.ui.colours.roles import Look
from hettui.ui.drawing import gauges, readings
from hettui.ui.drawing.card_parts import (
    LABEL_CELLS,
    STATES,
    WARM_C,
    cpu_facts,
    fresh,
    layers_change,
    limit_c,
    memory_scale,
    silent,
    track,
)
from hettui.ui.drawing.device_row import one_row, row_columns
from hettui.ui.drawing.gauges import Runs
from hettui.ui.drawing.layout import CARD_ROWS, ROOMY_ROWS, Form
from hettui.ui.presenting.views import CardView

LOOKS: Mapping[str, Look] = {
    "title": Look("foreground", text="bold"),
    "dim": Look("hettui-muted"),
    "label": Look("hettui-muted"),
    "fill": Look("primary"),
    "track": Look("hettui-muted"),
    "tick": Look("foreground"),
    "over": Look("hettui-crit", text="bold"),
    "weights": Look("hettui-weights"),
    "kv": Look("hettui-kv"),
    "compute": Look("hettui-compute"),
    "overhead": Look("hettui-overhead"),
    "free": Look("hettui-muted"),
    "foreign": Look("hettui-foreign"),
    "measured": Look("foreground", text="bold"),
    "ghost": Look("hettui-kv"),
    "temp-ok": Look("hettui-temp-ok"),
    "temp-warn": Look("hettui-temp-warn"),
    "temp-crit": Look("hettui-temp-crit"),
    "ok": Look("hettui-ok"),
    "warn": Look("hettui-warn"),
    "crit": Look("hettui-crit", text="bold"),
    "entry": Look("foreground", text="bold reverse"),
}
"""Roles of these rows, and of gauges."""

LAYERS_CELLS = 12
NUMBERS_CELLS = 34
"""`  13.2 GiB / 15.5 GiB  now 13.0 GiB`: always as wide, so that bars and numbers line up over all cards."""
_NOW_CELLS = 14
_WHOLE_NAME = 20
"""Of a device's name so much is not cut for its part of a token's time."""
FOCUSED, CHOSEN = "▶", "▷"
"""The selected device, with and without the keyboard."""

_ROOM_C = 20.0
"""Where the heat's scale begins."""
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
    def experts_row(self) -> int | None:
        """Where experts stand, below the layers; none in a row."""
        return None if self.form is Form.ROW else 2

    @property
    def slider(self) -> tuple[int, int, int]:
        """Its row, first cell and width."""
        if self.form is Form.ROW:
            columns = row_columns(self.width)
            return 0, columns.slider_start, columns.slider
        return 1, LABEL_CELLS, max(3, self.width - LABEL_CELLS - LAYERS_CELLS)


_KEPT = frozenset(("entry", "crit", "warn", "over", "tick", "ghost"))
"""What an idle device's card still says aloud."""


def device_rows(view: CardView, frame: Frame) -> list[Runs]:
    """The rows of a card, or the one row. One that holds nothing is faint."""
    rows = _device_rows(view, frame)
    return [faint(row) for row in rows] if view.idle else rows


def faint(row: Runs) -> Runs:
    return [(text, role if role in _KEPT else "dim" if role else "") for text, role in row]


def _device_rows(view: CardView, frame: Frame) -> list[Runs]:
    if frame.form is Form.ROW:
        return [one_row(view, frame.width, frame.marker)][: frame.rows]
    if view.idle and not view.is_host:
        # What could be read of it matters less than why it is out, and how it comes back.
        return [_title(view, frame), _slider(view, frame), _note(view, frame), _memory(view, frame)][: frame.rows]
    if frame.form is Form.COMPACT:
        return [_title(view, frame, facts=True), *_sliders(view, frame), _memory(view, frame)][: frame.rows]
    if view.is_host:
        return [_title(view, frame), _slider(view, frame), _memory(view, frame)][: frame.rows]
    return _card(view, frame)[: frame.rows]


def _card(view: CardView, frame: Frame) -> list[Runs]:
    top = [_title(view, frame), *_sliders(view, frame), _memory(view, frame)]
    if frame.form is Form.TALL:
        return [*top, _parts(view, frame), *_graphs(view, frame), _note(view, frame)]
    if frame.rows >= ROOMY_ROWS + len(top) - 3 and not view.is_cpu:
        return [*top, _heat(view, frame, facts="some"), _load(view, frame), _note(view, frame)]
    return [*top, _heat(view, frame), _note(view, frame)]


def details_frame(width: int, rows: int, graph_rows: int) -> Frame:
    """The room of the selected device below all others."""
    return Frame(Form.CARD if rows <= ROOMY_ROWS else Form.TALL, width, rows, graph_rows)


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
    part = _of_a_token(view, frame.width - taken - 2 - min(cell_len(view.name), _WHOLE_NAME))
    taken += cell_len(part)
    name = gauges.fit_name(view.name, min(cell_len(view.name), max(4, frame.width - taken - 1)))
    gap = max(1, frame.width - taken - cell_len(name))
    return [
        (f"{frame.marker}{number}", "title"),
        (name, "title"),
        (signs, "warn" if view.locked else "dim"),
        (part, "dim"),
        (" " * gap, ""),
        *(readings.pieces(right) if facts else [(right, "dim")]),
        *([("  ", "")] if facts and state else []),
        (state, role),
    ]


def _of_a_token(view: CardView, room: int) -> str:
    """` · 31 % of each token, waits 69 %`, as much of it as there is room for; the name goes before it."""
    if view.share is None:
        return ""
    percent = round(100 * view.share)
    short = f" · {percent} %"
    texts = (f"{short} of each token, waits {100 - percent} %", f"{short} of each token", short)
    return next((text for text in texts if len(text) <= room), "")


def _slider(view: CardView, frame: Frame) -> Runs:
    _, start, cells = frame.slider
    runs: Runs = [("layers".ljust(start), "label"), *track(view, cells)]
    if view.entry is not None:
        return [*runs, (f" {view.entry:>3}▏ ⏎", "entry")]
    change = layers_change(view)
    return [*runs, (f" {view.layers:>4}", "title"), (f" {f'({change})' if change else '':<6}", "warn")]


def _sliders(view: CardView, frame: Frame) -> list[Runs]:
    """Layers and, where they are shown, experts or FFN."""
    rows = [_slider(view, frame)]
    if view.experts is None:
        return rows
    here, most = view.experts
    _, start, cells = frame.slider
    drawn = gauges.slider(cells, here, most, over=view.short_bytes > 0)
    of = (f"/{most:<6}", "warn" if here < most else "dim")
    return [*rows, [(view.moves.ljust(start), "label"), *drawn, (f" {here:>4}", "title"), of]]


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
        shown = gauges.memory_bar(frame.gauge_cells, view.memory, memory_scale(view))
    return [("memory".ljust(LABEL_CELLS), "label"), *shown, *_memory_numbers(view)]


def _memory_parts(view: CardView) -> list[tuple[str, str, str, int]]:
    """Glyph, role, word and bytes."""
    memory = view.memory
    draft = [(gauges.DRAFT, "weights", "draft", memory.draft_bytes)] if memory.draft_bytes else []
    draft += [(gauges.DRAFT, "weights", "beside", memory.beside_bytes)] if memory.beside_bytes else []
    return [
        (gauges.WEIGHTS, "weights", "weights", memory.weights_bytes),
        (gauges.CONTEXT, "kv", "KV cache", memory.context_bytes),
        (gauges.COMPUTE, "compute", "compute", memory.compute_bytes),
        *draft,
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
        return silent(view.stale_s)
    sample = fresh(view)
    label, gauge = _gauge(view)
    if view.is_cpu:
        said = cpu_facts(sample)
    else:
        said = readings.heat_facts(sample) if facts == "some" else readings.all_facts(sample)
    drawn = gauges.history(frame.gauge_cells, view.history, gauge)
    return [(label.ljust(LABEL_CELLS), "label"), *drawn, *readings.pieces(said)]


def _gauge(view: CardView) -> tuple[str, gauges.Gauge]:
    if view.is_cpu:
        return "cpu", _LOAD_GAUGE
    limit = limit_c(view)
    return "heat", gauges.Gauge(_ROOM_C, limit, limit - WARM_C, limit)


def _load(view: CardView, frame: Frame) -> Runs:
    sample = fresh(view)
    load = sample.utilisation_percent
    cells = frame.gauge_cells
    full = 0 if load is None else round(min(load, 100) / 100 * cells)
    bar: Runs = [("▆" * full, "fill"), ((" " if load is None else gauges.FREE) * (cells - full), "track")]
    return [("load".ljust(LABEL_CELLS), "label"), *bar, *readings.pieces(readings.load_facts(sample))]


def _graphs(view: CardView, frame: Frame) -> list[Runs]:
    """Two minutes of heat and of load, each over several rows; of a CPU only its load."""
    cells, each = frame.gauge_cells, frame.graph_rows
    if view.stale_s is not None:
        return [silent(view.stale_s), *([] for _ in range(2 * each - 1))]
    sample = fresh(view)
    label, gauge = _gauge(view)
    if view.is_cpu:
        said = cpu_facts(sample)
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
        return silent(view.stale_s)
    sample = fresh(view)
    runs: Runs = [("memory".ljust(LABEL_CELLS), "label"), *_memory_numbers(view)]
    return runs if view.is_host else [*runs, *readings.pieces(readings.all_facts(sample))]


def _note(view: CardView, frame: Frame) -> Runs:
    if not view.note:
        return []
    label = "why" if view.note_role in ("warn", "crit") else ""
    room = frame.width - LABEL_CELLS
    # What brings an idle device back stands first, its reason behind.
    shown = gauges.cut(view.note, room) if view.idle else gauges.fit(view.note, room).rstrip()
    return [(label.ljust(LABEL_CELLS), "label"), (shown, view.note_role)]
