"""The keys that work now, in one row. Help and Quit are always there; of the others as many as there is room for."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.binding import ActiveBinding
from textual.screen import Screen

from hettui.ui.drawing.gauges import Runs
from hettui.ui.drawing.key_row import ALWAYS, LOOKS, PINNED, KeyEntry, KeyRow, called, fitting
from hettui.ui.terminal.slow_line import CalmScreen
from hettui.ui.widgets.painted import Painted

_ALWAYS_THERE = {*PINNED, *ALWAYS.values()}


class KeyFooter(Painted):
    """Follows the active bindings of its screen; a click presses the key."""

    ALLOW_SELECT = False
    ROLES = LOOKS
    DEFAULT_CSS = "KeyFooter { dock: bottom; height: 1; padding: 0 1; background: $panel; }"

    def __init__(self) -> None:
        super().__init__()
        self._entries: tuple[KeyEntry, ...] = ()
        self._pinned: tuple[KeyEntry, ...] = ()

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_updated)

    def _bindings_updated(self, screen: Screen[object]) -> None:
        if self.is_attached and screen is self.screen and isinstance(screen, CalmScreen):
            self._read(list(screen.told_bindings.values()))
            self.repaint()

    def _read(self, bindings: Sequence[ActiveBinding]) -> None:
        """One entry for each action that can be pressed where the focus is."""
        shown: dict[str, KeyEntry] = {}
        others: dict[str, KeyEntry] = {}
        for active in bindings:
            binding = active.binding
            name = binding.id or binding.action
            if not (binding.show or name in _ALWAYS_THERE) or self._is_typed(active):
                continue
            entry = KeyEntry(called(binding.key), binding.description, binding.key, active.enabled)
            if binding.show:
                shown.setdefault(name, entry)
            else:
                others[name] = entry
        pinned = []
        for action in PINNED:
            stand_in = shown.pop(action, None) or others.get(action) or others.get(ALWAYS.get(action, ""))
            pinned += [stand_in] if stand_in else []
        self._entries, self._pinned = tuple(shown.values()), tuple(pinned)

    def _is_typed(self, active: ActiveBinding) -> bool:
        """The widget with the focus would take the key as text."""
        binding, focused = active.binding, self.screen.focused
        if focused is None or binding.priority:
            return False
        character = " " if binding.key == "space" else binding.key if len(binding.key) == 1 else None
        if character is None and binding.key.isidentifier() and "_" in binding.key:
            # `question_mark`, `full_stop`: names of characters.
            character = "?"
        return character is not None and focused.check_consume_key(binding.key, character)

    @property
    def row(self) -> KeyRow:
        """What there is room for."""
        return fitting(self.content_size.width, self._entries, self._pinned)

    def drawn_rows(self) -> Sequence[Runs]:
        return [self.row.runs(self.content_size.width)]

    def on_click(self, event: events.Click) -> None:
        x = event.screen_x - self.content_region.x
        for start, entry in self.row.places(self.content_size.width):
            if start <= x < start + entry.cells:
                event.stop()
                if entry.enabled:
                    self.app.simulate_key(entry.pressed)
                else:
                    self.app.bell()
                return
