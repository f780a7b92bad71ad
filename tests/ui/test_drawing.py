"""Gauges and sliders as plain functions: every row is exactly as wide as asked, whatever the values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from hettui.domain.memory import Memory
from hettui.domain.units import MIB
from hettui.ui import drawing
from hettui.ui.drawing import Runs

widths = st.integers(0, 120)
sizes = st.integers(0, 64 * 1024) | st.just(0)


def text(runs: Runs) -> str:
    return "".join(piece for piece, _ in runs)


@given(st.text(max_size=40), widths)
def test_fitted_text_has_exactly_that_many_cells(value: str, width: int) -> None:
    assert cell_len(drawing.fit(value, width)) == width


def test_both_ends_of_a_long_name_stay() -> None:
    assert drawing.fit("NVIDIA GeForce RTX 5080", 12) == "NVIDIA…X 5080"[:6] + "… 5080"
    assert drawing.fit("short", 8) == "short   "


@given(st.integers(3, 120), st.integers(-5, 200), st.integers(0, 128), st.none() | st.integers(0, 128))
def test_a_slider_has_one_knob_and_its_width(width: int, value: int, maximum: int, running: int | None) -> None:
    drawn = text(drawing.slider(width, value, maximum, running=running))
    assert len(drawn) == width
    assert drawn.count("●") == 1


@given(st.integers(2, 120), st.integers(1, 128))
def test_a_click_on_the_knob_changes_nothing_where_layers_have_cells(width: int, maximum: int) -> None:
    if maximum < width:
        for value in range(maximum + 1):
            assert drawing.slider_value(width, drawing.slider_cell(width, value, maximum), maximum) == value


@given(st.integers(1, 120), sizes, sizes, sizes, sizes, st.none() | sizes, st.none() | sizes)
def test_a_memory_bar_has_its_width(
    width: int, weights: int, kv: int, compute: int, overhead: int, budget: int | None, used: int | None
) -> None:
    memory = Memory(weights * MIB, kv * MIB, compute * MIB, overhead * MIB)
    budget_bytes = None if budget is None else budget * MIB
    drawn = text(drawing.memory_bar(width, memory, budget_bytes, None if used is None else used * MIB))
    assert len(drawn) == width
    over = budget_bytes is not None and memory.total_bytes > budget_bytes
    if used is None:
        assert (drawing.OVER in drawn) == over


def test_a_memory_bar_reads_without_colours() -> None:
    memory = Memory(4 * MIB, 3 * MIB, 2 * MIB, 1 * MIB)
    assert text(drawing.memory_bar(12, memory, 12 * MIB, None)) == "████▓▓▓▒▒░··"
    assert text(drawing.memory_bar(12, memory, 12 * MIB, 11 * MIB)) == "████▓▓▓▒▒░┃·"
    assert text(drawing.memory_bar(12, memory, 5 * MIB, None)) == "█████▓▚▚▚▚▚▚"


@given(st.integers(0, 60), st.lists(st.none() | st.floats(0, 200), max_size=150))
def test_a_history_has_its_width_and_its_gaps(width: int, values: list[float | None]) -> None:
    drawn = text(drawing.history(width, values, 100.0, warn=80, crit=90))
    assert len(drawn) == width
    shown = values[-width:] if width else []
    # A reading of nothing is a line, no reading is a gap.
    assert [c == " " for c in drawn[len(drawn) - len(shown) :]] == [v is None for v in shown]


@given(widths, st.lists(st.integers(0, 94), max_size=16))
def test_bar_widths_sum_up_and_nobody_disappears(width: int, layers: list[int]) -> None:
    found = drawing.bar_widths(width, layers)
    assert len(found) == len(layers)
    if sum(layers) and width:
        assert sum(found) == width
        holders = [w for w, n in zip(found, layers, strict=True) if n]
        assert all(holders) or width < len(holders)
    assert all(w == 0 for w, n in zip(found, layers, strict=True) if not n)


@pytest.mark.parametrize("width", [1, 5, 20, 78, 118])
def test_the_layer_bar_ends_in_the_output_layer(width: int) -> None:
    runs = drawing.layer_bar(width, [("CPU", 3, "host"), ("1 big", 20, "a"), ("2 none", 0, "b"), ("3 漢字", 8, "c")])
    drawn = text(runs)
    assert cell_len(drawn) == width
    assert "2 none" not in drawn
    if width > 20:
        assert drawn.endswith(drawing.OUTPUT)
        assert "1 big 20" in drawn
