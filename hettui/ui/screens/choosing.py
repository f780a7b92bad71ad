"""Another model: chosen in the picker, read on a thread, and then the screen's; other machines likewise."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from hettui.domain.errors import HettuiError
from hettui.domain.session.session import Session
from hettui.services.backend import Backend
from hettui.ui.messages import DevicesChanged, NoticeArrived
from hettui.ui.screens.hosting import Host


class Choosing(Host, Protocol):
    """What it needs of the screen."""

    def use(self, session: Session) -> None:
        """The session is another one from now on."""

    def offer_configuration(self, session: Session) -> None:
        """Asks whether what was found shall be kept."""


class ModelChoice:
    """Knows the way from the picker to a session."""

    def __init__(self, screen: Choosing, backend: Backend) -> None:
        self._screen = screen
        self._backend = backend

    def choose(self, preferred: str | None = None, *, best: bool = False, draft: bool = False) -> None:
        """Opens the picker, on the `preferred` model; `best`: it was called the best. `draft`: that of draft models."""
        if draft:
            from hettui.ui.dialogs.draft_picker import DraftPicker

            self._screen.app.push_screen(DraftPicker(self._backend, self._screen.known.session), self._draft_chosen)
            return
        from hettui.ui.dialogs.model_picker import ModelPicker

        picker = ModelPicker(self._backend, self._screen.known.session, preferred, best=best)
        self._screen.app.push_screen(picker, self._chosen)

    def _chosen(self, path: str | None) -> None:
        if path is not None:
            self._screen.in_thread(partial(self._open, path), "model", exclusive=True)

    def _draft_chosen(self, path: str | None) -> None:
        if path is not None:
            self._screen.in_thread(partial(self._draft, path or None), "model", exclusive=True)

    def _draft(self, path: str | None) -> None:
        known, app = self._screen.known, self._screen.app
        try:
            session = self._backend.with_draft(known.session, known.plan, path).planned()
        except HettuiError as error:
            self._screen.post_message(NoticeArrived(str(error), "error"))
        else:
            app.call_later(self._screen.use, session)

    def _open(self, path: str) -> None:
        before, app = self._screen.known.session, self._screen.app
        first = self._backend.first_run(before)
        try:
            session = self._backend.with_model(before, path).planned()
        except HettuiError as error:
            self._screen.post_message(NoticeArrived(str(error), "error"))
        else:
            app.call_later(self._screen.use, session)
            if first:
                app.call_later(self._screen.offer_configuration, session)

    def see_hosts(self) -> None:
        """Opens the dialog of other machines."""
        from hettui.ui.dialogs.hosts import HostsScreen

        self._screen.app.push_screen(HostsScreen(self._backend, self._screen.known.session), self._with_hosts)

    def _with_hosts(self, session: Session | None) -> None:
        if session is not None:
            self._screen.post_message(DevicesChanged(session))
