"""The line under the layer bar: one thing at a time, the most urgent first."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from hettui.ui.drawing.gauges import progress_bar
from hettui.ui.presenting.views import PlanLineView

_STYLES = {
    "muted": "$hettui-muted",
    "ok": "$hettui-ok",
    "warn": "$hettui-warn",
    "crit": "bold $hettui-crit",
    "entry": "bold reverse",
}


class PlanLine(Widget):
    """One row."""

    DEFAULT_CSS = """
    PlanLine { height: 1; padding: 0 1; }
    """

    view: reactive[PlanLineView] = reactive(PlanLineView())

    def render(self) -> Content:
        width = self.content_size.width
        bar = ""
        if self.view.fraction is not None:
            cells = min(30, max(10, width // 4))
            filled = round(self.view.fraction * cells)
            bar = progress_bar(filled, cells) + " "
        text = self.view.text
        room = max(1, width - cell_len(bar))
        if cell_len(text + self.view.extra) <= room:
            text += self.view.extra
        if cell_len(text) > room:
            cut = set_cell_size(text, room - 1)
            whole, _, _ = cut.rpartition(" ")
            # At a word's end, unless that is far back.
            text = (whole if 2 * cell_len(whole) > room else cut) + "…"
        style, faint = _STYLES[self.view.tone], self.view.faint
        before, found, after = text.partition(faint) if faint else (text, "", "")
        return Content.assemble((bar, "$primary"), (before, style), (found, _STYLES["muted"]), (after, style))
