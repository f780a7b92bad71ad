"""Which form the devices are shown in: a pure function of how many there are and how much room there is.

Few devices are cards, many are one-line rows with the selected one's card below them, in a place of its own:
choosing another device moves nothing. Whatever form it is, everything is on the screen at once where that is possible.
"""

from __future__ import annotations

from enum import Enum

from hettui.domain.records import dataclass


class Form(Enum):
    """Of one device, the smallest first."""

    ROW = "row"
    COMPACT = "compact"
    CARD = "card"
    ROOMY = "roomy"
    TALL = "tall"


ROW_ROWS, COMPACT_ROWS, CARD_ROWS, ROOMY_ROWS = 1, 3, 5, 6
HOST_CARD_ROWS = 3
HOST_COMPACT_ROWS = 2
LEAST_GRAPH_ROWS, MOST_GRAPH_ROWS = 3, 8
"""Of one graph in a tall card; heat and load have one each."""
TALL_FIXED_ROWS = 5
"""Of a tall card beside its graphs: title, slider, memory, its parts, note."""
LEAST_CARD_CELLS = 56
"""Of one card where several stand side by side."""
MOST_COLUMNS = 4
LEAST_BELOW_ROWS = 8
"""From so many rows that are left on, more is explained below the cards."""
LEAST_DETAILS_ROWS = 2


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Rows are terminal rows. Everything adds up to at most the rows that were asked for, else the cards scroll."""

    form: Form
    columns: int = 1
    """Cards beside each other."""
    gap: int = 0
    """Empty rows below each card."""
    card_rows: int = ROW_ROWS
    host_rows: int = ROW_ROWS
    graph_rows: int = 1
    """Of each graph in a card."""
    titles: bool = False
    """A line above the rows says what stands in their columns."""
    details_rows: int = 0
    """Of the selected device's card below the others; 0: it says all itself."""
    below_rows: int = 0
    """Left for explanations."""

    def list_rows(self, devices: int) -> int:
        """Of all cards and rows, the host's included."""
        cards = -(-devices // self.columns)
        gaps = self.gap * cards if devices else 0
        return cards * self.card_rows + gaps + own_rows(devices, self.columns, self.host_rows)


def own_rows(devices: int, columns: int, host_rows: int) -> int:
    """Of the host: none where a last row of cards leaves room for it."""
    return 0 if devices % columns else host_rows


def arrange(devices: int, rows: int, columns: int, more: int = 0) -> Arrangement:
    """For so many devices beside the host, in so many rows and columns. `more`: rows of each card beside the usual."""
    for candidate in _cards(devices, rows, columns, more):
        used = candidate.list_rows(devices)
        if used <= rows:
            return _with_rest(candidate, devices, rows - used)
    return _rows(devices, rows, more)


def _cards(devices: int, rows: int, columns: int, more: int) -> list[Arrangement]:
    """The best first: larger cards before several columns of them, air between them before neither."""
    most = max(1, min(MOST_COLUMNS, devices, columns // LEAST_CARD_CELLS))
    found = []
    for across in range(1, most + 1):
        found += _tall(devices, rows, across, more)
    for form, height, host in (
        (Form.ROOMY, ROOMY_ROWS, HOST_CARD_ROWS),
        (Form.CARD, CARD_ROWS, HOST_CARD_ROWS),
        (Form.COMPACT, COMPACT_ROWS, HOST_COMPACT_ROWS),
    ):
        for gap in (1, 0):
            found += [Arrangement(form, across, gap, height + more, host) for across in range(1, most + 1)]
    return found


def _tall(devices: int, rows: int, across: int, more: int) -> list[Arrangement]:
    """The largest graphs that fit, if any do."""
    high = -(-devices // across)
    if not high:
        return []
    fixed = TALL_FIXED_ROWS + more
    graph = ((rows - own_rows(devices, across, HOST_CARD_ROWS)) // high - 1 - fixed) // 2
    if graph < LEAST_GRAPH_ROWS:
        return []
    graph = min(graph, MOST_GRAPH_ROWS)
    return [Arrangement(Form.TALL, across, 1, fixed + 2 * graph, HOST_CARD_ROWS, graph)]


def _with_rest(arrangement: Arrangement, devices: int, left: int) -> Arrangement:
    """What is left shows what compact cards do not, then why the plan is as it is."""
    details = min(left, 3) if arrangement.form is Form.COMPACT and devices else 0
    below = left - details
    return Arrangement(
        arrangement.form,
        arrangement.columns,
        arrangement.gap,
        arrangement.card_rows,
        arrangement.host_rows,
        arrangement.graph_rows,
        details_rows=details,
        below_rows=below if below >= LEAST_BELOW_ROWS else 0,
    )


def _rows(devices: int, rows: int, more: int) -> Arrangement:
    """A row for each, and below them the selected one's card, as large as it may be."""
    left = rows - devices - 1
    titles = left >= LEAST_DETAILS_ROWS + 1
    left -= titles
    details, fixed = min(max(left, 0), ROOMY_ROWS + more), TALL_FIXED_ROWS + more
    graph = 1
    if left >= fixed + 2 * LEAST_GRAPH_ROWS + 1:
        graph = min((left - 1 - fixed) // 2, MOST_GRAPH_ROWS)
        details = fixed + 2 * graph
    below = left - details - 1
    return Arrangement(
        Form.ROW,
        graph_rows=graph,
        titles=titles,
        details_rows=details,
        below_rows=below if below >= LEAST_BELOW_ROWS else 0,
    )
