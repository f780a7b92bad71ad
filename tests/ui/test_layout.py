"""The pure functions that decide what stands where: everything fits, and what matters most is always there."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.memory.forecast import Memory
from hettui.domain.telemetry.readings import DeviceSample
from hettui.domain.units import MIB
from hettui.ui.drawing import card_rows, gauges
from hettui.ui.drawing.card_rows import Frame
from hettui.ui.drawing.device_row import row_titles
from hettui.ui.drawing.gauges import Runs
from hettui.ui.drawing.key_row import GAP_CELLS, KeyEntry, fitting
from hettui.ui.drawing.layout import LEAST_CARD_CELLS, Form, arrange
from hettui.ui.drawing.top_rows import fitted
from hettui.ui.presenting.views import CardView, HeaderView

devices = st.integers(0, 40)
rooms = st.integers(0, 120)
widths = st.integers(1, 320)


def text(runs: Runs) -> str:
    return "".join(piece for piece, _ in runs)


@given(devices, rooms, widths)
def test_what_is_arranged_fits_or_is_rows_that_scroll(count: int, rows: int, columns: int) -> None:
    found = arrange(count, rows, columns)
    below = found.details_rows + found.titles
    used = found.list_rows(count) + below
    if found.form is not Form.ROW:
        assert used + found.below_rows <= rows
        assert found.columns == 1 or columns // found.columns >= LEAST_CARD_CELLS
        assert found.card_rows >= 3
    elif count + 1 <= rows:
        assert used <= rows
    else:
        assert not below
    assert found.graph_rows >= 1


@given(devices, rooms, widths)
def test_more_room_never_makes_a_smaller_form(count: int, rows: int, columns: int) -> None:
    order = list(Form)
    assert order.index(arrange(count, rows + 1, columns).form) >= order.index(arrange(count, rows, columns).form)


def test_the_forms_of_the_usual_terminals() -> None:
    # Rows and columns that are left for the devices at 80x24, 100x30, 120x40, 200x60 and 300x80.
    rooms = ((19, 80), (23, 100), (34, 62), (54, 80), (74, 120))
    found = {count: [arrange(count, *room).form.value for room in rooms] for count in (1, 3, 8, 16)}
    assert found == {
        1: ["tall", "tall", "tall", "tall", "tall"],
        3: ["card", "roomy", "roomy", "tall", "tall"],
        8: ["row", "row", "compact", "roomy", "tall"],
        16: ["row", "row", "row", "compact", "roomy"],
    }
    sixteen = arrange(16, 19, 80)
    assert (sixteen.list_rows(16), sixteen.details_rows) == (17, 2)


sizes = st.integers(0, 64 * 1024).map(lambda n: n * MIB)
maybe = st.none() | st.floats(0, 999)
views = st.builds(
    CardView,
    index=st.integers(-1, 30),
    name=st.text(max_size=60).map(lambda s: "".join(c for c in s if c.isprintable())),
    role=st.sampled_from(["attached", "worker :50052", "worker on somewhere far away"]),
    layers=st.integers(0, 128),
    maximum=st.integers(1, 128),
    running=st.none() | st.integers(0, 128),
    ghost=st.none() | st.integers(0, 128),
    locked=st.booleans(),
    output=st.booleans(),
    memory=st.builds(Memory, sizes, sizes, sizes, sizes),
    budget_bytes=st.none() | sizes,
    short_bytes=st.just(0) | sizes,
    sample=st.none() | st.builds(DeviceSample, temperature_c=maybe, utilisation_percent=maybe, power_w=maybe),
    stale_s=st.none() | st.floats(3, 1e5),
    history=st.lists(maybe, max_size=40).map(tuple),
    loads=st.lists(maybe, max_size=40).map(tuple),
    is_cpu=st.booleans(),
    process=st.sampled_from(["", "ready", "failed", "starting"]),
    note=st.sampled_from(["", "too hot: the driver lowers its clocks, and some more words that take a lot of room"]),
    entry=st.none() | st.just("12"),
)


@given(views, st.integers(17, 160), st.sampled_from(["▶", " "]))
def test_a_one_line_row_has_its_width_and_always_number_and_layers(view: CardView, width: int, marker: str) -> None:
    (row,) = card_rows.device_rows(view, Frame(Form.ROW, width, 1, marker=marker))
    assert cell_len(text(row)) == width
    assert text(row).startswith(marker)
    if not view.is_host and view.index < 99:
        assert f"{view.index + 1:>2} " in text(row)[:4]
    assert (view.entry or str(view.layers)) in text(row)
    assert cell_len(text(row_titles(width))) == width


@given(views, views, st.integers(17, 160))
def test_the_columns_of_all_rows_line_up(one: CardView, other: CardView, width: int) -> None:
    rows = [card_rows.device_rows(view, Frame(Form.ROW, width, 1))[0] for view in (one, other)]
    _, start, track = Frame(Form.ROW, width, 1).slider
    for row in rows:
        if track >= 3:
            cells = [(c, role) for piece, role in row for c in piece for _ in range(cell_len(c))]
            assert {role for _, role in cells[start : start + track]} <= {"fill", "over", "track", "tick", "ghost"}


@given(views, st.integers(56, 160), st.sampled_from([3, 5, 6, 11, 21]))
def test_a_card_has_at_most_its_rows_and_its_width(view: CardView, width: int, rows: int) -> None:
    form = {3: Form.COMPACT, 5: Form.CARD, 6: Form.ROOMY}.get(rows, Form.TALL)
    found = card_rows.device_rows(view, Frame(form, width, rows, (rows - 5) // 2))
    assert len(found) <= rows
    # The title gives way to what must be said; everything below it keeps to its columns.
    assert all(cell_len(text(row)) <= width for row in found[1:3])


@given(views, st.integers(60, 160), st.integers(1, 8), st.sampled_from([Form.ROW, Form.COMPACT]))
def test_details_have_at_most_their_rows_and_tell_the_note_first(
    view: CardView, width: int, rows: int, beside: Form
) -> None:
    found = card_rows.details_rows(view, Frame(Form.CARD, width, rows), beside=beside)
    assert len(found) <= rows
    if view.note and not view.is_host:
        assert "too hot" in "".join(text(row) for row in found)


# -- the footer ---------------------------------------------------------------------------------------------------

entries = st.builds(
    KeyEntry,
    st.sampled_from(["s", "^r", "esc"]),
    st.sampled_from(["Start", "Thinking", "Go"]),
    st.just("s"),
    st.booleans(),
)
PINNED = (KeyEntry("?", "Help", "question_mark"), KeyEntry("q", "Quit", "q"))


@given(st.integers(0, 200), st.lists(entries, max_size=14))
def test_no_key_is_cut_and_help_and_quit_stay(width: int, given_entries: list[KeyEntry]) -> None:
    row = fitting(width, given_entries, PINNED)
    places = row.places(width)
    for (x, entry), (after, _) in pairwise(places):
        assert x + entry.cells + GAP_CELLS <= after
    assert all(x >= 0 and x + entry.cells <= width for x, entry in places)
    if width >= 14:
        assert row.right == PINNED
    if not row.more:
        assert row.left == tuple(given_entries)


def test_what_cannot_be_pressed_goes_first_then_the_last() -> None:
    keys = [KeyEntry("a", "One", "a"), KeyEntry("b", "Two", "b", enabled=False), KeyEntry("c", "Three", "c")]
    shown = [[e.word for e in fitting(width, keys, PINNED).left] for width in (60, 34, 30, 24)]
    assert shown == [["One", "Two", "Three"], ["One", "Three"], ["One"], ["One"]]


# -- the header ---------------------------------------------------------------------------------------------------


@given(st.integers(1, 200), st.text("abcé 0123", max_size=60), st.booleans(), st.booleans())
def test_the_header_fits_and_keeps_what_matters(width: int, model: str, differs: bool, rated: bool) -> None:
    state = f"● {ClusterState.READY.value}"
    rate = "  41.5 tok/s" if rated else ""
    view = HeaderView(model, ClusterState.READY, "http://127.0.0.1:8080", rate, "DEMO", differs)
    line = fitted(view, width, len(state))
    if width >= 24:
        assert line.cells + len(state) <= width
        assert bool(line.differs) == differs
    if width >= 78:
        assert line.rate == rate
        assert "8080" in line.address
        assert len(line.model) >= min(14, len(model))


def test_a_bar_part_of_one_cell_is_a_boundary() -> None:
    parts = [gauges.BarPart(str(n), "x", layers, "a") for n, layers in enumerate((40, 1, 40, 1))]
    assert text(gauges.layer_bar(20, parts)[0]).count(gauges.BOUNDARY) == 3
