"""From the registry of actions (`domain/screen/actions.py`) to Textual: bindings, and where they are put.

A new action is one entry there, and an `action_…` method of the widget of its place. Every key runs
`MainScreen.action_perform`, which does it or says why not.
"""

from __future__ import annotations

from dataclasses import replace

from textual.binding import Binding, BindingsMap
from textual.dom import DOMNode, NoScreen
from textual.widget import Widget

from hettui.domain.screen.actions import ACTIONS, Action, Place
from hettui.domain.screen.keymap import DEFAULT, Keymap

DIGITS = "0123456789"

_IN_REPLAY = ("help", "quit", "pane.chat", "pane.logs", "pane.commands", "pane.explain")
"""Actions of the main screen that the footer of a replay shows, behind those of time; what comes last goes first."""


def _binding(action: Action, key: str) -> Binding:
    """What is read is scrolled by its own widget; anything else goes through the screen."""
    return Binding(
        key,
        action.call if action.place == "reading" else f"screen.perform('{action.id}')",
        action.label,
        id=action.id,
        tooltip=action.sentence,
        show=action.shown,
        priority=action.moves_focus,
    )


def bindings(keymap: Keymap, *places: Place) -> list[Binding]:
    """Of the actions of these places that a keymap may change."""
    return [
        _binding(action, key)
        for action in ACTIONS
        if action.place in places and not action.fixed
        for key in keymap.keys(action.id)
    ]


def screen_bindings(keymap: Keymap) -> list[Binding]:
    """Of the main screen."""
    return [
        *bindings(keymap, "screen", "card"),
        *(_binding(a, key) for a in ACTIONS if a.place == "screen" and a.fixed for key in a.keys),
    ]


def replay_bindings(keymap: Keymap) -> list[Binding]:
    """Of a recording: the keys of time take the place of what the same keys do to a card."""
    time = bindings(keymap, "recording")
    taken = {binding.key for binding in time}
    rest = [b for b in screen_bindings(keymap) if b.key not in taken]
    order = {id: place for place, id in enumerate(_IN_REPLAY)}
    shown = sorted((b for b in rest if b.id in order), key=lambda b: order[b.id or ""])
    hidden = [b for b in rest if b.id not in order]
    return [*time, *(replace(b, show=True) for b in shown), *(replace(b, show=False) for b in hidden)]


def bind(node: DOMNode, added: list[Binding]) -> None:
    """Adds bindings to those of the widget's class. Textual's own way to remap, `App.set_keymap`, drops what stands on
    the same key without a word and cannot take a key away.
    """
    node._bindings = BindingsMap.merge([BindingsMap(added), node._bindings])


def keymap_of(widget: Widget) -> Keymap:
    """The keys of the screen on which a widget stands, for what it says; the usual ones where it stands on none yet."""
    try:
        keymap = getattr(widget.screen, "keymap", None)
    except NoScreen:
        return DEFAULT
    return keymap if isinstance(keymap, Keymap) else DEFAULT
