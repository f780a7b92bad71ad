"""`?`: every key, what it does, and a few words about what one sees."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

LEGEND = """\
Each card is a device. Its slider holds its layers; what one device gives, the nearest unlocked one takes, and the
sum is always the model's blocks and the output layer, which the last device carries. What no device takes stays on
the master's CPU. The memory bar shows what the plan needs: █ weights ▓ KV cache ▒ compute ░ overhead, against the
device's budget; the mark is what was measured.

The plan is what the sliders say. `s` starts it, `a` applies a changed one: only the master restarts.
"""


class HelpScreen(ModalScreen[None]):
    """Closes with Esc, q or ?."""

    BINDINGS = [Binding("escape,q,question_mark", "dismiss", "Close")]
    DEFAULT_CSS = """
    HelpScreen { align: center middle; }
    HelpScreen > VerticalScroll {
        width: 90%; max-width: 92; height: auto; max-height: 90%; padding: 1 2;
        background: $surface; border: round $primary; border-title-color: $text;
    }
    HelpScreen Static { height: auto; }
    """

    def __init__(self, keys: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._keys = keys

    def compose(self) -> ComposeResult:
        parts: list[str | tuple[str, str]] = [LEGEND, "\n"]
        for key, meaning in self._keys:
            parts += [(f"{key:<16}", "bold"), meaning + "\n"]
        with VerticalScroll() as box:
            box.border_title = "Help"
            yield Static(Content.assemble(*parts), markup=False)
