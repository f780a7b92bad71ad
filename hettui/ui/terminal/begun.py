"""A terminal on which the early frame stands before Textual is there, and how Textual's driver takes it over."""

from __future__ import annotations

from typing import Any, Protocol

from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver

from hettui.ui.terminal.cells import Picture

_ALTERNATE_SCREEN = "\x1b[?1049h"


class Begun(Protocol):
    """The alternate screen is shown, without a cursor; keys are neither echoed nor lost."""

    @property
    def picture(self) -> Picture:
        """What stands there."""

    @property
    def attributes(self) -> list[Any]:
        """The terminal's own, as they were before."""

    def taken(self) -> None:
        """Somebody else gives the terminal back from now on."""


class SteadyDriver(LinuxDriver):
    """Begins again only where it was suspended."""

    def _sigcont_application(self, *_: object) -> None:
        # For a terminal that is gone the kernel sends SIGCONT behind SIGHUP. Textual 8.2.8 begins anew on it, with
        # threads that nobody ends: one of them reads what is not there any more for ever.
        if self._must_signal_resume:
            super()._sigcont_application()


def driver_for(begun: Begun) -> type[Driver]:
    """A driver that goes on where this terminal stands."""

    class TakingOver(SteadyDriver):
        """The first time it begins, it leaves what stands on the screen."""

        _begun: Begun | None = begun

        def start_application_mode(self) -> None:
            super().start_application_mode()  # type: ignore[no-untyped-call]
            if self._begun is not None:
                # Textual's has read those of the early frame.
                self.attrs_before = self._begun.attributes
                self._begun.taken()
                self._begun = None

        def write(self, data: str) -> None:
            # A second time it would be cleared.
            if self._begun is None or data != _ALTERNATE_SCREEN:
                super().write(data)

    return TakingOver
