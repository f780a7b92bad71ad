"""Gauges and sliders as plain functions: every row is exactly as wide as asked, whatever the values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from hettui.domain.memory.forecast import Memory
from hettui.domain.units import MIB
from hettui.ui.drawing import gauges
from hettui.ui.drawing.gauges import Runs

widths = st.integers(0, 120)
sizes = st.integers(0, 64 * 1024) | st.just(0)


def text(runs: Runs) -> str:
    return "".join(piece for piece, _ in runs)


@given(st.text(max_size=40), widths)
def test_fitted_text_has_exactly_that_many_cells(value: str, width: int) -> None:
    assert cell_len(gauges.fit(value, width)) == width


def test_both_ends_of_a_long_name_stay() -> None:
    assert gauges.fit("NVIDIA GeForce RTX 5080", 12) == "NVIDIA…X 5080"[:6] + "… 5080"
    assert gauges.fit("short", 8) == "short   "


@given(st.integers(3, 120), st.integers(-5, 200), st.integers(0, 128), st.none() | st.integers(0, 128))
def test_a_slider_has_one_knob_and_its_width(width: int, value: int, maximum: int, running: int | None) -> None:
    drawn = text(gauges.slider(width, value, maximum, running=running))
    assert len(drawn) == width
    assert drawn.count("●") == 1


@given(st.integers(2, 120), st.integers(1, 128))
def test_a_click_on_the_knob_changes_nothing_where_layers_have_cells(width: int, maximum: int) -> None:
    if maximum < width:
        for value in range(maximum + 1):
            assert gauges.slider_value(width, gauges.slider_cell(width, value, maximum), maximum) == value


maybe = st.none() | sizes


@given(st.integers(1, 120), sizes, sizes, sizes, sizes, st.tuples(maybe, maybe, maybe, maybe))
def test_a_memory_bar_has_its_width(
    width: int, weights: int, kv: int, compute: int, overhead: int, scale: tuple[int | None, ...]
) -> None:
    memory = Memory(weights * MIB, kv * MIB, compute * MIB, overhead * MIB)
    budget, total, measured, foreign = (None if size is None else size * MIB for size in scale)
    drawn = text(gauges.memory_bar(width, memory, gauges.MemoryScale(budget, total, measured, foreign)))
    assert len(drawn) == width
    over = budget is not None and memory.total_bytes > budget
    if measured is None:
        assert (gauges.OVER in drawn) == over
        assert not foreign or over or memory.total_bytes or gauges.FOREIGN in drawn


def test_a_memory_bar_reads_without_colours() -> None:
    memory, scale = Memory(4 * MIB, 3 * MIB, 2 * MIB, 1 * MIB), gauges.MemoryScale

    def bar(scale: gauges.MemoryScale, width: int = 12) -> str:
        return text(gauges.memory_bar(width, memory, scale))

    assert bar(scale(12 * MIB)) == "████▓▓▓▒▒░··"
    assert bar(scale(12 * MIB, None, 11 * MIB)) == "████▓▓▓▒▒░┃·"
    assert bar(scale(5 * MIB)) == "█████▓▚▚▚▚▚▚"
    # A card of 20 MiB: a budget of 14, a margin of 4, and 2 of somebody else's.
    assert bar(scale(14 * MIB, 20 * MIB, None, 2 * MIB), 20) == "████▓▓▓▒▒░····    ╱╱"
    assert bar(scale(14 * MIB, 20 * MIB, None, 1), 20)[-1] == gauges.FOREIGN


GAUGE = gauges.Gauge(20, 90, 80, 90)


@given(st.integers(0, 60), st.lists(st.none() | st.floats(0, 200), max_size=150))
def test_a_history_has_its_width_and_its_gaps(width: int, values: list[float | None]) -> None:
    drawn = text(gauges.history(width, values, GAUGE))
    assert len(drawn) == width
    shown = values[-width:] if width else []
    # A reading of nothing is a line, no reading is a gap.
    assert [c == " " for c in drawn[len(drawn) - len(shown) :]] == [v is None for v in shown]


def test_a_history_is_on_an_absolute_scale() -> None:
    assert text(gauges.history(4, [20, 55, 90, 120], GAUGE)) == "▁▄██"
    assert [role for _, role in gauges.history(3, [79, 80, 90], GAUGE)] == ["temp-ok", "temp-warn", "temp-crit"]


rows = st.lists(st.tuples(st.sampled_from(["a", "bc", "漢", "   "]), st.sampled_from(["x", "y"])), max_size=8)


@given(rows, rows)
def test_outside_of_the_changed_cells_two_rows_are_the_same(before: Runs, after: Runs) -> None:
    def cells(runs: Runs, width: int) -> list[tuple[str, str]]:
        return [(c, role) for piece, role in [*runs, (" " * width, "")] for c in piece for _ in range(cell_len(c))]

    width = max(cell_len(text(before)), cell_len(text(after)))
    before = [*before, (" " * (width - cell_len(text(before))), "")]
    after = [*after, (" " * (width - cell_len(text(after))), "")]
    changed = gauges.changed_cells(before, after)
    old, new = cells(before, 0), cells(after, 0)
    if changed is None:
        assert old == new
        return
    start, count = changed
    assert old[:start] == new[:start]
    assert old[start + count :] == new[start + count :]
    assert count >= 1


@given(widths, st.lists(st.integers(0, 94), max_size=16))
def test_bar_widths_sum_up_and_nobody_disappears(width: int, layers: list[int]) -> None:
    found = gauges.bar_widths(width, layers)
    assert len(found) == len(layers)
    if sum(layers) and width:
        assert sum(found) == width
        holders = [w for w, n in zip(found, layers, strict=True) if n]
        assert all(holders) or width < len(holders)
    assert all(w == 0 for w, n in zip(found, layers, strict=True) if not n)


PARTS = [
    gauges.BarPart("", "CPU", 3, "host"),
    gauges.BarPart("1", "big", 20, "a", selected=True),
    gauges.BarPart("2", "none", 0, "b"),
    gauges.BarPart("3", "漢字", 8, "c"),
]


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("width", [1, 5, 20, 78, 118])
def test_the_layer_bar_ends_in_the_output_layer(width: int, rows: int) -> None:
    drawn = [text(row) for row in gauges.layer_bar(width, PARTS, rows)]
    assert [cell_len(row) for row in drawn] == [width] * rows
    assert "none" not in "".join(drawn)
    if width > 20:
        assert drawn[-1].endswith(gauges.OUTPUT)
        assert "1 big" in drawn[0]
        assert drawn[0].count(gauges.CHOSEN) == 1
        assert "20" in drawn[-1]


@given(st.integers(1, 200), st.lists(st.integers(0, 20), min_size=1, max_size=16), st.sampled_from([1, 2]))
def test_every_part_of_the_layer_bar_tells_its_layers_where_they_fit(width: int, layers: list[int], rows: int) -> None:
    parts = [gauges.BarPart(str(i + 1), "NVIDIA GeForce RTX 5080", n, str(i)) for i, n in enumerate(layers)]
    drawn = gauges.layer_bar(width, parts, rows)
    widths = gauges.bar_widths(width, layers)
    assert all(cell_len(text(row)) == (width if sum(layers) else 0) for row in drawn)
    for piece, role in drawn[-1]:
        count = layers[int(role)]
        assert cell_len(piece) == widths[int(role)]
        if cell_len(piece) >= len(str(count)) + 2:
            assert str(count) in piece


@given(st.text(max_size=40), widths)
def test_a_fitted_name_has_exactly_that_many_cells(name: str, width: int) -> None:
    assert cell_len(gauges.fit_name(name, width)) == width


def test_the_maker_goes_before_the_model_is_cut() -> None:
    assert gauges.fit_name("NVIDIA GeForce RTX 5080", 20) == "RTX 5080" + " " * 12
    assert gauges.fit_name("NVIDIA GeForce RTX 5080", 23) == "NVIDIA GeForce RTX 5080"
    assert gauges.fit_name("NVIDIA", 4) == "NV…A"


@given(st.integers(0, 60), st.integers(1, 6), st.lists(st.none() | st.floats(0, 200), max_size=80))
def test_a_graph_has_its_size_and_its_gaps(width: int, rows: int, values: list[float | None]) -> None:
    drawn = [text(row) for row in gauges.graph(width, rows, values, GAUGE)]
    assert [len(row) for row in drawn] == [width] * rows
    shown = values[-width:] if width else []
    assert [c == " " for c in drawn[-1][width - len(shown) :]] == [v is None for v in shown]
    if rows == 1:
        assert drawn == [text(gauges.history(width, values, GAUGE))]
