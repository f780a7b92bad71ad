"""A text in the user's own editor: the screen steps aside for it, and comes back with what the text has become."""

from __future__ import annotations

from collections.abc import Callable

from textual.widget import Widget

from hettui.domain.errors import UsageError
from hettui.ui.messages import NoticeArrived
from hettui.ui.terminal.slow_line import SlowLineApp


def edit_aside(
    widget: Widget, editor: Callable[[], Callable[[str], str]], text: str, take: Callable[[str], None]
) -> None:
    """Returns before it is done. `editor` raises UsageError where there is none; what is wrong is said as a toast."""
    app, screen = widget.app, widget.screen

    def say(error: Exception) -> None:
        screen.post_message(NoticeArrived(str(error), "warning"))

    try:
        edit = editor()
    except UsageError as error:
        say(error)
        return

    def work() -> None:
        try:
            take(edit(text))
        except UsageError as error:
            say(error)

    if isinstance(app, SlowLineApp):
        app.step_aside(work)
