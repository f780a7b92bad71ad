"""The top line: which model, what the cluster does, where it listens, how fast it is."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.records import dataclass
from hettui.domain.text import shorten_middle
from hettui.ui.presenting.views import HeaderView

# A sign beside the colour: the state must be readable without colours.
_SIGNS = {
    ClusterState.LOOKING: ("◌", "$hettui-muted"),
    ClusterState.DOWN: ("○", "$hettui-muted"),
    ClusterState.STARTING: ("◐", "$hettui-warn"),
    ClusterState.LOADING: ("◑", "$hettui-warn"),
    ClusterState.READY: ("●", "$hettui-ok"),
    ClusterState.STOPPING: ("◒", "$hettui-warn"),
    ClusterState.FAILED: ("✗", "$hettui-crit"),
}


_WORDS = {ClusterState.LOOKING: "connecting…"}


class StatusHeader(Widget):
    """One line; what does not fit is shortened from the least important on."""

    DEFAULT_CSS = """
    StatusHeader { height: 1; background: $panel; padding: 0 1; }
    """

    view: reactive[HeaderView] = reactive(HeaderView("hettui"))

    def render(self) -> Content:
        view, width = self.view, self.content_size.width
        sign, colour = _SIGNS[view.state]
        state = f"{sign} {_WORDS.get(view.state, view.state.value)}"
        line = fitted(view, width, cell_len(state))
        gap = max(1, width - line.cells - cell_len(state))
        tail: list[str | tuple[str, str]] = []
        for text, style in ((line.rate, ""), (line.address, "$hettui-muted"), (line.differs, "bold $hettui-warn")):
            tail += [(text, style), (" · ", "$hettui-muted")] if text else []
        return Content.assemble(
            (line.name, "bold"), *_mark(view.mark), "  " if line.name or view.mark else "", line.model,
            " " * gap, *tail, (state, f"bold {colour}"),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """What there is room for, each part as it is shown."""

    name: str
    model: str
    rate: str
    address: str
    differs: str
    mark_cells: int

    @property
    def cells(self) -> int:
        """Of everything but the state and the gap."""
        tail = sum(cell_len(part) + 3 for part in (self.rate, self.address, self.differs) if part)
        head = cell_len(self.name) + self.mark_cells
        return head + (2 if head else 0) + cell_len(self.model) + tail


_LEAST_MODEL_CELLS = 14


def fitted(view: HeaderView, width: int, state_cells: int) -> Line:
    """The whole line, else with less and less of it: first go words that say nothing new, the model's name is cut in
    the middle, and the state and that the plan differs stay to the last."""
    mark = sum(cell_len(part if isinstance(part, str) else part[0]) for part in _mark(view.mark))
    short, port = view.address.partition("://")[2] or view.address, view.address.rpartition(":")[2]
    port = f":{port}" if port.isdigit() else ""
    differs = "plan differs" if view.differs else ""
    sign = "≠ plan" if view.differs else ""
    forms = (
        ("hettui", view.address, view.rate, differs),
        ("hettui", short, view.rate, differs),
        ("", short, view.rate, differs),
        ("", short, view.rate, sign),
        ("", port, view.rate, sign),
        ("", "", view.rate, sign),
        ("", "", "", sign),
    )
    for name, address, rate, difference in forms:
        bare = Line(name, "", rate, address, difference, mark)
        room = width - bare.cells - state_cells - 1
        if room >= min(_LEAST_MODEL_CELLS, cell_len(view.model)):
            break
    fits = room > 3 or room >= cell_len(view.model)
    return Line(name, shorten_middle(view.model, max(0, room)) if fits else "", rate, address, difference, mark)


def _mark(mark: str) -> list[str | tuple[str, str]]:
    """With the space before it."""
    if mark.startswith("REPLAY"):
        # Nobody may take it for a machine that runs now.
        return [" ", (f" {mark} ", "bold reverse $hettui-warn")]
    return [(f" {mark}" if mark else "", "bold $hettui-warn")]
