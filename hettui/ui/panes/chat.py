"""The chat pane: a prompt, the streamed answer, and how fast it was."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static, TextArea

from hettui.domain.chat import ChatTurn, Timings
from hettui.domain.text import clean
from hettui.domain.units import UNKNOWN, format_ms, format_rate
from hettui.services.events import ChatEnded, ChatProgressed

HINT = "Enter sends · ctrl+j new line · Esc devices"


def timings_line(timings: Timings) -> str:
    """`answer 23 tok, 141.3 tok/s · first token 164 ms`, and below it `prompt 32 tok, 200.7 tok/s`"""

    def tokens(count: int | None) -> str:
        return UNKNOWN if count is None else str(count)

    return (
        f"answer {tokens(timings.generated_tokens)} tok, {format_rate(timings.generated_per_second)}"
        f" · first token {format_ms(timings.first_token_s)}\n"
        f"prompt {tokens(timings.prompt_tokens)} tok, {format_rate(timings.prompt_per_second)}"
    )


class Prompt(TextArea):
    """Enter sends.

    The keys are taken here and not by priority bindings: those run ahead of characters that are still queued, so
    that a fast typist's prompt would be sent without its end.
    """

    BINDINGS = [Binding("enter", "send", "Send", id="chat.send")]

    class Sent(Message):
        """The user wants this text to be answered."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def action_send(self) -> None:
        text = self.text.strip()
        if text:
            self.post_message(self.Sent(text))

    async def _on_key(self, event: events.Key) -> None:
        if event.key in ("enter", "ctrl+j"):
            event.stop()
            event.prevent_default()
            if event.key == "enter":
                self.action_send()
            else:
                self.insert("\n")
            return
        await super()._on_key(event)

    async def _on_paste(self, event: events.Paste) -> None:
        # A paste may carry anything that was on some page.
        event.text = clean(event.text)
        await super()._on_paste(event)


class Turn(Static):
    """One message. The text only grows; what stands under it is set when it ends."""

    DEFAULT_CSS = """
    Turn { height: auto; margin: 0 0 1 0; padding: 0 1; }
    Turn.-user { border-left: outer $primary; }
    Turn.-assistant { border-left: outer $hettui-muted; }
    Turn.-failed { border-left: outer $hettui-crit; }
    """

    def __init__(self, role: str, text: str = "") -> None:
        super().__init__(markup=False)
        self.role = role
        self.text = text
        self.reasoning = ""
        self.note = ""
        self.add_class(f"-{role}")

    def on_mount(self) -> None:
        self.redraw()

    def grow(self, text: str, reasoning: str) -> None:
        self.text += text
        self.reasoning += reasoning
        self.redraw()

    def end(self, note: str, *, failed: bool) -> None:
        self.note = note
        self.set_class(failed, "-failed")
        self.redraw()

    def redraw(self) -> None:
        parts: list[str | tuple[str, str]] = []
        if self.reasoning and not self.text:
            parts.append((f"thinking: {self.reasoning[-400:]}", "$hettui-muted italic"))
        elif self.reasoning:
            parts.append((f"({len(self.reasoning.split())} words of thinking)\n", "$hettui-muted italic"))
        # A model's first token is often a lone blank or newline.
        parts.append(self.text.lstrip() if self.role == "assistant" else self.text)
        if self.note:
            parts.append(("\n" + self.note, "$hettui-muted"))
        self.update(Content.assemble(*parts))


