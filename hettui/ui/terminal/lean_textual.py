"""Textual's app without the command palette, which it imports at its top: with the palette come eight widgets, their
validators, suggesters and types, a tenth of what it takes to import Textual 8.2.8, and no first frame shows any.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

_PALETTE = "textual.command"
_NAMES = ("CommandListItem", "CommandPalette", "DiscoveryHit", "Hit", "Hits", "Provider", "SimpleProvider")
"""What its app and its themes name of it. The themes' own provider, which the palette asks, is not used here."""


def import_without_palette() -> None:
    """Imports the app; nothing where somebody has imported one of the two already. Before any other import of Textual,
    and on no more than one thread."""
    if _PALETTE in sys.modules or "textual.app" in sys.modules:
        return
    stand_in = ModuleType(_PALETTE)
    vars(stand_in).update({name: type(name, (), {}) for name in _NAMES})
    sys.modules[_PALETTE] = stand_in
    try:
        import_module("textual.app")
    finally:
        del sys.modules[_PALETTE]


def import_palette() -> None:
    """The app has it from now on, as if it had been imported with it."""
    app, palette = import_module("textual.app"), import_module(_PALETTE)
    for name in _NAMES:
        if hasattr(app, name):
            setattr(app, name, getattr(palette, name))
