"""`?`: every key, what it does, and a few words about what one sees."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

LEGEND = (
    "Each card is a device; its slider holds its layers. What one device gives, the nearest unlocked one takes: the "
    "sum is always the model's blocks and the output layer ◆, which the last device carries. What no device takes "
    "stays with the CPU of this machine.\n\n"
    "The memory bar shows what the plan needs, █ weights ▓ KV cache ▒ compute ░ overhead, against the device's budget; "
    "┃ is what its process holds now.\n\n"
    "The plan is what the sliders say. s starts it, a applies a changed one: then only the master restarts.\n"
)


class HelpScreen(ModalScreen[None]):
    """Closes with Esc, q or ?."""

    BINDINGS = [Binding("escape,q,question_mark", "dismiss", "Close")]
    DEFAULT_CSS = """
    HelpScreen { align: center middle; }
    HelpScreen > VerticalScroll {
        width: 90%; max-width: 92; height: auto; max-height: 90%; padding: 1 2;
        background: $surface; border: round $primary; border-title-color: $foreground;
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
