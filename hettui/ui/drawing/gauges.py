"""What gauges and sliders look like, as plain functions: text in runs, each with a role that the theme colours.

Each bar says the same without colours: fills differ by glyph, marks are glyphs, and a number stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.cells import cell_len, set_cell_size

from hettui.domain.memory.forecast import Memory
from hettui.domain.records import dataclass

Runs = list[tuple[str, str]]
"""Pieces of one row: text and role."""

WEIGHTS, CONTEXT, COMPUTE, OVERHEAD, DRAFT = "█", "▓", "▒", "░", "▤"
FREE = "·"
MEASURED = "┃"
OVER = "▚"
FOREIGN = "╱"
MARGIN = " "
OUTPUT = "◆"
GHOST = "◇"
_LEVELS = " ▁▂▃▄▅▆▇█"
SHADE = "░"
"""Below the line of a tall graph."""


def progress_bar(filled: int, cells: int) -> str:
    """How far something is: so many of all cells."""
    return "█" * filled + SHADE * (cells - filled)


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


def cut(text: str, width: int) -> str:
    """`text` in at most `width` cells: what is too long loses its end."""
    return text if cell_len(text) <= width else f"{set_cell_size(text, max(0, width - 1))}…"


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
        (DRAFT, "weights", memory.draft_bytes + memory.beside_bytes),
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


def graph(width: int, rows: int, values: Sequence[float | None], gauge: Gauge) -> list[Runs]:
    """A history over several rows, the top one first: the same columns as `history`, `rows` times as fine. Below its
    line it is shaded only, so that it does not outshine everything else."""
    columns = [(" ", "track")] * (width * rows)
    shown = list(values)[-width:] if width > 0 else []
    steps = len(_LEVELS) - 1
    for x, value in enumerate(shown, width - len(shown)):
        if value is None:
            continue
        part = (value - gauge.floor) / (gauge.top - gauge.floor)
        level = max(1, round(min(max(part, 0), 1) * rows * steps))
        role = "temp-crit" if value >= gauge.crit else "temp-warn" if value >= gauge.warn else "temp-ok"
        for row in range(rows):
            here = min(max(level - row * steps, 0), steps)
            if here:
                below = row < (level - 1) // steps
                columns[(rows - 1 - row) * width + x] = (SHADE if below else _LEVELS[here], role)
    return [merged(columns[row * width : (row + 1) * width]) for row in range(rows)]


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


_MAKERS = ("NVIDIA", "GeForce", "AMD", "Radeon", "Intel(R)", "Intel", "Graphics")


def fit_name(name: str, width: int) -> str:
    """A device's name in exactly `width` cells. Where it is too long, its maker goes first: the model tells cards of
    one box apart, and only then is it cut in the middle."""
    words = name.split(" ")
    while cell_len(name) > width and len(words) > 1 and words[0] in _MAKERS:
        words.pop(0)
    return fit(" ".join(words), width)


@dataclass(frozen=True, slots=True)
class BarPart:
    """One device's part of the layer bar."""

    number: str
    name: str
    layers: int
    role: str
    selected: bool = False
    said: str = ""
    """In place of the number of layers."""

    @property
    def count(self) -> str:
        return self.said or str(self.layers)


HELD = "┃"
"""The boundary under the mouse, or in its hand."""
BOUNDARY = "│"
CHOSEN = "▶"
_LEAST_BAR_NAME = 6
"""Of a name in the layer bar: with less than that there is only its number."""


def layer_bar(
    width: int, parts: Sequence[BarPart], rows: int = 1, held: int | None = None, end: str = OUTPUT
) -> list[Runs]:
    """The whole model in device order: in one row names and layers, in two the names above the layers.

    The first cell of a part is its boundary; it also marks the selected one, so that a colour is not needed. The last
    part that holds any ends in ◆, or another `end`. `held` is the place in `parts` whose boundary at the left the mouse
    is on.
    """
    widths = bar_widths(width, [part.layers for part in parts])
    holders = [i for i, part in enumerate(parts) if part.layers and widths[i]]
    drawn: list[Runs] = [[] for _ in range(rows)]
    for i in holders:
        part, room = parts[i], widths[i]
        edge = HELD if held == i else CHOSEN if part.selected else BOUNDARY if drawn[0] else " "
        mark = end if i == holders[-1] and room > 2 else ""
        inside = room - len(edge)
        role = f"{part.role} selected" if part.selected else part.role
        for y, text in enumerate(_bar_labels(part, inside - len(mark), rows)):
            last = mark if y == rows - 1 else " " * len(mark)
            below = " " if y and edge == CHOSEN else edge
            drawn[y].append((below + text + last, role))
    return drawn


_FINEST = 1000
_BESIDE_WORDS = 12
"""Cells that a part keeps for its own name and number beside words in it."""


def time_bar(width: int, parts: Sequence[BarPart], words: Sequence[str]) -> Runs:
    """A token's time by device, `layers` of each part in any unit: as wide as the layer bar above it, so that the two
    can be compared by eye. The last part also says in `words` what the bar is: the first that there is room for."""
    last = max((i for i, part in enumerate(parts) if part.layers), default=0)
    room = bar_widths(width, [part.layers for part in parts])[last] if parts else 0
    told = next((f" {text} " for text in words if cell_len(text) + _BESIDE_WORDS <= room), "")
    return layer_bar(width, parts, end=told)[0]


def time_parts(
    shares: Sequence[float], names: Sequence[str], roles: Sequence[str], selected: int | None
) -> list[BarPart]:
    """Parts of the bar for shares of a whole; what is above nothing has at least a thousandth."""
    sizes = [max(round(share * _FINEST), 1) if share > 0 else 0 for share in shares]
    rows = enumerate(zip(sizes, names, roles, shares, strict=True))
    return [
        BarPart(str(i + 1), name, size, role, i == selected, f"{share:.0%}") for i, (size, name, role, share) in rows
    ]


def _bar_labels(part: BarPart, room: int, rows: int) -> list[str]:
    """For each row a text of exactly that many cells, in the middle; names go before numbers."""
    count = part.count
    least = len(part.number) + 1 + _LEAST_BAR_NAME
    if rows == 1:
        named = room - len(count) - 1
        if named >= least:
            return [_centred(f"{fit_name_part(part, named)} {count}", room)]
        # Of a share its device's number is said as well: without colours nothing else tells whose it is.
        numbered = f"{part.number}: {count}" if count.endswith("%") else count
        return [_centred(numbered if cell_len(numbered) <= room else count, room)]
    upper = fit_name_part(part, room - 1) if room > least else part.number
    return [_centred(upper, room), _centred(count, room), *[""] * (rows - 2)]


def fit_name_part(part: BarPart, room: int) -> str:
    """`2 RTX 3060`, without padding."""
    number = f"{part.number} " if part.number else ""
    return (number + fit_name(part.name, min(cell_len(part.name), max(1, room - len(number))))).rstrip()


def _centred(text: str, width: int) -> str:
    if cell_len(text) > width:
        return " " * width
    pad = width - cell_len(text)
    return " " * (pad // 2) + text + " " * (pad - pad // 2)
