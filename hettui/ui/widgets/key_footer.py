"""The keys that work now, in one row. Help and Quit are always there; of the others as many as there is room for."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.binding import ActiveBinding
from textual.screen import Screen

from hettui.ui.colours.roles import Look
from hettui.ui.drawing.gauges import Runs
from hettui.ui.drawing.key_row import GAP_CELLS, MORE, KeyEntry, KeyRow, fitting
from hettui.ui.terminal.slow_line import CalmScreen
from hettui.ui.widgets.painted import Painted

_PINNED = ("help", "quit")
_ALWAYS = {"quit": "app.quit"}
"""What stands in for a pinned action where its key is a letter that would be typed."""
_ALWAYS_THERE = {*_PINNED, *_ALWAYS.values()}


class KeyFooter(Painted):
    """Follows the active bindings of its screen; a click presses the key."""

    ALLOW_SELECT = False
    ROLES = {"key": Look("primary", text="bold"), "word": Look("foreground"), "off": Look("foreground", text="dim")}
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
            key = self.app.get_key_display(binding)
            entry = KeyEntry(key, binding.description, binding.key, active.enabled)
            if binding.show:
                shown.setdefault(name, entry)
            else:
                others[name] = entry
        pinned = []
        for action in _PINNED:
            stand_in = shown.pop(action, None) or others.get(action) or others.get(_ALWAYS.get(action, ""))
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
        width, row = self.content_size.width, self.row
        runs: Runs = []
        x = 0
        for start, entry in row.places(width):
            if row.more and row.left and entry is row.right[0]:
                runs.append((" " * GAP_CELLS + MORE, "off"))
                x += GAP_CELLS + len(MORE)
            runs.append((" " * (start - x), "word"))
            key, word = ("key", "word") if entry.enabled else ("off", "off")
            runs += [(entry.key, key), (f" {entry.word}", word)]
            x = start + entry.cells
        return [runs]

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
