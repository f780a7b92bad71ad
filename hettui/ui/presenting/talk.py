"""The conversation under one's hands, the others with its model, and the keeping of them: the chat without its pane."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from hettui.domain.chat.conversation import ARTICLE_PROMPT, Conversation, End, Exchange, Sampling, to_markdown
from hettui.ports import KeptPrompts
from hettui.services.chat.keeper import ChatKeeper
from hettui.services.events import ChatEnded

WhenDone = Callable[[Future[Any], Callable[[Any], None]], None]
"""Calls back with a result as soon as it is there; of a failure it tells the user."""

_HINT = "⏎ sends · ctrl+j new line · {chat.test} test · Esc devices"
_CONTINUE_HINT = "⏎ goes on with the answer · {chat.retry} asks again"
_SAVE_EVERY_S = 3.0
_MOST_COPIED_BYTES = 74_000
"""What tmux and xterm still take in one OSC 52."""


class Talk:
    """Conversations are frozen; this holds the one that is shown. The keeper works on a thread of its own."""

    def __init__(self, chats: ChatKeeper, when_done: WhenDone) -> None:
        self._chats = chats
        self._when_done = when_done
        self._saved_s = 0.0
        self.model = ""
        self.now = new_conversation("")
        self.known: list[Conversation] = []
        """Earlier conversations with this model, the newest first."""

    @property
    def asked(self) -> bool:
        """There is a question in this conversation."""
        return bool(self.now.exchanges)

    @property
    def answered(self) -> bool:
        return any(exchange.answer for exchange in self.now.exchanges)

    @property
    def options(self) -> dict[str, object]:
        """How this conversation wants its answers sampled, for the engine."""
        return self.now.sampling.options()

    @property
    def settings_words(self) -> str:
        """What is not as usual in this conversation, and how long its answers may become."""
        said = [f"{name} {value}" for name, value in self.options.items() if name != "max_tokens"]
        words = (["raw"] if self.now.raw else []) + (["system prompt"] if self.now.system else [])
        return " · ".join([*words, *said, f"{self.now.sampling.limit_words} ({{chat.limit}})"])

    def hint(self, typed: str, *, sees: bool) -> str:
        """What can be done next, with the names of actions for their keys. `sees`: the model has a projector."""
        if self.now.can_continue and not typed.strip():
            return _CONTINUE_HINT
        if not sees:
            return _HINT
        # Few have a projector.
        from hettui.domain.chat.pictures import COMMAND

        # One row beside the devices at 120 columns, too.
        return f"⏎ sends · ctrl+j new line · {COMMAND} PATH for a picture"

    def step_limit(self) -> None:
        """Another limit of tokens, from the next answer on."""
        self.now = replace(self.now, sampling=self.now.sampling.with_next_limit())
        self.keep()

    def use_model(self, model: str, loaded: Callable[[KeptPrompts], None]) -> None:
        """Conversations with this model from now on; `loaded` is called when those of before have been read."""
        if model == self.model:
            return
        self.model, self.now, self.known = model, new_conversation(model), []

        def taken(found: tuple[list[Conversation], KeptPrompts]) -> None:
            if model == self.model:
                self.known, prompts = found
                loaded(prompts)

        self._when_done(self._chats.load(model), taken)

    # -- the conversation ----------------------------------------------------------------------------------

    def ask(self, question: str, *, raw: bool = False) -> None:
        self.now = self.now.asked(Exchange(question, raw=raw))

    def drop_last(self) -> Exchange:
        """Takes the last question and its answer away."""
        last = self.now.exchanges[-1]
        self.now = self.now.without_last()
        return last

    def note_answer(self, text: str, reasoning: str, **changes: Any) -> None:
        """What has been answered to the last question so far; `changes` are fields of its exchange."""
        self.now = self.now.with_last(answer=text or None, reasoning=reasoning, **changes)

    def fresh(self) -> Conversation:
        """A new conversation, set as this one is."""
        new, now = new_conversation(self.model), self.now
        return replace(new, raw=now.raw, system=now.system, sampling=now.sampling)

    def set(self, *, raw: bool, system: str, sampling: Sampling) -> None:
        self.now = replace(self.now, raw=raw, system=system, sampling=sampling)
        self.keep()

    def for_all_slots(self, typed: str) -> str:
        """The prompt of a parallel test: what is typed, else the last question, else the article's."""
        return typed.strip() or next((e.question for e in reversed(self.now.exchanges)), ARTICLE_PROMPT)

    # -- keeping it ----------------------------------------------------------------------------------------

    def rename(self, conversation: Conversation, name: str) -> Conversation:
        """The same by another name, kept; an empty one gives its first question back."""
        renamed = replace(conversation, name=name)
        self.known = [renamed if c.key == renamed.key else c for c in self.known]
        if self.now.key == renamed.key:
            self.now = replace(self.now, name=name)
        self._when_done(self._chats.save(renamed), _ignore)
        return renamed

    def remove(self, conversation: Conversation, if_shown: Callable[[], None]) -> None:
        """For good; `if_shown` puts another one in the place of the one that is shown."""
        self.known = [c for c in self.known if c.key != conversation.key]
        self._when_done(self._chats.remove(conversation), _ignore)
        if self.now.key == conversation.key:
            if_shown()

    def keep(self) -> None:
        """Saves the conversation, once there is something in it."""
        if not self.asked:
            return
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        self.now = replace(self.now, changed=now)
        self._saved_s = time.monotonic()
        self.known = [self.now, *(c for c in self.known if c.key != self.now.key)]
        self._when_done(self._chats.save(self.now), _ignore)

    @property
    def keeping_is_due(self) -> bool:
        """While an answer comes: what has come is saved from time to time."""
        return time.monotonic() - self._saved_s > _SAVE_EVERY_S

    def keep_prompts(self, draft: str, asked: tuple[str, ...]) -> None:
        """What is typed, and the questions so far."""
        self._when_done(self._chats.save_prompts(self.model, KeptPrompts(draft, asked)), _ignore)

    def export(self, then: Callable[[str], None]) -> None:
        """Writes it as Markdown; `then` gets the file's path."""
        name = f"hettui-{self.now.title}-{self.now.key}.md"
        self._when_done(self._chats.export(name, to_markdown(self.now)), then)

    @property
    def last_answer(self) -> str:
        """As it is copied: a raw completion with what it completes. Raises StopIteration when there is none."""
        last = next(e for e in reversed(self.now.exchanges) if e.answer)
        return (last.question if last.raw else "") + (last.answer or "")

    def copy(self, send: Callable[[str], None], say: Callable[[str], None]) -> None:
        """The last answer, to the terminal where it is short enough, and into the file for what was copied; then says
        where it is."""
        text = self.last_answer
        small = len(text.encode()) <= _MOST_COPIED_BYTES
        if small:
            send(text)
        sent = "sent to the terminal's clipboard, and " if small else "too long for the clipboard: "
        self._when_done(self._chats.copy(text), lambda path: say(f"{sent}written to {path}"))


def new_conversation(model: str) -> Conversation:
    """An empty one, under a key of its own."""
    now = datetime.now().astimezone()
    return Conversation(f"{now:%Y%m%d-%H%M%S}-{uuid4().hex[:6]}", model, now.isoformat(timespec="seconds"))


def how_it_ended(event: ChatEnded, *, begun: bool) -> tuple[End, str]:
    """The kind of end, and what stands under the answer: what happened, then the figures."""
    from hettui.domain.chat.figures import figure_lines

    notes = list(figure_lines(event.timings, event.clock, event.context_tokens))
    if event.problem:
        return "cut off", "\n".join([f"cut off: {event.problem}" if begun else event.problem, *notes])
    if event.cancelled:
        return "stopped", "\n".join(["stopped", *notes])
    if event.at_limit:
        return "length", "\n".join(["the limit of tokens was reached: ⏎ in the empty prompt goes on", *notes])
    return "complete", "\n".join(notes)


def _ignore(_: object) -> None:
    """The keeper's word that it is done."""
