"""What is written is the difference, and after it the terminal shows what is wanted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style

from hettui.ui.terminal.cells import Picture, cells_of, change_of_look
from tests.ui.mini_terminal import MiniTerminal

COLUMNS, LINES = 20, 4
TRUE = ColorSystem.TRUECOLOR

texts = st.text(st.sampled_from("ab ─█漢e\u0301"), max_size=9)
styles = st.builds(
    Style,
    color=st.sampled_from([None, "red", "#102030"]),
    bgcolor=st.sampled_from([None, "blue", "#405060"]),
    bold=st.sampled_from([None, True]),
    dim=st.sampled_from([None, True]),
    underline=st.sampled_from([None, True]),
    reverse=st.sampled_from([None, True]),
)
pieces = st.tuples(st.integers(0, COLUMNS - 1), st.integers(0, LINES - 1), texts, styles)


def look_of_blank(cell: tuple[str, frozenset[str], str, str]) -> object:
    """Two blanks on the same ground look alike."""
    text, attributes, front, back = cell
    seen = attributes & {"4", "7", "9"}
    return (text, seen, front if seen else "", back) if text == " " else cell


@given(st.lists(st.lists(pieces, max_size=6), min_size=1, max_size=6), st.sampled_from([None, 5, 40]))
def test_the_terminal_shows_what_is_wanted_after_every_difference(
    frames: list[list[tuple[int, int, str, Style]]], most: int | None
) -> None:
    picture, terminal, whole = Picture(), MiniTerminal(COLUMNS, LINES), MiniTerminal(COLUMNS, LINES)
    picture.resize(COLUMNS, LINES)
    for frame in frames:
        for x, y, text, style in frame:
            cells = cells_of([Segment(text, style)], TRUE)
            # A compositor never cuts a wide character, neither what it puts nor what is there.
            if x + len(cells[0]) > COLUMNS:
                continue
            row = picture._wanted[y][0]
            if (x < COLUMNS and not row[x]) or (x + len(cells[0]) < COLUMNS and not row[x + len(cells[0])]):
                continue
            picture.put(x, y, cells)
        terminal.feed(picture.difference(most))
        while picture.pending:
            terminal.feed(picture.difference(most))
        whole.feed(_all_of(picture))
        shown = [[look_of_blank(cell) for cell in row] for row in terminal.rows]
        assert shown == [[look_of_blank(cell) for cell in row] for row in whole.rows]


def _all_of(picture: Picture) -> str:
    """Every cell by itself, with its whole look."""
    written = []
    for y, (texts_, looks) in enumerate(picture._wanted):
        for x, (text, look) in enumerate(zip(texts_, looks, strict=True)):
            if text:
                written.append(f"\x1b[{y + 1};{x + 1}H\x1b[0m{change_of_look(((), '', ''), look)}{text}")
    return "".join(written)


def painted(text: str, style: str = "") -> Picture:
    picture = Picture()
    picture.resize(COLUMNS, LINES)
    picture.put(0, 1, cells_of([Segment(text, Style.parse(style) if style else None)], TRUE))
    picture.difference()
    return picture


def test_what_is_there_already_is_not_written() -> None:
    picture = painted("12.3 GiB", "bold red")
    picture.put(0, 1, cells_of([Segment("12.3 GiB", Style.parse("bold red"))], TRUE))
    assert not picture.pending
    assert picture.difference() == ""


def test_one_digit_costs_its_place_and_itself() -> None:
    picture = painted("12.3 GiB")
    picture.put(0, 1, cells_of([Segment("12.4 GiB")], TRUE))
    assert picture.difference() == "\x1b[2;4H4"


def test_two_near_changes_are_one_and_two_far_ones_are_two() -> None:
    picture = painted("1 2 3      4")
    picture.put(0, 1, cells_of([Segment("5 2 6      7")], TRUE))
    assert picture.difference() == "\x1b[2;1H5 2 6\x1b[12G7"


def test_a_change_that_is_taken_back_before_it_was_written_costs_nothing() -> None:
    picture = painted("one")
    for text in ("two", "one"):
        picture.put(0, 1, cells_of([Segment(text)], TRUE))
    assert picture.difference() == ""


def test_after_forgetting_all_is_written_again() -> None:
    picture = painted("one")
    picture.forget()
    terminal = MiniTerminal(COLUMNS, LINES)
    terminal.feed(picture.difference())
    assert terminal.cells_written == COLUMNS * LINES
    assert terminal.text.splitlines()[1] == "one"


def test_in_pieces_what_has_changed_least_comes_first_and_all_comes() -> None:
    picture = painted("")
    picture.put(0, 0, cells_of([Segment("a" * COLUMNS)], TRUE))
    picture.put(5, 3, cells_of([Segment("b", Style.parse("red"))], TRUE))
    terminal = MiniTerminal(COLUMNS, LINES)
    terminal.feed(picture.difference(10))
    assert terminal.cells_written == 1
    assert picture.pending
    # However small the piece, a row is written.
    terminal.feed(picture.difference(10))
    assert not picture.pending
    assert terminal.text.splitlines()[0] == "a" * COLUMNS
    assert terminal.text.splitlines()[3] == "     b"


def test_half_of_a_wide_character_is_never_left() -> None:
    picture = painted("漢漢")
    picture.put(0, 1, cells_of([Segment("a漢b")], TRUE))
    terminal = MiniTerminal(COLUMNS, LINES)
    terminal.feed("\x1b[2;1H漢漢" + picture.difference())
    assert terminal.text.splitlines()[1] == "a漢b"


@pytest.mark.parametrize(("x", "y"), [(-1, 0), (0, -1), (COLUMNS, 0), (0, LINES)])
def test_what_lies_outside_is_left_out(x: int, y: int) -> None:
    picture = painted("one")
    picture.put(x, y, cells_of([Segment("far away")], TRUE))
    assert picture.difference() == ""


def test_what_reaches_over_the_edge_is_cut() -> None:
    picture = painted("")
    picture.put(COLUMNS - 2, 0, cells_of([Segment("abc")], TRUE))
    terminal = MiniTerminal(COLUMNS, LINES)
    terminal.feed(picture.difference())
    assert terminal.text.splitlines()[0].endswith(" ab")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("bold red", "bold red", ""),
        ("bold red", "bold green", "\x1b[32m"),
        ("bold red", "red", "\x1b[22m"),
        ("bold dim", "dim", "\x1b[22;2m"),
        ("red on blue", "red", "\x1b[49m"),
        ("red", "none", "\x1b[39m"),
    ],
)
def test_of_a_look_only_the_change_is_said(before: str, after: str, said: str) -> None:
    looks = [cells_of([Segment("x", Style.parse(style))], TRUE)[1][0] for style in (before, after)]
    assert change_of_look(*looks) == said


def test_colours_are_those_that_the_terminal_has() -> None:
    style = Style.parse("#ff0000")
    assert cells_of([Segment("x", style)], ColorSystem.EIGHT_BIT)[1][0][1].startswith("38;5;")
    assert cells_of([Segment("x", style)], ColorSystem.STANDARD)[1][0][1] in ("31", "91")
