"""The top line: which model, what the cluster does, where it listens, how fast it is."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from hettui.domain.cluster import ClusterState
from hettui.domain.text import shorten_middle

# A sign beside the colour: the state must be readable without colours.
_SIGNS = {
    ClusterState.DOWN: ("○", "$hettui-muted"),
    ClusterState.STARTING: ("◐", "$hettui-warn"),
    ClusterState.LOADING: ("◑", "$hettui-warn"),
    ClusterState.READY: ("●", "$hettui-ok"),
    ClusterState.STOPPING: ("◒", "$hettui-warn"),
    ClusterState.FAILED: ("✗", "$hettui-crit"),
}


@dataclass(frozen=True, slots=True)
class HeaderView:
    """Everything that the top line says."""

    model: str
    state: ClusterState = ClusterState.DOWN
    address: str = ""
    rate: str = ""
    mark: str = ""
    """`DEMO`, `REC`, `REPLAY 01:23 / 05:00 ▶ 1×`: what must not be overlooked."""


class StatusHeader(Widget):
    """One line; what does not fit is shortened from the least important on."""

    DEFAULT_CSS = """
    StatusHeader { height: 1; background: $panel; padding: 0 1; }
    """

    view: reactive[HeaderView] = reactive(HeaderView("hettui"))

    def render(self) -> Content:
        view = self.view
        sign, colour = _SIGNS[view.state]
        state = f"{sign} {view.state.value}"
        right = [part for part in (view.rate, view.address) if part]
        room = self.content_size.width - cell_len(state) - 3 - len(view.mark) - 10
        while right and sum(cell_len(p) + 3 for p in right) > room - 20:
            right.pop()
        tail = " · ".join(right)
        model = shorten_middle(view.model, max(8, room - cell_len(tail)))
        left = Content.assemble(
            ("hettui", "bold"),
            *_mark(view.mark),
            "  ",
            model,
        )
        gap = self.content_size.width - left.cell_length - cell_len(state) - cell_len(tail) - (3 if tail else 0)
        return Content.assemble(
            left, " " * max(1, gap), (tail + " · " if tail else "", "$hettui-muted"), (state, f"bold {colour}")
        )


def _mark(mark: str) -> list[str | tuple[str, str]]:
    if mark.startswith("REPLAY"):
        # Nobody may take it for a machine that runs now.
        return [" ", (f" {mark} ", "bold reverse $hettui-warn")]
    return [(f" {mark}" if mark else "", "bold $hettui-warn")]
