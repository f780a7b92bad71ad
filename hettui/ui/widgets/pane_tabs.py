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

    def _labels(self) -> list[tuple[Pane, str]]:
        return [(pane, f" {pane.title} ") for pane in self.panes]

    def render(self) -> Content:
        parts: list[Content | str | tuple[str, str]] = []
        for pane, label in self._labels():
            chosen = pane.id == self.active
            parts.append((label, "bold reverse" if chosen else ""))
            parts.append((pane.key + "  ", "$text-muted"))
        return Content.assemble(*parts)

    def on_click(self, event: events.Click) -> None:
        x = event.x - 1
        for pane, label in self._labels():
            width = len(label) + len(pane.key) + 2
            if 0 <= x < width:
                self.post_message(self.Chosen(pane.id))
                return
            x -= width
