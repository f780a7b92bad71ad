"""A dialog at the lower right edge: what is highlighted in it is looked at on bar and cards behind."""

from __future__ import annotations

from typing import TypeVar

from textual.containers import Vertical
from textual.screen import ModalScreen

_Answer = TypeVar("_Answer")
_HIGH_ROWS = 28


class LookThrough(ModalScreen[_Answer]):
    """Its heirs put their rows into `_box`."""

    DEFAULT_CSS = """
    LookThrough { align: right bottom; background: transparent; }
    LookThrough > Vertical {
        width: 58; height: auto; padding: 0 1; margin: 0 0 1 0;
        background: $surface; border: round $primary; border-title-color: $foreground;
        border-subtitle-color: $hettui-muted;
    }
    LookThrough.-narrow > Vertical { width: 100%; }
    LookThrough.-roomy > Vertical { width: 86; }
    """
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide"), (150, "-roomy")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (_HIGH_ROWS, "-high")]

    def __init__(self) -> None:
        super().__init__()
        self._box = Vertical()

    @property
    def _low(self) -> bool:
        return self.size.height < _HIGH_ROWS
