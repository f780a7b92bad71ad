"""A question over the main screen: a choice between a few answers."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

_BOX = """
    {name} {{ align: center middle; }}
    {name} > Vertical {{
        width: 80%; max-width: 78; height: auto; padding: 1 2; background: $surface; border: round $primary;
    }}
    {name} Static {{ height: auto; margin-bottom: 1; }}
"""


class ChoiceScreen(ModalScreen[str | None]):
    """A question with answers; each answer's first letter is its key. Esc answers None."""

    BINDINGS = [
        Binding("escape", "dismiss(None)", "Cancel"),
        # No letters here: they are answers.
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
    ]
    DEFAULT_CSS = (
        _BOX.format(name="ChoiceScreen")
        + """
    ChoiceScreen Horizontal { height: auto; align-horizontal: right; }
    ChoiceScreen Button { margin-left: 2; min-width: 0; }
    """
    )

    def __init__(self, question: str, answers: Sequence[tuple[str, str]]) -> None:
        """`answers` are pairs of a key and a text; the first is the default."""
        super().__init__()
        self._question = question
        self._answers = answers

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(Content(self._question), markup=False)
            with Horizontal():
                for key, text in self._answers:
                    yield Button(Content(f"{text} ({key})"), id=f"answer-{key}", compact=True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss((event.button.id or "").removeprefix("answer-"))

    def on_key(self, event: events.Key) -> None:
        if event.key in (answer for answer, _ in self._answers):
            # Else it would also be a key of the screen below, which is there by then.
            event.stop()
            event.prevent_default()
            self.dismiss(event.key)
