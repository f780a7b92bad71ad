"""`d`: what the doctor finds on this machine, the most urgent first. Looking takes a while: it is done on a thread."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from functools import partial

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from hettui.domain.doctor.finding import Finding, Severity, by_urgency
from hettui.domain.doctor.report import headline, parts
from hettui.domain.errors import HettuiError
from hettui.domain.screen.keymap import Keymap
from hettui.domain.text import clean_line
from hettui.ui import keys
from hettui.ui.widgets.reading import Reading

_STYLES: dict[Severity, str] = {
    "fault": "bold $hettui-crit", "warning": "$hettui-warn", "note": "", "good": "$hettui-ok",
    "unchecked": "$hettui-muted",
}  # fmt: skip
_LEAST_CELLS = 30


class DoctorScreen(ModalScreen[None], Reading):
    """Scrolls by the keys of everything that is read; Esc closes, `d` looks again, `y` copies the commands."""

    BINDINGS = [
        Binding("escape,q", "dismiss", "Close"),
        Binding("d", "look", "Look again"),
        Binding("y", "copy", "Copy"),
        Binding("g", "move('first')", show=False),
    ]
    DEFAULT_CSS = """
    DoctorScreen { align: center middle; }
    DoctorScreen > VerticalScroll {
        width: 94%; max-width: 132; height: auto; max-height: 94%; padding: 0 2;
        scrollbar-gutter: stable;
        background: $surface; border: round $primary; border-title-color: $foreground;
        border-subtitle-color: $hettui-muted;
    }
    DoctorScreen Static { height: auto; text-wrap: nowrap; }
    """

    def __init__(self, examine: Callable[[], Sequence[Finding]], keymap: Keymap) -> None:
        super().__init__()
        self._examine = examine
        self._findings: list[Finding] | None = None
        self._problem = ""
        self._box, self._text = VerticalScroll(can_focus=False), Static(markup=False)
        keys.bind(self, keys.bindings(keymap, "reading"))

    def compose(self) -> ComposeResult:
        with self._box as box:
            box.border_title = "Doctor"
            box.border_subtitle = "d looks again · y copies the commands · esc closes"
            yield self._text

    def on_mount(self) -> None:
        self.action_look()

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    @property
    def scrolled(self) -> Widget:
        return self._box

    def action_look(self) -> None:
        self._findings, self._problem = None, ""
        self._draw()
        self.run_worker(self._look, thread=True, exclusive=True, group="doctor", exit_on_error=False)

    def _look(self) -> None:
        try:
            found, problem = by_urgency(self._examine()), ""
        except HettuiError as error:
            found, problem = [], str(error)
        self.app.call_later(partial(self._take, found, problem))

    def _take(self, found: list[Finding], problem: str) -> None:
        if self.is_attached:
            self._findings, self._problem = found, problem
            self._draw()
            self._box.scroll_home(animate=False)

    def action_copy(self) -> None:
        """Every command that stands there, a line each."""
        lines = [one.command for one in self._findings or () if one.command and one.matters]
        if lines:
            self.app.copy_to_clipboard("\n".join(clean_line(line) for line in lines))
            self._box.border_subtitle = f"{len(lines)} command{'s' if len(lines) > 1 else ''} sent to the clipboard"
        else:
            self._box.border_subtitle = "there is no command to copy"

    def _draw(self) -> None:
        width = max(_LEAST_CELLS, self._box.scrollable_content_region.width)
        if self._problem:
            text = [(clean_line(self._problem, 400), "$hettui-crit")]
        elif self._findings is None:
            text = [("looking at cards, drivers, memory, hosts …", "$hettui-muted")]
        else:
            text = [(f"{headline(self._findings)}\n", "bold")]
            for one in self._findings:
                styles = {"words": _STYLES[one.severity], "more": "$hettui-muted", "command": ""}
                for line, part in parts(one, width):
                    # A command is cut into lines only here: it is copied whole.
                    cut = textwrap.wrap(line, width, subsequent_indent=" " * 7) if part == "command" else [line]
                    text += [(f"\n{piece}", styles[part]) for piece in cut]
        self._text.update(Content.assemble(*text))
