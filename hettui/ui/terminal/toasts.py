"""Toasts: what passes by at the screen's edge and must not be missed, and remarks that do not stack."""

from __future__ import annotations

from textual.notifications import Notification, Notify
from textual.screen import Screen

from hettui.domain.text import clean

_SAID_S, _REMARK_S = 8.0, 4.0


class Toasts:
    """Of one screen. Texts are cleaned and never markup."""

    def __init__(self, screen: Screen[None]) -> None:
        self._screen = screen
        self._remark: Notification | None = None

    def say(self, text: str, severity: str = "information") -> None:
        """A toast of its own."""
        self._screen.notify(clean(text), severity=severity, markup=False, timeout=_SAID_S)  # type: ignore[arg-type]

    def remark(self, text: str, severity: str = "information") -> None:
        """A short toast that takes the place of the last remark: a key that is held down does not stack them."""
        app = self._screen.app
        if self._remark is not None:
            app._unnotify(self._remark, refresh=False)
        self._remark = Notification(clean(text), severity=severity, markup=False, timeout=_REMARK_S)  # type: ignore[arg-type]
        app.post_message(Notify(self._remark))
