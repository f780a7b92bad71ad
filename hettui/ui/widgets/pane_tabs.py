"""The names of the panes in one row, each with its key."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.message import Message
from textual.reactive import reactive

from hettui.ui.drawing.gauges import Runs
from hettui.ui.drawing.tabs_row import LOOKS, TabsView, labels, tabs_row
from hettui.ui.widgets.painted import Painted


class PaneTabs(Painted):
    """A click, or the keys named in it, choose a pane; the screen does the switching."""

    ALLOW_SELECT = False
    ROLES = LOOKS
    DEFAULT_CSS = """
    PaneTabs { height: 1; padding: 0 1; background: $panel; }
    """

    view: reactive[TabsView] = reactive(TabsView(), repaint=False)

    class Chosen(Message):
        """A pane was chosen with the mouse."""

        def __init__(self, pane_id: str) -> None:
            super().__init__()
            self.pane_id = pane_id

    def watch_view(self) -> None:
        self.repaint()

    def drawn_rows(self) -> Sequence[Runs]:
        return [tabs_row(self.view, self.content_size.width)]

    def on_click(self, event: events.Click) -> None:
        x = event.x - 1
        for tab, title, key in labels(self.view, self.content_size.width):
            width = len(title) + len(key) + 1
            if 0 <= x < width:
                self.post_message(self.Chosen(tab.id))
                return
            x -= width
