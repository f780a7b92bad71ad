"""The top line: which model, what the cluster does, where it listens, how fast it is."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from hettui.ui.drawing.top_rows import LOOKS, header_row
from hettui.ui.presenting.views import HeaderView
from hettui.ui.widgets.in_roles import content_of


class StatusHeader(Widget):
    """One line."""

    DEFAULT_CSS = """
    StatusHeader { height: 1; background: $panel; padding: 0 1; }
    """

    view: reactive[HeaderView] = reactive(HeaderView("hettui"))

    def render(self) -> Content:
        return content_of(header_row(self.view, self.content_size.width), LOOKS)
