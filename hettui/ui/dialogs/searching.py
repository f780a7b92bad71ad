"""What the model picker and the welcome share: a search for models that goes on while one looks."""

from __future__ import annotations

from textual import on
from textual.message import Message
from textual.screen import ModalScreen, ScreenResultType
from textual.timer import Timer

from hettui.domain.library.found import ModelEntry
from hettui.domain.session.session import Session
from hettui.services.backend import Backend
from hettui.services.library.search import ModelSearch, Searched

_PACE_S = 0.1
"""Between two drawings while models are found."""


class ModelsChanged(Message):
    """More was found, or is known of it."""


class SearchingScreen(ModalScreen[ScreenResultType]):
    """Searches from its mounting to its end, and gathers what is found by path."""

    def __init__(self, backend: Backend, session: Session) -> None:
        super().__init__()
        self._backend = backend
        self._session = session
        self._entries: dict[str, ModelEntry] = {}
        self._searched = Searched()
        self._search: ModelSearch | None = None
        self._pause: Timer | None = None

    def on_mount(self) -> None:
        self._search = self._backend.find_models(self._session, self._tell_changed)
        self._take()

    def search_again(self) -> None:
        """What is found from now on; what was found before is forgotten."""
        if self._search is not None:
            self._search.cancel()
        self._entries, self._searched = {}, Searched()
        self._search = self._backend.find_models(self._session, self._tell_changed)
        self._take()

    def _tell_changed(self) -> None:
        """Called on other threads."""
        self.post_message(ModelsChanged())

    def on_unmount(self) -> None:
        if self._search is not None:
            self._search.cancel()

    @on(ModelsChanged)
    def _changed(self) -> None:
        if self._pause is None:
            self._pause = self.set_timer(_PACE_S, self._take)

    def _take(self) -> None:
        self._pause = None
        if self._search is None:
            return
        new, self._searched = self._search.take()
        for path, entry in new.items():
            if entry is None:
                self._entries.pop(path, None)
            else:
                self._entries[path] = entry
        self._show_models()

    def _show_models(self) -> None:
        """Draws what has been found."""
        raise NotImplementedError
