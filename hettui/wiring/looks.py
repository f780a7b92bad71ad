"""What the screen is drawn with: themes, and what the terminal can show."""

from __future__ import annotations

from hettui.domain.records import dataclass
from hettui.domain.screen.terminal import Terminal
from hettui.ports import ThemeFiles, ThemeShelf


@dataclass(frozen=True, slots=True)
class Looks:
    """`theme` is the one that was asked for by its name; None: the configured one."""

    shelf: ThemeShelf
    themes: ThemeFiles
    """As the shelf had them."""
    theme: str | None
    terminal: Terminal
