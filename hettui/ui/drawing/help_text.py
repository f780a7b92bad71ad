"""The help page as lines: groups of keys in one or two columns, what cannot be done now dimmed, with its reason."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from hettui.domain import matching
from hettui.domain.records import dataclass
from hettui.domain.screen.actions import ACTIONS, Action
from hettui.domain.screen.keymap import Keymap
from hettui.domain.screen.panes import ALL_PANES, COMMANDS, DEVICES, EXPLAIN

Line = list[tuple[str, str]]
"""Texts with their styles."""

KEY_CELLS = 13
_TWO_COLUMNS_FROM = 100
_GAP = 3
_DIM = "$hettui-muted"
_REASON = "italic $hettui-muted"


@dataclass(frozen=True, slots=True)
class HelpRow:
    """Keys as they are printed, what they do, and why they do not now."""

    keys: str
    sentence: str
    reason: str = ""


_SIGNS = (
    HelpRow("▶ ▷", "the selected device, with the keyboard and without it"),
    HelpRow("━━● ━━■", "its layers; the square is a locked device's"),
    HelpRow("◇", "where the planner would put it"),
    HelpRow("┆", "how many layers it has in what runs"),
    HelpRow("◆", "the device that also carries the output layer"),
    HelpRow("█ ▓ ▒ ░", "planned memory: weights, KV cache, compute buffers, what the backend takes beside them"),
    HelpRow("·", "free of the budget"),
    HelpRow("┃", "what this cluster's processes hold now; on the layer bar the boundary that the mouse holds"),
    HelpRow("╱", "what other programs hold of the card"),
    HelpRow("▚", "more than the budget"),
    HelpRow("! ~", "behind a number: off the plan; before one: by the devices' data, not measured"),
    HelpRow("● ◐ ◑ ◒ ◌ ○ ✗", "a process is up, starting, loading, stopping, silent or waiting, stopped, has ended"),
    HelpRow("▌", "a card's edge, and a log line's, has the device's colour in the bars"),
)
"""Every glyph that stands for something. Not only colours: each says the same without them."""


@dataclass(frozen=True, slots=True)
class HelpGroup:
    """Some rows under one heading."""

    title: str
    rows: tuple[HelpRow, ...]

    def having(self, text: str) -> HelpGroup:
        """Only the rows with every word of `text` somewhere."""
        kept = [r for r in self.rows if matching.matches(text, self.title, r.keys, r.sentence, r.reason)]
        return replace(self, rows=tuple(kept))


def help_groups(
    offered: Collection[str], front: str, keymap: Keymap, why_not: Callable[[Action], str | None]
) -> list[HelpGroup]:
    """All keys that work on a screen, those of the pane in front first.

    `offered` are the ids of the actions that the screen has beside those with fixed keys, `why_not` says in a sentence
    why one cannot be done now.
    """
    groups: dict[str, list[HelpRow]] = {}
    for action in ACTIONS:
        fixed = action.fixed or action.place == "reading"
        if action.id in offered or (fixed and (action.place != "chat" or "chat.new" in offered)):
            row = HelpRow(keymap.all_shown(action.id), action.sentence, why_not(action) or "")
            groups.setdefault(action.group, []).append(row)
    groups["Devices"].insert(2, HelpRow("a number, ⏎", "sets the layers; 0 alone empties the device"))
    groups["Panes"].append(HelpRow(f"1 … {len(ALL_PANES)}", "choose a pane, where no device is selected"))
    of_panes: dict[str, list[str]] = {DEVICES: [], COMMANDS: ["Reading"], EXPLAIN: ["Reading"]}
    first = of_panes.get(front, [front.capitalize(), "Reading"])
    if "Recording" in groups:
        first.insert(0, "Recording")
    groups["Signs"] = list(_SIGNS)
    order = [*first, *(name for name in groups if name not in first)]
    return [HelpGroup(name, tuple(groups[name])) for name in order if name in groups]


def help_lines(groups: Sequence[HelpGroup], width: int) -> list[Line]:
    """Lines of at most `width` cells."""
    if width < _TWO_COLUMNS_FROM:
        return _column(groups, width)
    column = (width - _GAP) // 2
    left, right = _halves([_column([group], column) for group in groups])
    lines = []
    for i in range(max(len(left), len(right))):
        line = left[i] if i < len(left) else []
        other = right[i] if i < len(right) else []
        room = column + _GAP - sum(len(text) for text, _ in line)
        lines.append([*line, (" " * room, ""), *other] if other else line)
    return lines


def _halves(parts: Sequence[list[Line]]) -> tuple[list[Line], list[Line]]:
    """In their order, cut where both columns come out most alike."""
    total = sum(map(len, parts))
    heights = [sum(map(len, parts[:cut])) for cut in range(len(parts) + 1)]
    cut = min(range(len(parts) + 1), key=lambda c: (max(heights[c], total - heights[c]), -c))
    left = [line for part in parts[:cut] for line in part]
    return left, [line for part in parts[cut:] for line in part]


def _column(groups: Sequence[HelpGroup], width: int) -> list[Line]:
    lines: list[Line] = []
    for group in groups:
        if group.rows:
            lines.append([(group.title, "bold $primary")])
            said = ""
            for row in group.rows:
                # One reason for many rows is said once.
                lines += _row(row if row.reason != said else replace(row, reason=""), width, dim=bool(row.reason))
                said = row.reason or said
            lines.append([])
    return lines


def _row(row: HelpRow, width: int, *, dim: bool) -> list[Line]:
    room = max(10, width - KEY_CELLS - 1)
    keys = textwrap.wrap(row.keys or "palette", KEY_CELLS, break_long_words=True)
    style = _DIM if dim else ""
    texts = [(text, style) for text in textwrap.wrap(row.sentence, room)]
    texts += [(text, _REASON) for text in textwrap.wrap(f"not now: {row.reason}", room) if row.reason]
    lines: list[Line] = []
    for i in range(max(len(keys), len(texts))):
        key = keys[i] if i < len(keys) else ""
        text, how = texts[i] if i < len(texts) else ("", "")
        lines.append([(f"{key:<{KEY_CELLS}} ", _DIM if dim or not row.keys else "bold"), (text, how)])
    return lines
