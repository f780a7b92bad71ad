"""Jump mode: a letter on each pane and device; the letter takes the keyboard there."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.content import Content
from textual.geometry import Region, Size
from textual.screen import ModalScreen
from textual.widgets import Static

from hettui.domain.records import dataclass

LETTERS = "asdfhjklwrtyuiopqnmxz"
"""Of devices, the nearest to the fingers first; panes have their own keys."""
HINT = " a letter jumps there · Esc stays here "


@dataclass(frozen=True, slots=True)
class Target:
    """Something that can have the keyboard."""

    letter: str
    name: str
    region: Region
    """On the screen; empty where it is not to be seen: the letter works all the same."""
    goal: str
    """What the screen is told when it is chosen."""


def lettered(panes: Sequence[Target], devices: Sequence[tuple[str, str, Region]]) -> list[Target]:
    """Panes keep their letters, devices (goal, name, region) get the others in order, as long as there are any."""
    taken = {pane.letter for pane in panes}
    free = [letter for letter in LETTERS if letter not in taken]
    found = [Target(letter, name, region, goal) for letter, (goal, name, region) in zip(free, devices, strict=False)]
    return [*panes, *found]


class JumpScreen(ModalScreen[str | None]):
    """Ends with the target's goal; with None by Esc or any other key."""

    DEFAULT_CSS = """
    JumpScreen { background: transparent; layers: labels; }
    JumpScreen Static { position: absolute; width: auto; height: 1; background: $warning; color: $background; }
    JumpScreen Static { text-style: bold; }
    """

    def __init__(self, targets: Sequence[Target]) -> None:
        super().__init__()
        self._targets = targets
        self._opened_at: Size | None = None
        """Of the terminal, when it was opened."""

    def compose(self) -> ComposeResult:
        for target in self._targets:
            if target.region.area:
                label = Static(Content(f" {target.letter} "), markup=False)
                # On the marker of a device, in the first row of a pane.
                label.styles.offset = (target.region.x, target.region.y)
                yield label
        hint = Static(Content(HINT), markup=False)
        hint.styles.offset = (max(0, (self.app.size.width - len(HINT)) // 2), max(0, self.app.size.height - 1))
        yield hint

    def on_resize(self, event: events.Resize) -> None:
        # On another size the letters would stand where nothing is any more.
        if self._opened_at is not None and event.size != self._opened_at:
            self.dismiss(None)
        self._opened_at = event.size

    def on_key(self, event: events.Key) -> None:
        event.stop()
        chosen = next((t for t in self._targets if t.letter == event.key), None)
        self.dismiss(chosen.goal if chosen is not None else None)
