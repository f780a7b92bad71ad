"""The names of the panes in one row, each with its key."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget


@dataclass(frozen=True, slots=True)
class Pane:
    """One pane: its widget's id, its name, its key, and a mark such as the number of new lines."""

    id: str
    title: str
    key: str


class PaneTabs(Widget):
    """A click, or the keys named in it, choose a pane; the screen does the switching."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    PaneTabs { height: 1; padding: 0 1; background: $panel; }
    """

    active: reactive[str] = reactive("")
    panes: reactive[tuple[Pane, ...]] = reactive(())

    class Chosen(Message):
        """A pane was chosen with the mouse."""

        def __init__(self, pane_id: str) -> None:
            super().__init__()
            self.pane_id = pane_id

    @staticmethod
    def _label(pane: Pane) -> tuple[str, str]:
        """Title and key, both of which are shown and clicked."""
        return f" {pane.title} ", f"{pane.key} "

    def render(self) -> Content:
        parts: list[Content | str | tuple[str, str]] = []
        for pane in self.panes:
            title, key = self._label(pane)
            chosen = pane.id == self.active
            parts.append((title, "bold reverse" if chosen else ""))
            parts.append((key, "reverse" if chosen else "$hettui-muted"))
            parts.append(" ")
        return Content.assemble(*parts)

    def on_click(self, event: events.Click) -> None:
        x = event.x - 1
        for pane in self.panes:
            width = sum(map(len, self._label(pane))) + 1
            if 0 <= x < width:
                self.post_message(self.Chosen(pane.id))
                return
            x -= width
