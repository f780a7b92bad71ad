"""The search for the best split as it goes: every trial with what was expected, measured, and each device's part."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from hettui.domain.tables import table
from hettui.domain.text import clean
from hettui.domain.tuning.report import TuneOutcome, TuneProgress, rows, split_words, verdict
from hettui.domain.tuning.search import Tuning, launch_of

_HEAD = ("  split in device order", "expected", "tok/s", "part of a token")
_BEST = "◆"


class TuneScreen(ModalScreen[None]):
    """Esc stops the search; once it has ended Esc closes what it has said."""

    BINDINGS = [
        Binding("escape,q,t", "back", "Stop, or close"),
        Binding("enter", "close", show=False),
        Binding("up,k", "scroll(-1)", show=False),
        Binding("down,j", "scroll(1)", show=False),
    ]
    DEFAULT_CSS = """
    TuneScreen { align: center middle; }
    TuneScreen > Vertical {
        width: 96%; max-width: 110; height: auto; max-height: 94%; padding: 0 1;
        background: $surface; border: round $primary; border-title-color: $foreground;
    }
    TuneScreen VerticalScroll { height: auto; max-height: 16; }
    TuneScreen Static { height: auto; }
    TuneScreen #now { margin-top: 1; color: $hettui-warn; }
    TuneScreen #keys { color: $hettui-muted; }
    """

    def __init__(self, stop: Callable[[], object]) -> None:
        """`stop` ends the search, which tells so afterwards."""
        super().__init__()
        self._stop = stop
        self._ended = self._stopping = False
        self._trials = Static(markup=False)
        self._now = Static(Content("beginning …"), id="now", markup=False)
        self._keys = Static(Content("Esc stops: the best split so far runs then"), id="keys", markup=False)
        self._scroll = VerticalScroll(self._trials, can_focus=False)

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = " Tune "
            yield self._scroll
            yield self._now
            yield self._keys

    def take(self, progress: TuneProgress) -> None:
        """A step more."""
        self._show(progress.tuning)
        if not self._stopping:
            plan = "" if progress.plan is None else f": {split_words(progress.plan)}"
            self._now.update(Content(clean(f"{progress.now}{plan}")))

    def end(self, outcome: TuneOutcome) -> None:
        self._ended = True
        self._show(outcome.tuning)
        told = [verdict(outcome), f"Ended: {outcome.words}."]
        told += [outcome.problem] if outcome.problem else []
        self._now.update(Content(clean("\n".join(told))))
        self._keys.update(Content("Esc closes · the best split is the plan now, u goes back to the one before"))

    def _show(self, tuning: Tuning) -> None:
        best = launch_of(tuning.best.plan) if tuning.trials else ()
        marks = [_BEST if launch_of(trial.plan) == best else " " for trial in tuning.trials]
        found = [(f"{mark} {split}", *rest) for mark, (_, split, *rest) in zip(marks, rows(tuning), strict=True)]
        if found:
            self._trials.update(Content(clean("\n".join(table([_HEAD, *found])))))
            self._scroll.scroll_end(animate=False)

    def action_scroll(self, lines: int) -> None:
        self._scroll.scroll_relative(y=lines, animate=False)

    def action_back(self) -> None:
        if self._ended:
            self.dismiss(None)
        elif not self._stopping:
            self._stopping = True
            self._now.update(Content("stopping: going to the best split so far …"))
            self._stop()

    def action_close(self) -> None:
        if self._ended:
            self.dismiss(None)
