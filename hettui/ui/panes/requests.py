"""The requests pane: what every client's requests did, and why a prompt was read again. No word of what was asked."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from hettui.ui.presenting.contexts import RequestsView
from hettui.ui.widgets.reading import Reading

_STYLES = {"row": "", "live": "bold", "why": "$hettui-warn", "remedy": "$hettui-muted"}


class RequestsPane(Vertical, Reading, can_focus=True):
    """Follows the newest until one scrolls up."""

    DEFAULT_CSS = """
    RequestsPane { height: 1fr; background: $background; }
    RequestsPane > #requests-heading { height: 1; padding: 0 1; color: $hettui-muted; }
    RequestsPane > VerticalScroll { height: 1fr; padding: 0 1; scrollbar-size: 0 1; }
    RequestsPane > VerticalScroll > Static { height: auto; }
    RequestsPane > #requests-state { height: 1; padding: 0 1; color: $hettui-muted; }
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._heading = Static(id="requests-heading", markup=False)
        self._text = Static(markup=False)
        self._scroll = VerticalScroll(self._text, can_focus=False)
        self._state = Static(id="requests-state", markup=False)
        self._shown: RequestsView | None = None

    def compose(self) -> ComposeResult:
        yield self._heading
        yield self._scroll
        yield self._state

    @property
    def scrolled(self) -> Widget:
        return self._scroll

    def show(self, view: RequestsView) -> None:
        """Replaces everything; where the reader has scrolled to stays."""
        if view == self._shown:
            return
        self._shown = view
        follows = self._scroll.is_vertical_scroll_end or not self._scroll.max_scroll_y
        self._heading.update(Content(view.heading), layout=False)
        self._text.update(Content.assemble(*((f"{text}\n", _STYLES[kind]) for text, kind in view.lines)))
        self._state.update(Content(view.state), layout=False)
        if follows:
            self._scroll.scroll_end(animate=False)
