"""What gauges and sliders look like, as plain functions: text in runs, each with a role that the theme colours.

Each bar says the same without colours: fills differ by glyph, marks are glyphs, and a number stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.cells import cell_len, set_cell_size

from hettui.domain.memory import Memory

Runs = list[tuple[str, str]]
"""Pieces of one row: text and role."""

WEIGHTS, CONTEXT, COMPUTE, OVERHEAD = "█", "▓", "▒", "░"
FREE = "·"
MEASURED = "┃"
OVER = "▚"
FOREIGN = "╱"
MARGIN = " "
OUTPUT = "◆"
GHOST = "◇"
_LEVELS = " ▁▂▃▄▅▆▇█"


def fit(text: str, width: int) -> str:
    """`text` in exactly `width` cells: padded, or cut in the middle."""
    if width <= 0:
        return ""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    if width == 1:
        return "…"
    head = set_cell_size(text, width // 2).rstrip()
    tail_room = width - 1 - cell_len(head)
    tail = text
    while cell_len(tail) > tail_room:
        tail = tail[1:]
    return set_cell_size(f"{head}…{tail}", width)


def merged(cells: Sequence[tuple[str, str]]) -> Runs:
    """Neighbouring cells of one role as one run."""
    return [("".join(glyph for glyph, _ in group), role) for role, group in groupby(cells, key=lambda cell: cell[1])]


def slider(
    width: int,
    value: int,
    maximum: int,
    *,
    running: int | None = None,
    ghost: int | None = None,
    locked: bool = False,
    over: bool = False,
) -> Runs:
    """`━━━━━●╌╌◇╌╌┆╌╌`: the value, where the planner would put it, and a tick where the running cluster is."""
    if width < 3:
        return [(" " * max(0, width), "track")]
    knob = slider_cell(width, value, maximum)
    filled = "over" if over else "fill"
    cells = [("━", filled) if x < knob else ("╌", "track") for x in range(width)]
    if ghost is not None:
        cells[slider_cell(width, ghost, maximum)] = (GHOST, "ghost")
    if running is not None:
        tick = slider_cell(width, running, maximum)
        cells[tick] = ("┆", "tick")
    cells[knob] = ("■" if locked else "●", filled)
    return merged(cells)


def slider_cell(width: int, value: int, maximum: int) -> int:
    """The cell in which a value stands."""
    return round(min(max(value, 0), maximum) / maximum * (width - 1)) if maximum else 0


def slider_value(width: int, cell: int, maximum: int) -> int:
    """The value that a click on a cell means: what `slider_cell` would draw there."""
    return round(min(max(cell, 0), width - 1) / (width - 1) * maximum) if width > 1 else 0


@dataclass(frozen=True, slots=True)
class MemoryScale:
    """What a memory bar is drawn against; None is not known."""

    budget_bytes: int | None = None
    total_bytes: int | None = None
    """The card's; the bar's end."""
    measured_bytes: int | None = None
    """What our processes hold now."""
    foreign_bytes: int | None = None
    """What others hold."""


def memory_bar(width: int, memory: Memory, scale: MemoryScale) -> Runs:
    """`████▓▓▒░···  ╱╱`: the planned parts from the left, up to the budget what is free, then the margin, and what
    others hold from the right. The mark is where our own use is now.

    The bar's end is the card's memory, else the budget; a need beyond that is drawn as over.
    """
    need, budget = memory.total_bytes, scale.budget_bytes
    end = max(scale.total_bytes or 0, budget or 0, need)
    end = end if budget or scale.total_bytes else max(end, scale.measured_bytes or 0)

    def cell(size: int) -> int:
        return round(size / end * width) if end else 0

    limit = width if budget is None else cell(budget)
    cells = [(FREE, "free")] * limit + [(MARGIN, "free")] * (width - limit)
    if scale.foreign_bytes:
        # At least one cell: somebody is there.
        start = width - max(1, min(width, cell(scale.foreign_bytes)))
        cells[start:] = [(FOREIGN, "foreign")] * (width - start)
    reached, drawn = 0, 0
    for glyph, role, size in (
        (WEIGHTS, "weights", memory.weights_bytes),
        (CONTEXT, "kv", memory.context_bytes),
        (COMPUTE, "compute", memory.compute_bytes),
        (OVERHEAD, "overhead", memory.overhead_bytes),
    ):
        reached += size
        cells[drawn : cell(reached)] = [(glyph, role)] * (cell(reached) - drawn)
        drawn = max(drawn, cell(reached))
    if budget is not None and need > budget and width:
        # At least one cell, however little is missing.
        first = min(limit, width - 1, max(drawn - 1, 0))
        cells[first : max(drawn, first + 1)] = [(OVER, "over")] * (max(drawn, first + 1) - first)
    if scale.measured_bytes is not None and width:
        cells[min(width - 1, round(scale.measured_bytes / end * (width - 1)) if end else 0)] = (MEASURED, "measured")
    return merged(cells)


@dataclass(frozen=True, slots=True)
class Gauge:
    """An absolute scale and from where on it is worrying."""

    floor: float
    top: float
    warn: float
    crit: float


def history(width: int, values: Sequence[float | None], gauge: Gauge) -> Runs:
    """The newest values at the right; a gap in the readings is a gap in the graph."""
    shown = list(values)[-width:] if width > 0 else []
    cells: list[tuple[str, str]] = [(" ", "track")] * (width - len(shown))
    for value in shown:
        if value is None:
            cells.append((" ", "track"))
            continue
        part = (value - gauge.floor) / (gauge.top - gauge.floor)
        level = round(min(max(part, 0), 1) * (len(_LEVELS) - 1))
        role = "temp-crit" if value >= gauge.crit else "temp-warn" if value >= gauge.warn else "temp-ok"
        # A reading of nothing is still a reading: the lowest line, never a gap.
        cells.append((_LEVELS[max(1, level)], role))
    return merged(cells)


def thumb(rows: int, top: int, count: int) -> range:
    """The rows of a scroll bar's thumb; empty when everything is in view."""
    if count <= rows or rows < 1:
        return range(0)
    size = max(1, rows * rows // count)
    start = round(top / (count - rows) * (rows - size))
    return range(start, start + size)


def changed_cells(before: Runs, after: Runs) -> tuple[int, int] | None:
    """The first cell and the number of cells in which two equally wide rows differ; None when they do not."""
    start = 0
    for old, new in zip(before, after, strict=False):
        if old != new:
            break
        start += cell_len(new[0])
    else:
        if len(before) == len(after):
            return None
    end = cell_len("".join(text for text, _ in after))
    for old, new in zip(reversed(before), reversed(after), strict=False):
        if old != new or end - cell_len(new[0]) < start:
            break
        end -= cell_len(new[0])
    return start, max(end - start, 1)


def bar_widths(width: int, layers: Sequence[int]) -> list[int]:
    """Cells per part: in proportion, at least one for every part that holds anything, the sum exact."""
    total = sum(layers)
    if not total or width <= 0:
        return [0] * len(layers)
    ends, reached = [], 0
    for count in layers:
        reached += count
        ends.append(round(reached / total * width))
    widths = [end - start for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    for i, count in enumerate(layers):
        if count and not widths[i]:
            donor = max(range(len(widths)), key=lambda j: widths[j])
            if widths[donor] > 1:
                widths[donor] -= 1
                widths[i] += 1
    return widths


def layer_bar(width: int, parts: Sequence[tuple[str, int, str]]) -> Runs:
    """The whole model in device order. `parts` are name, layers and role; the last one that holds any ends in ◆."""
    widths = bar_widths(width, [layers for _, layers, _ in parts])
    runs: Runs = []
    holders = [i for i, (_, layers, _) in enumerate(parts) if layers]
    for i in holders:
        name, layers, role = parts[i]
        room = widths[i]
        edge = "│" if runs and room > 1 else ""
        mark = OUTPUT if i == holders[-1] and room > 2 else ""
        inside = room - len(edge) - len(mark)
        label = f"{name} {layers}"
        if cell_len(label) > inside:
            label = str(layers) if len(str(layers)) <= inside else ""
        pad = max(0, inside - cell_len(label))
        runs.append((edge + " " * (pad // 2) + label + " " * (pad - pad // 2) + mark, role))
    return runs
