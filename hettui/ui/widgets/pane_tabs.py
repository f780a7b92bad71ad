"""The names of the panes in one row, each with its key."""

from __future__ import annotations

from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from hettui.domain.records import dataclass


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
    lit: reactive[bool] = reactive(True)
    """The keyboard is in the active pane."""
    note: reactive[str] = reactive("")
    """At the right, where there is room."""
    panes: reactive[tuple[Pane, ...]] = reactive(())

    class Chosen(Message):
        """A pane was chosen with the mouse."""

        def __init__(self, pane_id: str) -> None:
            super().__init__()
            self.pane_id = pane_id

    def _labels(self) -> list[tuple[Pane, str, str]]:
        """Title and key of each, both of which are shown and clicked; where it is narrow, first the air goes, then the
        keys, then the titles."""
        width = self.content_size.width
        for titles, keys, air in ((True, True, " "), (True, True, ""), (True, False, " "), (False, True, " ")):
            labels = []
            for pane in self.panes:
                title = f"{air}{pane.title} " if titles or pane.id == self.active else " "
                labels.append((pane, title, f"{pane.key}{air}" if keys else ""))
            if sum(len(title) + len(key) + 1 for _, title, key in labels) <= width:
                break
        return labels

    def render(self) -> Content:
        parts: list[Content | str | tuple[str, str]] = []
        used = 0
        for pane, title, key in self._labels():
            style = ("reverse" if self.lit else "underline") if pane.id == self.active else ""
            parts.append((title, f"bold {style}" if style else ""))
            parts.append((key, style or "$hettui-muted"))
            parts.append(" ")
            used += len(title) + len(key) + 1
        room = self.content_size.width - used - len(self.note)
        if self.note and room >= 0:
            parts += [" " * room, (self.note, "$hettui-warn")]
        return Content.assemble(*parts)

    def on_click(self, event: events.Click) -> None:
        x = event.x - 1
        for pane, title, key in self._labels():
            width = len(title) + len(key) + 1
            if 0 <= x < width:
                self.post_message(self.Chosen(pane.id))
                return
            x -= width
