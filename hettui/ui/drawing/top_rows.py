"""The rows at the top of the screen, each as pieces with roles: header, layer bar, time bar, plan line.

Widgets draw them, and before there are any the first frame does (`hettui.ui.first_frame`).
"""

from __future__ import annotations

from collections.abc import Mapping

from rich.cells import cell_len, set_cell_size

from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.devices.colours import COLOURS
from hettui.domain.plan.split import HOST
from hettui.domain.records import dataclass
from hettui.domain.text import shorten_middle
from hettui.domain.units import UNKNOWN, figures
from hettui.ui.colours.roles import Look
from hettui.ui.drawing import gauges
from hettui.ui.drawing.gauges import BarPart, Runs
from hettui.ui.presenting.views import HeaderView, LayerBarView, PlanLineView, TimeBarView

LOOKS: Mapping[str, Look] = {
    "muted": Look("hettui-muted"),
    "ok": Look("hettui-ok"),
    "warn": Look("hettui-warn"),
    "crit": Look("hettui-crit"),
    "progress": Look("primary"),
    "strong": Look(text="bold"),
    "turned": Look(text="reverse"),
    "host": Look("foreground", "panel"),
    "selected": Look(text="bold"),
    **{f"device-{n}": Look(f"hettui-device-{n}-text", f"hettui-device-{n}") for n in range(1, COLOURS + 1)},
}

HIGH_ROWS, SHORT_ROWS, TIME_ROWS = 28, 10, 20
"""From so many rows of the terminal on the layer bar has two, is there at all, and the time bar is."""


def bar_rows(rows: int) -> tuple[int, int]:
    """Of the layer bar and of the time bar, in a terminal of so many."""
    return 2 if rows >= HIGH_ROWS else 1 if rows >= SHORT_ROWS else 0, int(rows >= TIME_ROWS)


# -- header ------------------------------------------------------------------------------------------------------

# A sign beside the colour: the state must be readable without colours.
_SIGNS = {
    ClusterState.LOOKING: ("◌", "muted"),
    ClusterState.DOWN: ("○", "muted"),
    ClusterState.STARTING: ("◐", "warn"),
    ClusterState.LOADING: ("◑", "warn"),
    ClusterState.READY: ("●", "ok"),
    ClusterState.STOPPING: ("◒", "warn"),
    ClusterState.FAILED: ("✗", "crit"),
}
_WORDS = {ClusterState.LOOKING: "connecting…"}


def header_row(view: HeaderView, width: int) -> Runs:
    """One line; what does not fit is shortened from the least important on."""
    sign, colour = _SIGNS[view.state]
    state = f"{sign} {_WORDS.get(view.state, view.state.value)}"
    line = fitted(view, width, cell_len(state))
    gap = max(1, width - line.cells - cell_len(state))
    tail: Runs = []
    for text, role in ((line.rate, ""), (line.address, "muted"), (line.differs, "warn strong")):
        tail += [(text, role), (" · ", "muted")] if text else []
    return [
        (line.name, "strong"), _mark(view.mark), ("  " if line.name or view.mark else "", ""), (line.model, ""),
        (" " * gap, ""), *tail, (state, f"{colour} strong"),
    ]  # fmt: skip


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
    mark = cell_len(_mark(view.mark)[0])
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


def _mark(mark: str) -> tuple[str, str]:
    """With the space before it."""
    if mark.startswith("REPLAY"):
        # Nobody may take it for a machine that runs now.
        return f" {mark} ", "warn strong turned"
    return f" {mark}" if mark else "", "warn strong"


# -- bars --------------------------------------------------------------------------------------------------------


def layer_parts(view: LayerBarView) -> list[BarPart]:
    """The host's first."""
    parts = [BarPart("", "CPU", view.host_layers, "host", view.selected == HOST)]
    for i, (name, layers) in enumerate(zip(view.names, view.layers, strict=True)):
        parts.append(BarPart(str(i + 1), name, layers, f"device-{view.colour(i)}", view.selected == i))
    return parts


def layer_rows(view: LayerBarView, width: int, rows: int, held: int | None = None) -> list[Runs]:
    """`held` is the place in `layer_parts` whose boundary at the left the mouse is on."""
    return gauges.layer_bar(width, layer_parts(view), rows, held)


_NOTHING = "time of a token: not known before the first answer"


def time_row(view: TimeBarView, width: int) -> Runs:
    if not view.shares:
        return [(gauges.fit(_NOTHING, width), "muted")]
    roles = [f"device-{view.colour(i)}" for i in range(len(view.shares))]
    parts = gauges.time_parts(view.shares, view.names, roles, view.selected)
    time = UNKNOWN if view.token_s is None else f"{figures(1e3 * view.token_s)} ms"
    token = f"{time} a token"
    return gauges.time_bar(width, parts, (f"{token}, {view.basis}", token, time))


# -- plan line ---------------------------------------------------------------------------------------------------

_TONES = {"muted": "muted", "ok": "ok", "warn": "warn", "crit": "crit strong", "entry": "strong turned"}


def plan_row(view: PlanLineView, width: int) -> Runs:
    """A load bar, where there is one, and as much of the text as there is room for."""
    bar = ""
    if view.fraction is not None:
        cells = min(30, max(10, width // 4))
        bar = gauges.progress_bar(round(view.fraction * cells), cells) + " "
    text = view.text
    room = max(1, width - cell_len(bar))
    if cell_len(text + view.extra) <= room:
        text += view.extra
    if cell_len(text) > room:
        cut = set_cell_size(text, room - 1)
        whole, _, _ = cut.rpartition(" ")
        # At a word's end, unless that is far back.
        text = (whole if 2 * cell_len(whole) > room else cut) + "…"
    role, faint = _TONES[view.tone], view.faint
    before, found, after = text.partition(faint) if faint else (text, "", "")
    return [(bar, "progress"), (before, role), (found, "muted"), (after, role)]
