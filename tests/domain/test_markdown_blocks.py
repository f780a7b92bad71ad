"""Blocks close when nothing can change them any more, wherever the text is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.ui.drawing.markdown_blocks import Block, BlockSplitter

ANSWER = """Two **words**.
Still the first paragraph.

```python
def f():

    return 1
```
- one
- two

  of two
3. three

| a | b |
|---|---|
| 1 | 2 |

# The end"""
BLOCKS = [
    "Two **words**.\nStill the first paragraph.",
    "```python\ndef f():\n\n    return 1\n```",
    "- one\n- two\n\n  of two\n3. three",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "# The end",
]


def split(pieces: list[str], limit: int = 1200) -> list[Block]:
    splitter = BlockSplitter(limit)
    blocks = [block for piece in pieces for block in splitter.feed(piece)]
    return [*blocks, *splitter.finish()]


@given(st.lists(st.integers(1, 40), max_size=60))
def test_the_same_blocks_wherever_it_is_cut(sizes: list[int]) -> None:
    pieces, rest = [], ANSWER
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    assert [b.text for b in split([*pieces, rest])] == BLOCKS


def test_an_open_fence_stays_open_until_it_is_closed() -> None:
    splitter = BlockSplitter()
    assert splitter.feed("```c\nint x;\n\nint y;\n") == []
    assert splitter.tail == "```c\nint x;\n\nint y;\n"
    assert splitter.feed("```\n") == [Block("```c\nint x;\n\nint y;\n```")]
    assert splitter.tail == ""


def test_a_fence_that_never_closes_is_closed_at_the_end() -> None:
    assert split(["~~~\nx"]) == [Block("~~~\nx\n~~~")]


def test_a_giant_fence_is_cut_and_goes_on_in_its_language() -> None:
    blocks = split(["```py\n" + "x = 1\n" * 100 + "```\n"], limit=120)
    assert len(blocks) > 3
    assert not blocks[0].joined
    assert all(block.joined for block in blocks[1:])
    assert all(block.text.startswith("```py\n") and block.text.endswith("\n```") for block in blocks)
    code = "".join(block.text.removeprefix("```py\n").removesuffix("```") for block in blocks)
    assert code == "x = 1\n" * 100


def test_the_tail_of_a_cut_fence_does_not_show_its_opening_twice() -> None:
    splitter = BlockSplitter(20)
    blocks = splitter.feed("```py\n" + "x = 1\n" * 4)
    assert len(blocks) == 1
    splitter.feed("y")
    assert splitter.tail == "x = 1\ny"


def test_an_endless_paragraph_is_cut_at_a_line() -> None:
    blocks = split(["word " * 10 + "\n"] * 20, limit=200)
    assert len(blocks) > 2
    assert blocks[1].joined


@pytest.mark.parametrize("text", ["", "\n\n\n", "  \n"])
def test_nothing_is_no_block(text: str) -> None:
    assert split([text]) == []


@given(st.text(alphabet="ab \n`~-1.|", max_size=300), st.integers(1, 50))
def test_no_word_is_lost(text: str, size: int) -> None:
    blocks = split([text[i : i + size] for i in range(0, len(text), size)], limit=60)
    shown = "\n".join(block.text for block in blocks)
    assert [c for c in text if c in "ab"] == [c for c in shown if c in "ab"]
