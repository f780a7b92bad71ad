"""The mouse as terminals send it: raw sequences into the real screen, on cards, on one-line rows, on the layer bar."""

from __future__ import annotations

import re

import pytest

from tests.e2e.conftest import Terminal

pytestmark = [pytest.mark.engine, pytest.mark.tmux]

PRESS, RELEASE, DRAG = "\x1b[<0;{};{}M", "\x1b[<0;{};{}m", "\x1b[<32;{};{}M"
WHEEL_UP, WHEEL_DOWN = "\x1b[<64;{};{}M", "\x1b[<65;{};{}M"


def mouse(terminal: Terminal, kind: str, x: int, y: int) -> None:
    """`x` and `y` from 0, as `capture-pane` counts."""
    terminal.type(kind.format(x + 1, y + 1))


def drag(terminal: Terminal, y: int, *cells: int) -> None:
    mouse(terminal, PRESS, cells[0], y)
    for x in cells:
        mouse(terminal, DRAG, x, y)
    mouse(terminal, RELEASE, cells[-1], y)


def found(shown: str, pattern: str) -> tuple[int, int]:
    """Row and column of the first match."""
    for y, line in enumerate(shown.split("\n")):
        if match := re.search(pattern, line):
            return y, match.start()
    pytest.fail(f"{pattern} is not on the screen:\n{shown}")


def layers_of_first(shown: str) -> int:
    """From its card, or from its row."""
    match = re.search(r"▶1 .*\n.*layers .*[╌●┆◇] +(\d+)", shown) or re.search(r"▶ 1 .*[╌●┆◇] +(\d+)", shown)
    assert match is not None, shown
    return int(match[1])


def changed(terminal: Terminal, before: int) -> int:
    """Layers of the first device once they are others, and all that was sent has arrived: it comes in its order."""
    terminal.send("?")
    terminal.wait("esc closes")
    terminal.send("Escape")
    terminal.wait("esc closes", gone=True)
    return layers_of_first(terminal.wait_until(lambda shown: layers_of_first(shown) != before))


@pytest.mark.parametrize("size", [(80, 24), (80, 14)], ids=["cards", "rows"])
def test_sliders_and_boundaries_follow_the_raw_mouse(terminal: Terminal, size: tuple[int, int]) -> None:
    terminal.run("demo", size=size)
    # Before it knows what runs, it has no mouse.
    shown = terminal.wait("○ stopped")
    held = layers_of_first(shown)

    y, x = found(shown, "[━╌]*●")
    x += shown.split("\n")[y][x:].index("●")
    drag(terminal, y, x, x + 1, x + 2, x + 3)
    dragged = changed(terminal, held)
    assert dragged > held

    mouse(terminal, WHEEL_UP, x, y)
    assert changed(terminal, dragged) == dragged + 1
    mouse(terminal, WHEEL_DOWN, x, y)
    assert changed(terminal, dragged + 1) == dragged

    shown = terminal.screen()
    x = shown.split("\n")[1].index("│")
    drag(terminal, 1, x, x - 3, x - 6)
    assert changed(terminal, dragged) < dragged

    terminal.type("q")
    assert "EXIT=0" in terminal.wait("EXIT=")
