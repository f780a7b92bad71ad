"""A token's time as one bar in the layer bar's colours: who takes how much of it is seen without reading."""

from __future__ import annotations

from collections.abc import Sequence

from textual.reactive import reactive

from hettui.ui.drawing.gauges import Runs
from hettui.ui.drawing.top_rows import LOOKS, time_row
from hettui.ui.presenting.views import TimeBarView
from hettui.ui.widgets.painted import Painted


class TimeBar(Painted):
    """One row under the layer bar; the first to go where rows are short."""

    ALLOW_SELECT = False
    ROLES = LOOKS
    DEFAULT_CSS = "TimeBar { height: 1; margin: 0 1; }"

    view: reactive[TimeBarView] = reactive(TimeBarView(), repaint=False)

    def watch_view(self) -> None:
        self.repaint()

    def drawn_rows(self) -> Sequence[Runs]:
        return [time_row(self.view, self.content_size.width)]
