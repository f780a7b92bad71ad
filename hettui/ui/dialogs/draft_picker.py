"""`D`: chooses a draft model for the model in use, from those whose vocabulary is the same, or takes it away."""

from __future__ import annotations

from textual.binding import Binding

from hettui.domain.library.found import Kind, ModelEntry
from hettui.domain.model.vocabulary import Words, misfit
from hettui.domain.session.session import Session
from hettui.domain.text import clean_line
from hettui.services.backend import Backend
from hettui.ui.dialogs.model_picker import ModelPicker

WITHOUT = ""
"""The answer that takes the draft model away."""


class DraftPicker(ModelPicker):
    """Answers a path, `WITHOUT`, or None."""

    BINDINGS = [Binding("ctrl+x", "without", "Without", priority=True)]

    def __init__(self, backend: Backend, session: Session) -> None:
        super().__init__(backend, session)
        draft, shape = session.config.params.draft, session.shape
        self._current = self._preferred = draft.model if draft is not None and draft.has_model else None
        self._words = None if shape is None else Words.of(shape)

    @property
    def heading(self) -> str:
        return f"A draft model for {clean_line(self._session.title, 50)}"

    def matches(self, entry: ModelEntry, words: list[str]) -> bool:
        """Those whose vocabulary suits, as far as their headers are read."""
        facts, mine = entry.facts, self._words
        if facts is None or facts.kind is not Kind.MODEL or facts.words is None or mine is None:
            return False
        return entry.problem is None and entry.matches(words) and misfit(mine, facts.words) is None

    def why_nothing(self) -> str:
        if self._typed:
            return f"Nothing with the model's vocabulary matches {clean_line(self._typed, 60)}."
        return "No model with this model's vocabulary was found yet: type / or ~ for a path."

    def keys_of(self, keys: str) -> str:
        return f"{keys} · ctrl+x without a draft" if self._current is not None else keys

    def action_without(self) -> None:
        if self._current is not None:
            self.dismiss(WITHOUT)
