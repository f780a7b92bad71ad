"""What the picker can do with models: asks the little that it has to, shows how far it is, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from hettui.domain.errors import HettuiError
from hettui.domain.records import dataclass
from hettui.domain.text import clean, clean_line
from hettui.domain.units import format_seconds
from hettui.services.model_desk import Done, Stopped, Tell, Told
from hettui.ui.drawing.gauges import progress_bar

Run = Callable[[str, Tell], Done]
_BAR_CELLS = 30
_PACE_S = 0.1


@dataclass(frozen=True, slots=True)
class Work:
    """One thing to do."""

    title: str
    says: str
    """What it does, and what can be typed."""
    run: Run
    asks: bool = True
    """Words are typed; else Enter alone begins."""
    typed: str = ""
    """What stands there at first."""
    again: str = ""
    """What Enter adds after a refusal: it is then done all the same."""


@dataclass(frozen=True, slots=True)
class Worked:
    """What came of it."""

    path: str
    """The model that is there now; empty: none is new, but others may be gone."""
    opens: bool
    """It shall be opened."""


class ModelWorkScreen(ModalScreen[Worked | None]):
    """Enter begins, and then opens what was made; Esc stops it, and leaves nothing half-made."""

    BINDINGS = [
        # Not before what was typed ahead of it: no priority, and from the field as its own message.
        Binding("enter", "go", "Go"),
        Binding("escape", "back", "Back", priority=True),
    ]
    DEFAULT_CSS = """
    ModelWorkScreen { align: center middle; }
    ModelWorkScreen > Vertical {
        width: 90%; max-width: 90; height: auto; padding: 1 2; background: $surface; border: round $primary;
        border-title-color: $foreground; border-subtitle-color: $hettui-muted;
    }
    ModelWorkScreen Static { height: auto; color: $hettui-muted; }
    ModelWorkScreen Input { background: $panel; margin: 1 0 0 0; }
    ModelWorkScreen #told { margin-top: 1; color: $foreground; max-height: 8; }
    ModelWorkScreen #told.-failed { color: $hettui-crit; }
    """

    def __init__(self, work: Work) -> None:
        super().__init__()
        self._work = work
        self._field = Input(work.typed, compact=True)
        self._told = Static(id="told", markup=False)
        self._box = Vertical()
        self._at_work = self._stopping = self._forced = False
        self._done: Done | None = None
        self._last_s = 0.0

    def compose(self) -> ComposeResult:
        with self._box:
            self._box.border_title = Content(self._work.title)
            yield Static(Content(self._work.says), markup=False)
            if self._work.asks:
                yield self._field
            yield self._told

    def on_mount(self) -> None:
        self._keys("⏎ begins · esc closes")

    def _keys(self, keys: str) -> None:
        self._box.border_subtitle = Content(keys)

    def _say(self, text: str, *, failed: bool = False) -> None:
        self._told.set_class(failed, "-failed")
        self._told.update(Content(clean(text)))

    # -- the work, on a thread -----------------------------------------------------------------------------

    @on(Input.Submitted)
    def action_go(self) -> None:
        if self._at_work:
            return
        if self._done is not None:
            self.dismiss(Worked(self._done.path, opens=bool(self._done.path)))
            return
        self._at_work, self._stopping = True, False
        self._field.disabled = True
        self._say("it begins …")
        self._keys("esc stops it")
        text = f"{self._field.value} {self._work.again}" if self._forced else self._field.value
        later = self.app.call_later
        self.run_worker(partial(self._work_off, text, later), thread=True, group="work", exit_on_error=False)

    def _work_off(self, text: str, later: Callable[..., object]) -> None:
        def tell(told: Told) -> None:
            if self._stopping:
                raise Stopped("it was stopped")
            now_s = time.monotonic()
            if told.what and now_s - self._last_s >= _PACE_S:
                self._last_s = now_s
                later(self._show, told)

        try:
            done = self._work.run(text, tell)
        except HettuiError as error:
            later(self._failed, str(error))
        else:
            later(self._ended, done)

    def _show(self, told: Told) -> None:
        if not self._at_work or self._stopping:
            return
        bar = ""
        if told.fraction is not None:
            full = round(min(1.0, max(0.0, told.fraction)) * _BAR_CELLS)
            bar = f"\n{progress_bar(full, _BAR_CELLS)} {told.fraction:4.0%}"
        left = "" if told.left_s is None else f" · {format_seconds(told.left_s)} left"
        self._say(f"{clean_line(told.what, 200)}{bar}{left}")

    def _failed(self, reason: str) -> None:
        was_stopped = self._stopping
        self._at_work = self._stopping = False
        self._field.disabled = False
        if was_stopped:
            self._say("stopped: nothing half-made keeps a model's name")
        else:
            self._say(reason, failed=True)
        if self._work.asks:
            self._field.focus()
            self._keys("⏎ tries again · esc closes")
        elif self._work.again and not self._forced and not was_stopped:
            self._forced = True
            self._keys("⏎ does it all the same · esc closes")
        else:
            self._keys("⏎ tries again · esc closes")

    def _ended(self, done: Done) -> None:
        self._at_work, self._done = False, done
        self._say(done.words)
        self._keys("⏎ opens it, and the plan follows · esc back to the list" if done.path else "⏎ back to the list")

    def action_back(self) -> None:
        if self._at_work:
            self._stopping = True
            self._say("it is being stopped …")
        elif self._done is not None:
            self.dismiss(Worked(self._done.path, opens=False))
        else:
            self.dismiss(None)
