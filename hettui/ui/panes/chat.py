"""The chat pane: a prompt, streamed answers, and how fast they were."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static, TextArea

from hettui.domain.chat.conversation import (
    ARTICLE_PROMPT,
    ARTICLE_TEMPERATURE,
    ARTICLE_TOKENS,
    Conversation,
    Exchange,
    remembered,
)
from hettui.domain.text import clean
from hettui.domain.units import format_rate
from hettui.ports import KeptPrompts
from hettui.services.backend import Backend
from hettui.services.events import ChatEnded, ChatProgressed, ChatWaiting, ParallelChanged
from hettui.ui.keys import keymap_of
from hettui.ui.messages import NoticeArrived
from hettui.ui.presenting.talk import Talk, how_it_ended, new_conversation
from hettui.ui.widgets.prompt import Prompt
from hettui.ui.widgets.transcript import Transcript
from hettui.ui.widgets.turn import Answer

if TYPE_CHECKING:
    from hettui.ui.dialogs.chat_settings import ChatSettings
    from hettui.ui.widgets.streams import Streams

_DRAFT_AFTER_S = 0.3


class ChatPane(Vertical):
    """Conversations with one model. The engine's events come back through `take`."""

    DEFAULT_CSS = """
    ChatPane { height: 1fr; }
    ChatPane > #transcript { height: 1fr; padding: 1 0 0 0; }
    ChatPane > #chat-status { height: auto; max-height: 3; padding: 0 1; color: $hettui-muted; }
    ChatPane > Prompt { height: auto; min-height: 3; max-height: 8; border: round $hettui-muted; padding: 0 1; }
    ChatPane > Prompt:focus { border: round $primary; }
    """

    def __init__(self, backend: Backend, *, id: str) -> None:
        super().__init__(id=id)
        self._transcript = Transcript(id="transcript")
        self.prompt = Prompt(id="prompt")
        self._status = Static(id="chat-status", markup=False)
        self._hints = True
        """The status says what can be done, not what is."""
        self._engine, self._editor = backend.engine, backend.editor
        self._talk = Talk(backend.chats, self._when_done)
        self.why_not: str | None = "the cluster is not running: Esc, then {cluster.start} starts it"
        """Why nothing can be sent now; None when the cluster is ready."""
        self._sees = False
        self._shut_for: str | None = None
        self._answer: Answer | None = None
        self._streams: Streams | None = None
        self._folded = True
        self._status_rows = 0

    def compose(self) -> ComposeResult:
        self.why_not = self._filled(self.why_not or "") or None
        yield from (self._transcript, self._status, self.prompt)

    def on_mount(self) -> None:
        self._transcript.anchor()
        if self._hints:
            self._hint()

    def _filled(self, text: str) -> str:
        return keymap_of(self).fill(text)

    @property
    def asked(self) -> bool:
        """There is a question in this conversation."""
        return self._talk.asked

    @property
    def answered(self) -> bool:
        return self._talk.answered

    @property
    def has_others(self) -> bool:
        """Conversations with this model were kept."""
        return bool(self._talk.known)

    @property
    def busy(self) -> bool:
        """An answer is being written, or the parallel test runs."""
        return self._answer is not None or self._streams is not None

    # -- the model and what is kept of it ------------------------------------------------------------------

    def use_model(self, model: str) -> None:
        """Conversations with this model from now on; the last one is opened when it has been read."""
        self._talk.use_model(model, self._loaded)

    def _loaded(self, prompts: KeptPrompts) -> None:
        self.prompt.asked = prompts.history
        if prompts.draft and not self.prompt.text:
            self.prompt.put(prompts.draft)
        if self.has_others and not self.asked and not self.busy:
            self._show(self._talk.known[0])

    def _looked_at(self, future: Future[Any]) -> bool:
        """Whether it went well; a failure becomes a notice."""
        error = None if future.cancelled() else future.exception()
        if error is not None and self.is_attached:
            self.screen.post_message(NoticeArrived(clean(str(error)), "warning"))
        return error is None and not future.cancelled()

    def _when_done(self, future: Future[Any], then: Callable[[Any], None]) -> None:
        def finish() -> None:
            if self._looked_at(future):
                then(future.result())

        # Taken here: on the keeper's thread, after the screen's end, there is no app to ask for.
        later = self.app.call_later
        future.add_done_callback(lambda _: later(finish))

    @on(TextArea.Changed)
    def _typed(self, event: TextArea.Changed) -> None:
        event.stop()
        if self._hints and self._talk.now.can_continue:
            # What Enter does depends on whether something is typed.
            self._hint()
        self.set_timer(_DRAFT_AFTER_S, self._keep_draft, name="draft")

    def _keep_draft(self) -> None:
        if self._talk.model and self.is_attached:
            self._keep_prompts()

    def _keep_prompts(self) -> None:
        self._talk.keep_prompts(self.prompt.text, self.prompt.asked)

    # -- state ---------------------------------------------------------------------------------------------

    def allow(self, why_not: str | None, *, sees: bool = False) -> None:
        """The cluster's state has changed: None when questions can be sent, else the reason why not. `sees`: pictures,
        too."""
        if self._shut_for is not None or (why_not, sees) == (self.why_not, self._sees):
            return
        self.why_not, self._sees = why_not, sees
        if not self.busy:
            self._hint()

    def close_for(self, why_not: str) -> None:
        """From now on nothing can be asked here: there is no prompt. What is shown comes by `begin` and events."""
        self._shut_for = self.why_not = why_not
        self.prompt.display = False
        self.status(why_not)

    def empty(self) -> None:
        """Forgets the conversation."""
        self._answer = None
        self._show(new_conversation(self._talk.model))

    def begin(self, text: str) -> None:
        """A question was asked elsewhere: its answer comes as events."""
        self._talk.ask(text)
        self._answer = self._transcript.add(self._talk.now.exchanges)

    def status(self, text: str) -> None:
        status, self._hints = self._status, False
        # Ten times a second while an answer comes: the screen is laid out anew only for more or fewer rows.
        room = max(1, status.size.width - 2)
        rows = -(-len(text) // room)
        status.update(Content(text), layout=rows != 1 or self._status_rows != 1)
        self._status_rows = rows

    def _hint(self) -> None:
        hint = self._talk.hint(self.prompt.text, sees=self._sees)
        self.status(self.why_not or self._filled(hint))
        self._hints = True
        self._say_settings()

    def _say_settings(self) -> None:
        self.prompt.border_subtitle = Content(self._filled(self._talk.settings_words))

    def _refused(self) -> bool:
        """Whether nothing can be sent now; then the status says why. What was typed stays where it is."""
        if self.busy:
            self.status("an answer is still being written: Esc stops it")
        elif self.why_not:
            self.status(self.why_not)
        return self.busy or self.why_not is not None

    # -- asking --------------------------------------------------------------------------------------------

    @on(Prompt.Sent)
    def _prompt_sent(self, message: Prompt.Sent) -> None:
        message.stop()
        if not message.text and self._talk.now.can_continue:
            self.action_continue()
        elif message.text and not self._refused():
            self.prompt.asked = remembered(self.prompt.asked, message.text)
            self.prompt.sent()
            self._ask(message.text, raw=self._talk.now.raw, options=self._talk.options)
            self._keep_prompts()

    def _ask(self, text: str, *, raw: bool, options: dict[str, object]) -> None:
        self._talk.ask(text, raw=raw)
        # On disk before it is sent: whatever happens, the question is not lost.
        self._talk.keep()
        self._answer = self._transcript.add(self._talk.now.exchanges)
        self._send(text if raw else None, options)

    def _send(self, prompt: str | None, options: dict[str, object]) -> None:
        self._transcript.anchor()
        self.status("waiting for the first token … Esc stops")
        if prompt is None:
            sent = self._engine.chat(self._talk.now.turns, options)
        else:
            limit = options.pop("max_tokens", None)
            sent = self._engine.complete(prompt, options if limit is None else {"n_predict": limit, **options})
        self._told_refusal(sent, lambda reason: self._show_end(ChatEnded(None, problem=reason)))

    def _told_refusal(self, sent: Future[None], refuse: Callable[[str], object]) -> None:
        """Calls `refuse` with the reason when the engine did not even take the order."""
        later = self.app.call_later

        def done(future: Future[None]) -> None:
            error = None if future.cancelled() else future.exception()
            if error is not None:
                later(refuse, clean(str(error)))

        sent.add_done_callback(done)

    def action_article(self) -> None:
        options: dict[str, object] = {"max_tokens": ARTICLE_TOKENS, "temperature": ARTICLE_TEMPERATURE}
        self._ask(ARTICLE_PROMPT, raw=True, options=options)

    def action_retry(self) -> None:
        """The last question again, in the same conversation; its answer gives way to the new one."""
        last = self._drop_last()
        self._ask(last.question, raw=last.raw, options=self._talk.options)

    def action_edit_last(self) -> None:
        prompt = self.prompt
        if prompt.text.strip():
            prompt.asked = remembered(prompt.asked, prompt.text)
        prompt.put(self._drop_last().question)
        self._talk.keep()
        self._hint()

    def action_continue(self) -> None:
        """Goes on with an answer that was stopped, cut off, or reached its limit."""
        if not self._talk.now.can_continue or self._refused():
            return
        last = self._talk.now.exchanges[-1]
        self._answer = self._transcript.continue_last(last)
        self._send(last.question + (last.answer or "") if last.raw else None, self._talk.options)

    def _drop_last(self) -> Exchange:
        self._transcript.drop_last()
        return self._talk.drop_last()

    def action_parallel(self) -> None:
        asked = self._talk.for_all_slots(self.prompt.text)
        options = {"n_predict": ARTICLE_TOKENS, **self._talk.options}
        options.pop("max_tokens", None)
        from hettui.ui.widgets.streams import Streams

        self._streams = Streams(markup=False)
        self._transcript.put(self._streams)
        self._transcript.anchor()
        self.status("the same prompt in all slots at once … Esc stops")
        started = self._engine.parallel(asked, None, options)
        self._told_refusal(started, lambda reason: self._show_parallel(ParallelChanged((), done=True, problem=reason)))

    # -- answers -------------------------------------------------------------------------------------------

    def take(self, event: ChatProgressed | ChatEnded | ChatWaiting | ParallelChanged) -> None:
        """More of an answer, why none comes, its end, or the parallel test."""
        match event:
            case ChatProgressed():
                self._show_progress(event)
            case ChatWaiting() if self._answer is not None:
                self.status(event.text)
            case ParallelChanged():
                self._show_parallel(event)
            case ChatEnded():
                self._show_end(event)

    def _show_progress(self, event: ChatProgressed) -> None:
        if self._answer is None:
            return
        self._answer.grow(event.text, event.reasoning)
        rate = (event.tokens - 1) / event.elapsed_s if event.tokens > 1 and event.elapsed_s > 0 else None
        said = (format_rate(rate), f"{event.tokens} tok", "" if self._shut_for else "Esc stops")
        self.status(" · ".join(part for part in said if part))
        if self._talk.keeping_is_due:
            self._note_answer(self._answer, end="cut off")
            self._talk.keep()

    def _note_answer(self, answer: Answer, **changes: Any) -> None:
        self._talk.note_answer(answer.text, answer.reasoning.text, **changes)

    def _show_end(self, event: ChatEnded) -> None:
        """The end. What was cut off is marked as such; a question without an answer goes back to the prompt."""
        if self._answer is None:
            return
        answer, self._answer = self._answer, None
        end, note = how_it_ended(event, begun=bool(answer.text))
        answer.end(note, failed=event.problem is not None)
        if answer.text or answer.reasoning.text:
            self._note_answer(answer, end=end, note=note)
        else:
            self._take_back()
        self._talk.keep()
        self._hint()

    def _take_back(self) -> None:
        question = self._talk.drop_last().question
        if not self.prompt.text:
            self.prompt.put(question)
        self._keep_prompts()

    def _show_parallel(self, event: ParallelChanged) -> None:
        if self._streams is None:
            return
        self._streams.show(event)
        if event.done:
            self._streams = None
            self._hint()

    # -- the conversation as a whole -----------------------------------------------------------------------

    def _show(self, conversation: Conversation) -> None:
        self._talk.now = conversation
        self._transcript.show(conversation.exchanges)
        self._hint()

    def action_new(self) -> None:
        self._show(self._talk.fresh())

    def action_open(self) -> None:
        from hettui.ui.dialogs.chat_list import ChatListScreen

        remove = partial(self._talk.remove, if_shown=self.action_new)
        self.app.push_screen(ChatListScreen(self._talk.known, self._talk.rename, remove), self._opened)

    def _opened(self, conversation: Conversation | None) -> None:
        if conversation is not None:
            self._show(conversation)

    def action_settings(self) -> None:
        now = self._talk.now
        from hettui.ui.dialogs.chat_settings import ChatSettings, ChatSettingsScreen

        self.app.push_screen(ChatSettingsScreen(ChatSettings(now.raw, now.system, now.sampling)), self._set)

    def _set(self, settings: ChatSettings | None) -> None:
        if settings is not None:
            self._talk.set(raw=settings.raw, system=settings.system, sampling=settings.sampling)
            self._hint()

    def action_save(self) -> None:
        self._talk.export(lambda path: self.status(f"saved as {path}"))

    def action_copy(self) -> None:
        """The last answer to the terminal's clipboard, and to a file: whether a terminal takes it cannot be known."""
        self._talk.copy(self.app.copy_to_clipboard, self.status)

    def action_reasoning(self) -> None:
        self._folded = not self._folded
        for answer in self._transcript.answers:
            answer.reasoning.fold(self._folded)

    def action_limit(self) -> None:
        self._talk.step_limit()
        self._say_settings()

    @on(Prompt.EditorWanted)
    def action_editor(self) -> None:
        from hettui.ui.panes.aside import edit_aside

        edit_aside(self, self._editor, self.prompt.text, self.prompt.put)

    @on(Prompt.Scrolled)
    def _scrolled(self, message: Prompt.Scrolled) -> None:
        message.stop()
        if message.pages < 0:
            self._transcript.scroll_page_up(animate=False)
        else:
            self._transcript.scroll_page_down(animate=False)