class ChatPane(Vertical):
    """One conversation. The screen sends what `Asked` carries and hands back the engine's events."""

    DEFAULT_CSS = """
    ChatPane { height: 1fr; }
    ChatPane > #transcript { height: 1fr; padding: 1 0 0 0; }
    ChatPane > #chat-status { height: 1; padding: 0 1; color: $hettui-muted; }
    ChatPane > Prompt { height: auto; min-height: 3; max-height: 8; border: round $hettui-muted; padding: 0 1; }
    ChatPane > Prompt:focus { border: round $primary; }
    """

    class Asked(Message):
        """The conversation so far, ending with the user's new message."""

        def __init__(self, turns: tuple[ChatTurn, ...]) -> None:
            super().__init__()
            self.turns = turns

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.turns: list[ChatTurn] = []
        self._why_not: str | None = "the cluster is not running: Esc, then s starts it"
        """Why nothing can be sent now; None when the cluster is ready."""
        self._shut_for: str | None = None
        self._answer: Turn | None = None

    def compose(self) -> ComposeResult:
        yield VerticalScroll(id="transcript")
        yield Static(self._why_not or HINT, id="chat-status", markup=False)
        yield Prompt(id="prompt", soft_wrap=True, show_line_numbers=False, tab_behavior="focus")

    def on_mount(self) -> None:
        transcript = self.query_one("#transcript", VerticalScroll)
        transcript.anchor()
        transcript.can_focus = False

    @property
    def busy(self) -> bool:
        """An answer is being written."""
        return self._answer is not None

    def allow(self, why_not: str | None) -> None:
        """The cluster's state has changed: None when questions can be sent, else the reason why not."""
        self._why_not = self._shut_for or why_not
        if not self.busy:
            self.status(self._why_not or HINT)

    @property
    def _stops(self) -> str:
        return "" if self._shut_for else "Esc stops"

    def close_for(self, why_not: str) -> None:
        """From now on nothing can be asked here: there is no prompt."""
        self._shut_for = why_not
        self.query_one(Prompt).display = False
        self.allow(None)

    def empty(self) -> None:
        """Forgets the conversation."""
        self.turns.clear()
        self._answer = None
        self.query_one("#transcript", VerticalScroll).remove_children()
        self.status(self._why_not or HINT)

    def status(self, text: str) -> None:
        self.query_one("#chat-status", Static).update(Content(text), layout=False)

    def on_prompt_sent(self, message: Prompt.Sent) -> None:
        message.stop()
        if self.busy:
            self.status("an answer is still being written: Esc stops it")
        elif self._why_not:
            # The typed prompt stays where it is.
            self.status(self._why_not)
        else:
            self._ask(message.text)

    def _ask(self, text: str) -> None:
        self.query_one(Prompt).clear()
        self.begin(text)
        self.post_message(self.Asked(tuple(self.turns)))

    def begin(self, text: str) -> None:
        """A question was asked: its answer comes as events."""
        self.turns.append(ChatTurn("user", text))
        self._answer = Turn("assistant")
        transcript = self.query_one("#transcript", VerticalScroll)
        transcript.mount_all([Turn("user", clean(text)), self._answer])
        self.status(f"waiting for the first token … {self._stops}")

    def show_progress(self, event: ChatProgressed) -> None:
        if self._answer is None:
            return
        self._answer.grow(event.text, event.reasoning)
        rate = (event.tokens - 1) / event.elapsed_s if event.tokens > 1 and event.elapsed_s > 0 else None
        said = (format_rate(rate), f"{event.tokens} tok", self._stops)
        self.status(" · ".join(part for part in said if part))

    def show_end(self, event: ChatEnded) -> None:
        """The answer's end. What was cut off is marked as such; a failed question goes back into the prompt."""
        if self._answer is None:
            return
        answer, self._answer = self._answer, None
        notes = [timings_line(event.timings)] if event.timings else []
        if event.cancelled:
            notes.insert(0, "stopped")
        if event.problem:
            notes.insert(0, f"cut off: {event.problem}" if answer.text else event.problem)
        answer.end("\n".join(notes), failed=event.problem is not None)
        if answer.text:
            self.turns.append(ChatTurn("assistant", answer.text))
        else:
            self._take_back()
        self.status(self._why_not or HINT)

    def _take_back(self) -> None:
        question = self.turns.pop()
        prompt = self.query_one(Prompt)
        if not prompt.text:
            prompt.text = question.content
