"""The parallel test in the transcript: one line a stream."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from hettui.services.events import ParallelChanged


class Streams(Static):
    """A table that grows."""

    DEFAULT_CSS = "Streams { height: auto; margin: 0 0 1 0; padding: 0 1; border-left: outer $accent; }"

    def show(self, event: ParallelChanged) -> None:
        """The streams as they are now, under what went wrong."""
        from hettui.domain.chat.parallel import parallel_lines

        lines = parallel_lines(event.rows) if event.rows else []
        self.update(Content("\n".join([*([event.problem] if event.problem else []), *lines])))
