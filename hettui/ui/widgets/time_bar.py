"""A token's time as one bar in the layer bar's colours: who takes how much of it is seen without reading."""

from __future__ import annotations

from collections.abc import Sequence

from textual.reactive import reactive

from hettui.domain.units import UNKNOWN, figures
from hettui.ui.colours.roles import Look
from hettui.ui.drawing import gauges
from hettui.ui.drawing.gauges import Runs
from hettui.ui.presenting.views import TimeBarView
from hettui.ui.widgets.layer_bar import DEVICE_LOOKS, SELECTED
from hettui.ui.widgets.painted import Painted

_NOTHING = "time of a token: not known before the first answer"


class TimeBar(Painted):
    """One row under the layer bar; the first to go where rows are short."""

    ALLOW_SELECT = False
    ROLES = {"selected": SELECTED, "words": Look("hettui-muted"), **DEVICE_LOOKS}
    DEFAULT_CSS = "TimeBar { height: 1; margin: 0 1; }"

    view: reactive[TimeBarView] = reactive(TimeBarView(), repaint=False)

    def watch_view(self) -> None:
        self.repaint()

    def drawn_rows(self) -> Sequence[Runs]:
        view, width = self.view, self.content_size.width
        if not view.shares:
            return [[(gauges.fit(_NOTHING, width), "words")]]
        roles = [f"device-{view.colour(i)}" for i in range(len(view.shares))]
        parts = gauges.time_parts(view.shares, view.names, roles, view.selected)
        time = UNKNOWN if view.token_s is None else f"{figures(1e3 * view.token_s)} ms"
        token = f"{time} a token"
        return [gauges.time_bar(width, parts, (f"{token}, {view.basis}", token, time))]
