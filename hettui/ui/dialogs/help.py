"""`?`: every key that works here, what it does, why it does not now, and a few words about what one sees."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from hettui.domain import matching
from hettui.domain.screen.keymap import Keymap
from hettui.ui import keys, typed
from hettui.ui.drawing.help_text import HelpGroup, Line, help_lines
from hettui.ui.widgets.reading import Reading

LEGEND = (
    "Each card is a device; its slider holds its layers. What one device gives, the nearest unlocked one takes: the "
    "sum is always the model's blocks and the output layer ◆, which the last device carries. What no device takes "
    "stays with the CPU of this machine.",
    "The plan is what the sliders say. {cluster.start} starts it, {cluster.apply} applies a changed one: then only the "
    "master restarts.",
)


class HelpScreen(ModalScreen[None], Reading):
    """Scrolls by the keys of everything that is read, `/` filters, Esc drops the filter and closes then."""

    BINDINGS = [Binding("q,question_mark", "dismiss", "Close"), Binding("g", "move('first')", show=False)]
    DEFAULT_CSS = """
    HelpScreen { align: center middle; }
    HelpScreen > VerticalScroll {
        width: 94%; max-width: 132; height: auto; max-height: 94%; padding: 0 2;
        background: $surface; border: round $primary; border-title-color: $foreground;
        border-subtitle-color: $hettui-muted;
    }
    HelpScreen Static { height: auto; }
    """

    def __init__(self, groups: Sequence[HelpGroup], keymap: Keymap) -> None:
        super().__init__()
        self._box, self._text = VerticalScroll(can_focus=False), Static(markup=False)
        keys.bind(self, keys.bindings(keymap, "reading"))
        self._groups = groups
        self._legend = [keymap.fill(part) for part in LEGEND]
        self._filter = ""
        self._typing = False

    def compose(self) -> ComposeResult:
        with self._box as box:
            box.border_title = "Help"
            yield self._text

    def on_mount(self) -> None:
        self.call_after_refresh(self._draw)

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    @property
    def scrolled(self) -> Widget:
        return self._box

    def _draw(self) -> None:
        box = self._box
        groups = [group.having(self._filter) for group in self._groups]
        # The scroll bar comes with the text.
        width = max(30, box.scrollable_content_region.width - (not box.show_vertical_scrollbar))
        lines = help_lines(groups, width)
        if not lines:
            lines = [[(f"no key has “{self._filter}” in its words", "italic $hettui-muted")]]
        elif not self._filter:
            lines += _legend(self._legend, width)
        text = [piece for line in lines for piece in (*line, ("\n", ""))]
        self._text.update(Content.assemble(*text))
        box.border_title = (
            Content(f"Help  /{self._filter}{matching.CURSOR if self._typing else ''}")
            if (self._typing or self._filter)
            else "Help"
        )
        box.border_subtitle = "⏎ keeps the filter · esc drops it" if self._typing else "/ filters · esc closes"

    def on_key(self, event: events.Key) -> None:
        """Also what a binding would take: while a filter is typed letters are letters."""
        if event.key == "escape":
            event.stop()
            if self._typing or self._filter:
                self._typing, self._filter = False, ""
                self._draw()
            else:
                self.dismiss(None)
        elif self._typing and event.key == "enter":
            event.stop()
            self._typing = False
            self._draw()
        elif self._typing and (text := typed.edited(self._filter, event)) is not None:
            event.stop()
            self._filter = text
            self._draw()
            self.scrolled.scroll_home(animate=False)
        elif event.character == "/":
            event.stop()
            self._typing = True
            self._draw()


def _legend(parts: Sequence[str], width: int) -> list[Line]:
    lines: list[Line] = [[("What one sees", "bold $primary")]]
    for part in parts:
        lines += [[(text, "")] for text in textwrap.wrap(part, width)]
        lines.append([])
    return lines[:-1]
