"""Looks for devices again: one that was missing comes back without opening hettui anew."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from hettui.domain.devices.device import Device
from hettui.domain.errors import HettuiError
from hettui.domain.session.looked import difference, looked_again, on_devices
from hettui.domain.session.session import Session
from hettui.domain.text import clean_line
from hettui.services.backend import Backend
from hettui.ui.messages import DevicesChanged, NoticeArrived
from hettui.ui.screens.hosting import Host


class Looked(Host, Protocol):
    """What it needs of the screen."""

    def use_devices(self, session: Session) -> None:
        """The same devices as before, some of which are there now, or not any more."""


class DeviceLook:
    """From the key to the cards."""

    def __init__(self, screen: Looked, backend: Backend) -> None:
        self._screen = screen
        self._backend = backend

    def begin(self) -> None:
        """Asking drivers and binaries takes a moment."""
        self._screen.remark("looking for devices again …")
        self._screen.in_thread(self._look, "devices", exclusive=True)

    def add(self) -> None:
        """A card that is not there is planned with, or no longer."""
        from hettui.ui.dialogs.add_card import AddCardScreen

        devices = self._screen.known.session.devices
        added = [d.name for d in devices if d.is_imagined]
        self._screen.app.push_screen(AddCardScreen(added, [d.name for d in devices]), self._added)

    def _added(self, answer: Device | str | None) -> None:
        from hettui.domain.session.imagined import with_devices

        known = self._screen.known
        session = known.session
        if answer is None:
            return
        if isinstance(answer, str):
            devices = tuple(d for d in session.devices if d.name != answer)
        else:
            devices = (*session.devices, answer)
        self._screen.post_message(DevicesChanged(with_devices(session, known.plan, devices)))

    def _look(self) -> None:
        try:
            found = self._backend.look(self._screen.known.session)
        except HettuiError as error:
            self._screen.post_message(NoticeArrived(str(error), "warning"))
        else:
            self._screen.app.call_later(self._use, found)

    def _use(self, found: Session) -> None:
        known = self._screen.known
        before, after = known.session, looked_again(known.session, found)
        self._screen.remark(clean_line(difference(before, after), 300))
        if len(after.devices) == len(before.devices):
            self._screen.use_devices(after)
        elif known.session.shape is not None:
            self._screen.post_message(DevicesChanged(replace(after, chosen=on_devices(known.plan, after.devices))))
        else:
            self._screen.post_message(DevicesChanged(after))
