"""What a start loads: more is told, less is not."""

from __future__ import annotations

import pytest

from tests.lean import LIST, more, read

SCREEN = "hettui CONFIG"
WRITTEN = {SCREEN: ["hettui", "hettui.ui"], "numbers": ["widgets 40", "right: styled 1, laid out 0"]}


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({SCREEN: ["hettui"], "numbers": ["widgets 39", "right: styled 0, laid out 0"]}, []),
        ({SCREEN: ["hettui", "hettui.new", "hettui.ui"]}, [f"{SCREEN} imports hettui.new"]),
        ({"hettui other": ["hettui"]}, ["hettui other imports hettui"]),
        ({"numbers": ["widgets 41"]}, ["widgets 41: widgets 40 is written down"]),
        ({"numbers": ["right: styled 1, laid out 1"]}, ["right: styled 1, laid out 1: right: styled 1, laid out 0"]),
        ({"numbers": ["left: styled 1, laid out 0"]}, ["left: styled 1, laid out 0: nothing is written down"]),
    ],
)
def test_more_than_was_written_down_is_told(now: dict[str, list[str]], said: list[str]) -> None:
    found = more(now, WRITTEN)
    assert len(found) == len(said)
    assert all(line.startswith(words) for line, words in zip(found, said, strict=True))


def test_what_is_written_down_is_whole() -> None:
    known = read()
    assert LIST.read_text(encoding="utf-8").count("# hettui ") == 8
    assert [start for start, names in known.items() if "textual" in names] == [
        "hettui CONFIG, until the main screen stands"
    ]
