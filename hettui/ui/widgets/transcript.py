"""The questions and answers of one conversation, the newest at the end."""

from __future__ import annotations

from collections.abc import Sequence

from textual.await_complete import AwaitComplete
from textual.containers import VerticalScroll
from textual.widget import AwaitMount
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

    def release_anchor(self) -> None:
        super().release_anchor()
        # Textual looks only when the position changes: scrolling down at the very end would let go of it.
        self.call_after_refresh(self._check_anchor)

    @property
    def _turns(self) -> list[Question | Answer]:
        return [w for w in self.children if isinstance(w, Question | Answer)]

    def add(self, exchanges: Sequence[Exchange]) -> Answer:
        """Shows the last one, which has just been asked; the place for its answer."""
        last = exchanges[-1]
        answer = Answer(plain=last.raw)
        self.mount_all([_question(last), answer])
        self._prune(len(exchanges))
        return answer

    def continue_last(self, last: Exchange) -> Answer:
        """A place for the rest of the last answer, which it begins with."""
        answers = list(self.query(Answer))
        if answers:
            answers[-1].remove()
        answer = Answer(plain=last.raw, prefix=last.answer or "")
        self.mount(answer)
        return answer

    def drop_last(self) -> None:
        """The last question and its answer go."""
        for widget in self._turns[-2:]:
            widget.remove()

    def show(self, exchanges: Sequence[Exchange]) -> None:
        """Another conversation, at its end."""
        self.remove_children()
        shown = exchanges[-MOST_SHOWN:]
        widgets: list[Static | Answer] = []
        if len(exchanges) > len(shown):
            widgets.append(_earlier(len(exchanges) - len(shown)))
        answers: list[tuple[Answer, Exchange]] = []
        for exchange in shown:
            answer = Answer(plain=exchange.raw)
            answers.append((answer, exchange))
            widgets += [_question(exchange), answer]
        mounted = self.mount_all(widgets)
        for answer, exchange in answers:
            answer.grow(exchange.answer or "", exchange.reasoning)
        self.call_after_refresh(self._end_shown, mounted, answers)
        self.anchor()

    async def _end_shown(self, mounted: AwaitMount | AwaitComplete, answers: list[tuple[Answer, Exchange]]) -> None:
        await mounted
        for answer, exchange in answers:
            answer.end(exchange.note or ("no answer came" if exchange.answer is None else ""))

    def _prune(self, total: int) -> None:
        """Takes the oldest from the screen; they are in the file, and saving as Markdown takes them all."""
        turns = self._turns
        if len(turns) > 2 * MOST_SHOWN:
            for widget in [*self.query(".earlier"), *turns[: -2 * MOST_SHOWN]]:
                widget.remove()
            self.mount(_earlier(max(0, total - MOST_SHOWN)), before=0)


def _question(exchange: Exchange) -> Question:
    return Question(clean(exchange.question), "raw completion" if exchange.raw else "")


def _earlier(count: int) -> Static:
    return Static(
        f"… {count} earlier questions: saving the conversation keeps all of them", classes="earlier", markup=False
    )
