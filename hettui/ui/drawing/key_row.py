"""A row of keys, and what it shows when there is not room for all: whole entries or nothing, the most important
first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.cells import cell_len

from hettui.domain.records import dataclass
from hettui.domain.screen.keymap import shown
from hettui.ui.colours.roles import Look
from hettui.ui.drawing.gauges import Runs

LOOKS: Mapping[str, Look] = {
    "key": Look("primary", text="bold"),
    "word": Look("foreground"),
    "off": Look("foreground", text="dim"),
}
PINNED = ("help", "quit")
"""Actions that stay however narrow it is."""
ALWAYS = {"quit": "app.quit"}
"""What stands in for a pinned action where its key is a letter that would be typed."""
GAP_CELLS = 2
MORE = "…"


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One key as the footer shows it."""

    key: str
    """What it is called: `^r`, `esc`."""
    word: str
    pressed: str
    """What a click on it presses."""
    enabled: bool = True

    @property
    def cells(self) -> int:
        return cell_len(self.key) + 1 + cell_len(self.word)


@dataclass(frozen=True, slots=True)
class KeyRow:
    """What is shown, from the left and from the right."""

    left: tuple[KeyEntry, ...]
    right: tuple[KeyEntry, ...]
    more: bool = False
    """Something was left out: the help has it."""

    def places(self, width: int) -> list[tuple[int, KeyEntry]]:
        """The first cell of every entry."""
        found, x = [], 0
        for entry in self.left:
            found.append((x, entry))
            x += entry.cells + GAP_CELLS
        x = width - _cells(self.right)
        for entry in self.right:
            found.append((x, entry))
            x += entry.cells + GAP_CELLS
        return found

    def runs(self, width: int) -> Runs:
        """The row itself."""
        found: Runs = []
        x = 0
        for start, entry in self.places(width):
            if self.more and self.left and entry is self.right[0]:
                found.append((" " * GAP_CELLS + MORE, "off"))
                x += GAP_CELLS + len(MORE)
            key, word = ("key", "word") if entry.enabled else ("off", "off")
            found += [(" " * (start - x), "word"), (entry.key, key), (f" {entry.word}", word)]
            x = start + entry.cells
        return found


def called(key: str) -> str:
    """A key by its name, short: `^r`, `esc`, `?`."""
    return shown(key).replace("ctrl+", "^")


def _cells(entries: Sequence[KeyEntry]) -> int:
    return sum(entry.cells for entry in entries) + GAP_CELLS * max(0, len(entries) - 1)


def fitting(width: int, entries: Sequence[KeyEntry], pinned: Sequence[KeyEntry]) -> KeyRow:
    """`entries` with the most important first; `pinned` stay, at the right, the last one longest.

    What cannot be pressed now goes before what can, the less important first.
    """
    kept = list(pinned)
    while kept and _cells(kept) > width:
        kept.pop(0)
    left = list(entries)
    order = sorted(range(len(left)), key=lambda i: (left[i].enabled, -i))
    gone: set[int] = set()

    def taken() -> int:
        shown = [entry for i, entry in enumerate(left) if i not in gone]
        between = GAP_CELLS if shown and kept else 0
        more = cell_len(MORE) + GAP_CELLS if gone and shown else 0
        return _cells(shown) + between + more + _cells(kept)

    for place in order:
        if taken() <= width:
            break
        gone.add(place)
    return KeyRow(tuple(e for i, e in enumerate(left) if i not in gone), tuple(kept), bool(gone))
