"""The questions and answers of one conversation, the newest at the end."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from hettui.domain.chat.conversation import Exchange
from hettui.domain.text import clean
from hettui.ui.widgets.turn import Answer, Question

MOST_SHOWN = 40
"""Exchanges on the screen; what is older is in the file."""


class Transcript(VerticalScroll):
    """Follows its end until one scrolls up, and again from where one scrolls back to the end."""

    DEFAULT_CSS = """
    Transcript > .earlier { height: auto; padding: 0 1; color: $hettui-muted; }
    """
    can_focus = False

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._shown: list[Widget] = []
        """What it holds, whether Textual has mounted it yet or not."""
        self._composed = False

    def compose(self) -> ComposeResult:
        self._composed = True
        yield from self._shown

    def release_anchor(self) -> None:
        super().release_anchor()
        # Textual looks only when the position changes: scrolling down at the very end would let go of it.
        self.call_after_refresh(self._check_anchor)

    @property
    def _turns(self) -> list[Question | Answer]:
        return [w for w in self._shown if isinstance(w, Question | Answer)]

    @property
    def answers(self) -> list[Answer]:
        return [w for w in self._shown if isinstance(w, Answer)]

    def put(self, *widgets: Widget) -> None:
        """More at the end."""
        self._shown += widgets
        if self._composed and self.is_attached:
            self.mount_all(widgets)

    def _drop(self, widgets: Sequence[Widget]) -> None:
        self._shown = [w for w in self._shown if w not in widgets]
        if self._composed and self.is_attached:
            self.remove_children(widgets)

    def add(self, exchanges: Sequence[Exchange]) -> Answer:
        """Shows the last one, which has just been asked; the place for its answer."""
        last = exchanges[-1]
        answer = Answer(plain=last.raw)
        self.put(_question(last), answer)
        self._prune(len(exchanges))
        return answer

    def continue_last(self, last: Exchange) -> Answer:
        """A place for the rest of the last answer, which it begins with."""
        self._drop(self.answers[-1:])
        answer = Answer(plain=last.raw, prefix=last.answer or "")
        self.put(answer)
        return answer

    def drop_last(self) -> None:
        """The last question and its answer go."""
        self._drop(self._turns[-2:])

    def show(self, exchanges: Sequence[Exchange]) -> None:
        """Another conversation, at its end."""
        self._drop(self._shown)
        shown = exchanges[-MOST_SHOWN:]
        widgets: list[Widget] = []
        if len(exchanges) > len(shown):
            widgets.append(_earlier(len(exchanges) - len(shown)))
        for exchange in shown:
            answer = Answer(plain=exchange.raw)
            answer.grow(exchange.answer or "", exchange.reasoning)
            answer.end(exchange.note or ("no answer came" if exchange.answer is None else ""))
            widgets += [_question(exchange), answer]
        self.put(*widgets)
        self.anchor()

    def _prune(self, total: int) -> None:
        """Takes the oldest from the screen; they are in the file, and saving as Markdown takes them all."""
        turns = self._turns
        if len(turns) > 2 * MOST_SHOWN:
            self._drop([*(w for w in self._shown if w.has_class("earlier")), *turns[: -2 * MOST_SHOWN]])
            earlier = _earlier(max(0, total - MOST_SHOWN))
            self._shown.insert(0, earlier)
            if self._composed and self.is_attached:
                self.mount(earlier, before=0)


def _question(exchange: Exchange) -> Question:
    return Question(clean(exchange.question), "raw completion" if exchange.raw else "")


def _earlier(count: int) -> Static:
    return Static(
        f"… {count} earlier questions: saving the conversation keeps all of them", classes="earlier", markup=False
    )
