"""The prompt: several lines, a history, and nothing that is typed is lost."""

from __future__ import annotations

from textual import events
from textual.message import Message
from textual.widgets import TextArea

from hettui.domain.text import clean


class Prompt(TextArea):
    """Enter sends, ctrl+j makes a new line, ↑ in the first line goes back in the history and ↓ in the last forth.

    The keys are taken here and not by priority bindings: those run ahead of characters that are still queued, so
    that a fast typist's prompt would be sent without its end.
    """

    class Scrolled(Message):
        """A page up (-1) or down (1) in the transcript: the prompt itself has nothing to scroll."""

        def __init__(self, pages: int) -> None:
            super().__init__()
            self.pages = pages

    class EditorWanted(Message):
        """The text shall be edited elsewhere."""

    class Sent(Message):
        """The user wants this text to be answered; empty when Enter was pressed on nothing."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, *, id: str) -> None:
        super().__init__(
            id=id, soft_wrap=True, show_line_numbers=False, tab_behavior="focus", highlight_cursor_line=False
        )
        # A blinking one repaints for ever, over slow lines as well.
        self.cursor_blink = False
        self.asked: tuple[str, ...] = ()
        """The oldest first."""
        self._place: int | None = None
        self._draft = ""
        self._chord = False
        """The first key of the two for the editor was the last one."""

    def action_send(self) -> None:
        self.post_message(self.Sent(self.text.strip("\n") if self.text.strip() else ""))

    def put(self, text: str) -> None:
        """Replaces what stands there; the cursor is at its end."""
        self.text = text
        self.move_cursor(self.document.end)

    def sent(self) -> None:
        """The text is on its way: the prompt is empty again."""
        self._place = None
        self.clear()

    def _on_history(self, step: int) -> bool:
        """Whether the key was one of the history's."""
        row, _ = self.cursor_location
        if not self.asked or (row > 0 if step < 0 else row < self.document.line_count - 1):
            return False
        if self._place is None:
            if step > 0:
                return False
            self._draft, self._place = self.text, len(self.asked)
        place = self._place + step
        if place < 0:
            return True
        if place >= len(self.asked):
            self._place = None
            self.put(self._draft)
        else:
            self._place = place
            self.put(self.asked[place])
        return True

    def _on_chord(self, key: str) -> bool:
        """Whether the key was one of the two for the editor. With something selected the first one cuts, as ever."""
        was, self._chord = self._chord, key == "ctrl+x" and self.selection.is_empty
        if was and key == "ctrl+e":
            self.post_message(self.EditorWanted())
            return True
        return self._chord

    async def _on_key(self, event: events.Key) -> None:
        if self._on_chord(event.key):
            event.stop()
            event.prevent_default()
            return
        if event.key in ("enter", "ctrl+j"):
            event.stop()
            event.prevent_default()
            if event.key == "enter":
                self.action_send()
            else:
                self.insert("\n")
            return
        if event.key in ("pageup", "pagedown"):
            event.stop()
            event.prevent_default()
            self.post_message(self.Scrolled(-1 if event.key == "pageup" else 1))
            return
        if event.key in ("up", "down") and self._on_history(-1 if event.key == "up" else 1):
            event.stop()
            event.prevent_default()
            return
        await super()._on_key(event)

    async def _on_paste(self, event: events.Paste) -> None:
        # A paste may carry anything that was on some page.
        event.text = clean(event.text)
        await super()._on_paste(event)
