"""The line under the layer bar: one thing at a time, the most urgent first."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from hettui.ui.drawing.top_rows import LOOKS, plan_row
from hettui.ui.presenting.views import PlanLineView
from hettui.ui.widgets.in_roles import content_of


class PlanLine(Widget):
    """One row."""

    DEFAULT_CSS = """
    PlanLine { height: 1; padding: 0 1; }
    """

    view: reactive[PlanLineView] = reactive(PlanLineView())

    def render(self) -> Content:
        return content_of(plan_row(self.view, self.content_size.width), LOOKS)
