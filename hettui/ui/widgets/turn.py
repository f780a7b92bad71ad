"""One question or one answer in the transcript."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from hettui.ui.keys import keymap_of
from hettui.ui.widgets.markdown_view import MarkdownView

_THINKING_TAIL_CHARS = 160


class Question(Static):
    """What was asked. The text is clean."""

    DEFAULT_CSS = """
    Question { height: auto; margin: 0 0 1 0; padding: 0 1; border-left: outer $primary; }
    """

    def __init__(self, text: str, label: str = "") -> None:
        parts: list[str | tuple[str, str]] = [(f"{label}\n", "$hettui-muted")] if label else []
        super().__init__(Content.assemble(*parts, text), markup=False)


class Reasoning(Static):
    """A model's thinking: one line while folded, all of it when opened by a click or the pane's key."""

    DEFAULT_CSS = """
    Reasoning { height: auto; display: none; color: $hettui-muted; }
    Reasoning.-some { display: block; }
    """

    def __init__(self) -> None:
        super().__init__(markup=False)
        self._pieces: list[str] = []
        self._tail = ""
        self._words = 0
        self.folded = True
        self.over = False

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def on_mount(self) -> None:
        # What was told before was said with the usual keys.
        self.redraw()

    def feed(self, text: str) -> None:
        if not text:
            return
        self._pieces.append(text)
        self._words += len(text.split())
        self._tail = (self._tail + text)[-_THINKING_TAIL_CHARS:]
        self.add_class("-some")
        self.redraw()

    def fold(self, folded: bool) -> None:
        self.folded = folded
        self.redraw()

    def redraw(self) -> None:
        if not self._pieces:
            return
        if not self.folded:
            self.update(Content.assemble((f"▾ thinking, {self._words} words\n", "italic"), self.text.strip()))
        elif self.over:
            opens = keymap_of(self).fill("{chat.thinking} opens")
            self.update(Content.assemble((f"▸ {self._words} words of thinking ({opens})", "italic")))
        else:
            line = " ".join(self._tail.split())
            width = max(20, (self.size.width or 60) - 14)
            self.update(Content.assemble(("▸ thinking … ", "italic"), line[-width:]))

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.fold(not self.folded)


class Answer(Vertical):
    """One answer. Its text only grows; what stands under it is set when it ends."""

    DEFAULT_CSS = """
    Answer { height: auto; margin: 0 0 1 0; padding: 0 1; border-left: outer $hettui-muted; }
    Answer.-failed { border-left: outer $hettui-crit; }
    Answer > #note { height: auto; color: $hettui-muted; display: none; }
    """

    def __init__(self, *, plain: bool = False, prefix: str = "") -> None:
        """`plain`: no Markdown. `prefix`: an answer that is being continued begins with it."""
        super().__init__()
        self._plain = plain
        self.text = ""
        self.view = MarkdownView(plain=plain)
        self.reasoning = Reasoning()
        self._note = Static(id="note", markup=False)
        # At once: the next token may come before the widget stands.
        self.grow(prefix, "")

    def compose(self) -> ComposeResult:
        yield self.reasoning
        yield self.view
        yield self._note

    def grow(self, text: str, reasoning: str) -> None:
        """More of it, clean."""
        self.reasoning.feed(reasoning)
        if not self.text and not self._plain:
            # A model's first token is often a lone blank or newline.
            text = text.lstrip()
        if text:
            if not self.text and self.reasoning.text:
                self.reasoning.over = True
                self.reasoning.redraw()
            self.text += text
            self.view.feed(text)

    def end(self, note: str, *, failed: bool = False) -> None:
        """Complete, stopped or cut off; `note` says which, with the figures."""
        self.view.finish()
        self.reasoning.over = True
        self.reasoning.redraw()
        self._note.update(Content(note))
        self._note.display = bool(note)
        self.set_class(failed, "-failed")
