"""The log pane: the lines of all processes in the order in which they came, each with its process's name."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from hettui.domain import matching
from hettui.domain.text import clean_line
from hettui.ui import typed
from hettui.ui.keys import keymap_of
from hettui.ui.widgets.log_lines import LogLines, Row
from hettui.ui.widgets.reading import Reading

MAX_LINES = 5000


class LogsPane(Vertical, Reading, can_focus=True):
    """Follows the end until one scrolls up. A filter, and the choice of one process, hold for new lines too."""

    DEFAULT_CSS = """
    LogsPane { height: 1fr; background: $background; }
    LogsPane > LogLines { height: 1fr; padding: 0 1; background: $background; scrollbar-size: 0 1; }
    LogsPane > #log-state { height: 1; padding: 0 1; color: $hettui-muted; }
    LogsPane > #log-state.-typing { color: $foreground; text-style: bold; }
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._lines = LogLines(MAX_LINES)
        self._state_line = Static(id="log-state", markup=False)
        self._all: deque[tuple[str, str]] = deque(maxlen=MAX_LINES)
        self.processes: list[str] = []
        """Those that have printed anything, in the order in which they began."""
        self._colours: Mapping[str, int] = {}
        self._only: str | None = None
        self.filter = ""
        self.typing = False
        """The filter is being typed: letters are no commands."""

    def compose(self) -> ComposeResult:
        yield self._lines
        yield self._state_line

    def on_mount(self) -> None:
        self._tell()

    @property
    def scrolled(self) -> Widget:
        return self._lines

    def add(self, process: str, lines: Sequence[str]) -> None:
        """New lines of one process."""
        process = clean_line(process)
        if process not in self.processes:
            self.processes.append(process)
        new = [(process, clean_line(line)) for line in lines]
        self._all.extend(new)
        self._lines.add([self._row(row) for row in new if self._wanted(row)])
        self._tell()

    def colour(self, colours: Mapping[str, int]) -> None:
        """By process, the number of its device's colour."""
        if colours != self._colours:
            self._colours = dict(colours)
            self._refill()

    def clear(self) -> None:
        """Forgets everything that was printed; the filter stays."""
        self._all.clear()
        self.processes.clear()
        self._only = None
        self._refill()

    # -- what is shown -------------------------------------------------------------------------------------

    def _wanted(self, row: tuple[str, str]) -> bool:
        return (self._only in (None, row[0])) and matching.matches(self.filter, *row)

    def _row(self, row: tuple[str, str]) -> Row:
        process, line = row
        return self._colours.get(process, 0), _short(process), line

    def _refill(self) -> None:
        self._lines.show([self._row(row) for row in self._all if self._wanted(row)])
        self._tell()

    def _tell(self) -> None:
        self._state_line.set_class(self.typing, "-typing")
        self._state_line.update(Content(self._state()), layout=False)

    def _state(self) -> str:
        total = len(self._all)
        which = f"{_short(self._only)} only" if self._only else f"all {len(self.processes)} processes"
        if self._only is None and len(self.processes) < 2:
            which = _short(self.processes[0]) if self.processes else ""
        if self.typing or self.filter:
            line = f"/{self.filter}{matching.CURSOR if self.typing else ''}  {len(self._lines)} of {total} lines"
            ends = "⏎ keeps it, esc drops it" if self.typing else "esc drops it"
            return " · ".join(part for part in (line, which, ends) if part)
        if not total:
            return "no process has printed anything yet"
        count = f"{len(self._lines)} of {total} lines" if self._only else f"{total} lines"
        one = "{logs.process} one process" if len(self.processes) > 1 else ""
        return keymap_of(self).fill(" · ".join(part for part in (which, count, "{filter} filters", one) if part))

    # -- keys ----------------------------------------------------------------------------------------------

    def check_consume_key(self, key: str, character: str | None = None) -> bool:
        return self.typing and character is not None and character.isprintable()

    def begin_filter(self) -> None:
        """What is typed from now on is the filter."""
        self.typing = True
        self._tell()

    def drop_filter(self) -> bool:
        """Whether there was one."""
        had = self.typing or bool(self.filter)
        self.typing, self.filter = False, ""
        if had:
            self._refill()
        return had

    def on_key(self, event: events.Key) -> None:
        if not self.typing:
            return
        if event.key == "enter":
            event.stop()
            self.typing = False
            self._tell()
        elif (text := typed.edited(self.filter, event)) is not None:
            event.stop()
            self._filter_by(text)

    def on_paste(self, event: events.Paste) -> None:
        if self.typing:
            event.stop()
            self._filter_by((self.filter + clean_line(event.text))[: typed.MOST_CHARS])

    def _filter_by(self, text: str) -> None:
        self.filter = text
        self._refill()

    def action_process(self) -> None:
        """Only the next process's lines; after the last one all again."""
        choices: list[str | None] = [None, *self.processes]
        self._only = choices[(choices.index(self._only) + 1) % len(choices)]
        self._refill()


def _short(process: str) -> str:
    return process.removeprefix("worker ")
