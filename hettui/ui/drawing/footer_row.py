"""The keys of the main screen that the footer names while a device has the keyboard, before there are bindings."""

from __future__ import annotations

from hettui.domain.screen.actions import ACTIONS
from hettui.domain.screen.keymap import Keymap
from hettui.domain.screen.situation import Situation
from hettui.ui.drawing.key_row import ALWAYS, PINNED, KeyEntry, called


def footer(keymap: Keymap, situation: Situation) -> tuple[list[KeyEntry], list[KeyEntry]]:
    """With the most important first, and those that stay, as `hettui.ui.widgets.key_footer` finds them."""
    found: dict[str, KeyEntry] = {}
    for action in ACTIONS:
        keys = keymap.keys(action.id)
        stands_in = action.id in ALWAYS.values()
        if keys and (stands_in or (action.shown and action.place in ("screen", "card"))):
            found[action.id] = KeyEntry(called(keys[0]), action.label, keys[0], action.why_not(situation) is None)
    stays = [found.pop(name, None) or found.get(ALWAYS.get(name, "")) for name in PINNED]
    entries = [entry for name, entry in found.items() if name not in ALWAYS.values()]
    return entries, [entry for entry in stays if entry is not None]
