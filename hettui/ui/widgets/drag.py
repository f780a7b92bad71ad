"""Widgets that hold the mouse while something is dragged, and let go of it whatever happens."""

from __future__ import annotations

from textual import events
from textual.widget import Widget


class Draggable(Widget):
    """`capture_mouse()` begins a drag; a release, hiding and removal all end it."""

    @property
    def dragging(self) -> bool:
        return self.app.mouse_captured is self

    def drags(self, event: events.MouseMove) -> bool:
        """Whether this movement drags.

        A quick flick's release may have come before the capture and gone to whatever lies there: a movement without
        a button is none, and ends what is still held.
        """
        if self.dragging and not event.button:
            self.let_go()
        return self.dragging

    def let_go(self) -> None:
        """Ends the drag."""
        if self.dragging:
            self.release_mouse()

    def on_mouse_up(self, event: events.MouseUp) -> None:
        self.let_go()

    def on_hide(self) -> None:
        self.let_go()

    def on_unmount(self) -> None:
        self.let_go()
