"""What every part of the main screen needs of it. A part names what it needs beyond that in a protocol of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from textual.app import App
from textual.message import Message
from textual.timer import Timer

from hettui.domain.screen.keymap import Keymap
from hettui.ui.presenting.known import Known


class Host(Protocol):
    """Textual's own means, what is known, and a word to the user."""

    @property
    def app(self) -> App[object]: ...

    @property
    def keymap(self) -> Keymap: ...

    @property
    def known(self) -> Known: ...

    def say(self, text: str, severity: str = "information") -> None:
        """A toast."""

    def remark(self, text: str, severity: str = "information") -> None:
        """A short toast in the place of the last one."""

    def show_pane(self, pane: str) -> None:
        """Brings a pane to the front and the keyboard to it."""

    def refresh_bindings(self) -> None: ...

    def post_message(self, message: Message) -> bool: ...

    def set_timer(self, delay: float, callback: Callable[[], None] | None = None) -> Timer: ...

    def in_thread(self, work: Callable[[], None], group: str, *, exclusive: bool = False) -> None:
        """Runs on a thread what may block. With `exclusive` the result of what was begun before is not wanted."""
