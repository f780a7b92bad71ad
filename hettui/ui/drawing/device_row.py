"""A device in one line: columns that are the same for all lines of one width."""

from __future__ import annotations

from hettui.domain.records import dataclass
from hettui.domain.units import UNKNOWN, format_bytes
from hettui.ui.drawing import gauges, readings
from hettui.ui.drawing.card_parts import STATES, WARM_C, fresh, layers_change, limit_c, memory_scale, track
from hettui.ui.drawing.gauges import Runs
from hettui.ui.presenting.views import CardView


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


def one_row(view: CardView, width: int, marker: str) -> Runs:
    """The line; `marker` stands before the number."""
    columns = row_columns(width)
    number = "  " if view.is_host else f"{view.index + 1:>2}"
    runs: Runs = [
        (f"{marker}{number} ", "title"),
        (gauges.fit_name(view.name, columns.name), "title"),
        (f"{gauges.OUTPUT if view.output else ' '} ", "dim"),
        *track(view, columns.slider),
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
        runs.append((f"{said:>{columns.share}}", "crit" if view.short_bytes > 0 else "dim"))
    sample = fresh(view)
    if view.is_host and view.sample is None:
        # Nothing measures it: not even a dash for what nobody asks.
        runs.append((" " * (columns.temperature + columns.load + columns.power), ""))
        return [*runs, _sign(view)] if columns.state else runs
    if columns.temperature:
        hot = sample.temperature_c is not None and sample.temperature_c >= limit_c(view) - WARM_C
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
    return gauges.memory_bar(width, view.memory, memory_scale(view))


def _count(view: CardView, columns: RowColumns) -> Runs:
    if view.entry is not None:
        return [(f"{view.entry:>3}▏" + (" ⏎   " if columns.change else ""), "entry")]
    return [(f"{view.layers:>4}", "title"), (f" {layers_change(view):<4}" if columns.change else "", "warn")]


def _sign(view: CardView) -> tuple[str, str]:
    """What is wrong, else what its process does."""
    sign, _, role = STATES.get(view.process, (" ", "", "dim"))
    if view.note and view.note_role in ("warn", "crit") and role != "crit":
        sign, role = "!", view.note_role
    if view.stale_s is not None:
        sign, role = "?", "warn"
    return f" {sign}", role
