"""The names of the panes in one row, each with its key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hettui.domain.records import dataclass
from hettui.domain.screen.actions import BY_ID
from hettui.domain.screen.keymap import Keymap
from hettui.domain.screen.panes import ALL_PANES, CHAT, DEVICES, PANES, PanesState
from hettui.ui.colours.roles import Look
from hettui.ui.drawing.gauges import Runs

LOOKS: Mapping[str, Look] = {
    "bold": Look(text="bold"),
    "lit": Look(text="reverse"),
    "unlit": Look(text="underline"),
    "key": Look("hettui-muted"),
    "note": Look("hettui-warn"),
}


@dataclass(frozen=True, slots=True)
class Tab:
    """One pane: its widget's id, its name, and its key."""

    id: str
    title: str
    key: str


@dataclass(frozen=True, slots=True)
class TabsView:
    """One row of them."""

    tabs: tuple[Tab, ...] = ()
    active: str = ""
    lit: bool = True
    """The keyboard is in the active pane."""
    note: str = ""
    """At the right, where there is room."""


def tabs(keymap: Keymap, panes: Sequence[str]) -> tuple[Tab, ...]:
    """Names and keys of panes."""
    actions = [BY_ID["back" if pane == DEVICES else f"pane.{pane}"] for pane in panes]
    return tuple(Tab(pane, a.label, keymap.shown(a.id)) for pane, a in zip(panes, actions, strict=True))


def tabs_views(keymap: Keymap, panes: PanesState, *, both: bool) -> tuple[TabsView, TabsView, TabsView]:
    """The row below the plan line, and those above the chat and above the pane that stands in its place or, with
    `both`, beside it."""
    both = both and not panes.zoomed
    # In the prompt a letter is typed.
    key = keymap.shown("pane.zoom", typing=panes.front == CHAT)
    note = (f"zoomed: {key}" if key else "zoomed") if panes.zoomed else ""
    return (
        TabsView(tabs(keymap, ALL_PANES), panes.front, True, note),
        TabsView(tabs(keymap, PANES[: 1 if both else None]), CHAT, panes.front == CHAT, note),
        TabsView(tabs(keymap, PANES[both:]), panes.second, panes.front == panes.second, note),
    )


def labels(view: TabsView, width: int) -> list[tuple[Tab, str, str]]:
    """Title and key of each, both of which are shown and clicked; where it is narrow, first the air goes, then the
    keys, then the titles."""
    for titles, keys, air in ((True, True, " "), (True, True, ""), (True, False, " "), (False, True, " ")):
        found = []
        for tab in view.tabs:
            title = f"{air}{tab.title} " if titles or tab.id == view.active else " "
            found.append((tab, title, f"{tab.key}{air}" if keys else ""))
        if sum(len(title) + len(key) + 1 for _, title, key in found) <= width:
            break
    return found


def tabs_row(view: TabsView, width: int) -> Runs:
    """One line."""
    row: Runs = []
    used = 0
    for tab, title, key in labels(view, width):
        role = ("lit" if view.lit else "unlit") if tab.id == view.active else ""
        row += [(title, f"bold {role}" if role else ""), (key, role or "key"), (" ", "")]
        used += len(title) + len(key) + 1
    room = width - used - len(view.note)
    if view.note and room >= 0:
        row += [(" " * room, ""), (view.note, "note")]
    return row
