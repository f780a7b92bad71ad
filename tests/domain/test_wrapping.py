"""Rows of a growing text are those of the whole text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from hettui.ui.drawing.wrapping import GrowingRows


def rows(text: str, width: int) -> list[str]:
    growing = GrowingRows(width, cell_len)
    growing.feed(text)
    return growing.rows


def test_breaks_at_blanks_and_keeps_indentation() -> None:
    assert rows("some words here\n    indented\n\nend", 10) == ["some words", "here", "    indent", "ed", "", "end"]


def test_wide_characters_take_two_cells() -> None:
    assert rows("漢字漢字", 4) == ["漢字", "漢字"]


@given(st.text(alphabet="abc 漢\n", max_size=120), st.integers(1, 30), st.lists(st.integers(1, 9), max_size=40))
def test_in_pieces_as_in_one(text: str, width: int, sizes: list[int]) -> None:
    growing = GrowingRows(width, cell_len)
    place = 0
    for size in [*sizes, len(text) + 1]:
        before = list(growing.rows)
        changed = growing.feed(text[place : place + size])
        assert growing.rows[:changed] == before[:changed]
        place += size
    assert growing.rows == rows(text, width)
    assert all(cell_len(row) <= max(width, 2) for row in growing.rows)
    assert [c for c in "".join(growing.rows) if c != " "] == [c for c in text if c not in " \n"]
