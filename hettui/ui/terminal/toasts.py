"""Toasts: what passes by at the screen's edge and must not be missed, and remarks that do not stack."""

from __future__ import annotations

from contextlib import suppress

from textual.css.query import NoMatches
from textual.notifications import Notification, Notify
from textual.screen import Screen
from textual.widgets import _toast
from textual.widgets._toast import Toast, ToastRack

from hettui.domain.text import clean

_HEAD_ROWS, _HIGH = 5, 20
"""Header, bars, plan line and tabs stay to be seen, where there are so many rows."""
_FOOT_ROWS, _LEAST = 9, 4
"""The footer and the highest prompt; a toast of two lines."""
_SAID_S, _REMARK_S = 8.0, 4.0


_SHORTEST_S = 0.01


class EndingToast(Toast):
    """Whose time may be over by the time it is made, as when a dialog closes in its last milliseconds: Textual 8.2.8
    gives what is left to a timer, which with less than nothing never lets go of the event loop again, nor of a core."""

    def __init__(self, notification: Notification) -> None:
        super().__init__(notification)
        self._timeout = max(self._timeout, _SHORTEST_S)


# Textual's rack makes them, by this name.
_toast.Toast = EndingToast  # type: ignore[misc]


class Toasts:
    """Of one screen. Texts are cleaned and never markup."""

    def __init__(self, screen: Screen[None]) -> None:
        self._screen = screen
        self._remark: Notification | None = None
        self._place = 0, 0
        """Rows that toasts at the top leave free, none for the bottom, and those of the screen."""

    def keep_off(self, *, bottom: bool) -> None:
        """`bottom`: there one types. Toasts then stand at the top, over what was said long ago."""
        height = self._screen.app.size.height
        above = (_HEAD_ROWS if height >= _HIGH else 1) if bottom else 0
        if (above, height) == self._place:
            return
        self._place = above, height
        # No query finds it: it is Textual's own.
        with suppress(NoMatches):
            rack = self._screen.get_child_by_type(ToastRack)
            rack.styles.dock = "top" if bottom else "bottom"
            rack.styles.margin = (above, 0, 0, 0) if bottom else (0, 0, 1, 0)
            rack.styles.max_height = max(_LEAST, height - above - _FOOT_ROWS) if bottom else None

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
