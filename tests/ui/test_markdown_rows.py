"""Markdown's rows: nothing is lost at the right edge, and no ground but the screen's own."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from hettui.ui.drawing.markdown_blocks import Block
from hettui.ui.widgets.markdown_rows import OpenCode, Renderer
from tests import examples


def rows(text: str, width: int) -> list[str]:
    return [strip.text for strip in Renderer(width, {}, dark=True).rows(Block(text))]


@settings(max_examples=examples.of(50), deadline=None)
@given(st.integers(8, 100), st.lists(st.sampled_from(["value", "(x)", "+", "日本"]), min_size=1, max_size=40))
def test_a_long_line_of_code_is_wrapped_and_whole(width: int, words: list[str]) -> None:
    found = rows(f"```python\n{' '.join(words)}\n```", width)
    assert all(cell_len(row) <= width for row in found)
    assert "".join("".join(found).split()) == "".join(words)


def test_code_has_no_ground_of_its_own() -> None:
    strips = Renderer(60, {}, dark=True).rows(Block("```python\ndef f(x: int) -> int:\n    return x\n```"))
    styles = [segment.style for strip in strips for segment in strip if segment.style is not None]
    assert any(style.color is not None for style in styles)
    assert all(style.bgcolor is None for style in styles)


_DOCSTRING = ["def f():", '    """Says', "    if it is for words.", '    """', "", "    return 1  # so"]


@pytest.mark.parametrize("language", ["python", "cpp", "html", "json", "php", "console", "nothing-known", ""])
def test_lines_of_an_open_fence_stand_as_they_will_in_the_closed_block(language: str) -> None:
    """Where a lexer runs line by line; the words of a docstring are no code."""
    renderer = Renderer(60, {}, dark=True)
    code = OpenCode(renderer, f"```{language}")
    for line in _DOCSTRING:
        code.feed(line)
    closed = renderer.rows(Block("\n".join([f"```{language}", *_DOCSTRING, "```"])))
    assert [row.text.rstrip() for row in code.rows] == [row.text.rstrip() for row in closed]
    styles = [style for row in code.rows for _, style, _ in row if style is not None]
    assert all(style.bgcolor is None for style in styles)
    if language == "python":
        inks = [{style.color for text, style, _ in row if text.strip() and style} for row in code.rows]
        assert inks == [{style.color for text, style, _ in row if text.strip() and style} for row in closed]
        assert inks[1] == inks[2] == inks[3]
