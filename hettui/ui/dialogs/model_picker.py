"""`m`: chooses a model file from those that lie about, or by its path. Rows come as they are found."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Input, Static

from hettui.domain.library.found import ModelEntry, best_of
from hettui.domain.library.places import Completion
from hettui.domain.session.session import Session
from hettui.domain.text import clean_line
from hettui.services.backend import Backend
from hettui.services.library.search import PathCompleter
from hettui.ui.dialogs.searching import SearchingScreen
from hettui.ui.drawing import model_rows
from hettui.ui.drawing.gauges import Runs, fit
from hettui.ui.widgets.pick_list import NOWHERE, PickList

if TYPE_CHECKING:
    from hettui.ui.dialogs.model_work import Worked

_MOST_CELLS, _FRAME_CELLS = 150, 4
"""Of the whole box, and of its border and padding."""
_DWELL_S = 0.25
"""A row that is only passed is not asked for its largest context."""
_PLACEHOLDER = "type to filter · / or ~ or tab: a path"
_KEYS_LIST = "⏎ opens · ↑↓ choose · tab a path · esc closes"
_WORKS = "f2 fetch · f3 convert · f4 quantise · f6 verify · f8 remove"
_KEYS_PATH = "⏎ opens · ↑↓ choose · tab completes · esc the list"


class PathCompleted(Message):
    """What a typed path can become."""

    def __init__(self, typed: str, completion: Completion) -> None:
        super().__init__()
        self.typed = typed
        self.completion = completion


class ModelPicker(SearchingScreen[str | None]):
    """Answers a path, or None. What is typed filters; what begins like a path is one."""

    BINDINGS = [
        Binding("escape", "back", "Close", priority=True),
        # Not before what was typed ahead of it: no priority, and from the field as its own message.
        Binding("enter", "open", "Open"),
        Binding("tab", "path", "Path"),
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        *(
            Binding(key, f"work('{kind}')", show=False)
            for key, kind in (
                ("f2", "fetch"),
                ("f3", "convert"),
                ("f4", "quantize"),
                ("f6", "verify"),
                ("f8", "remove"),
            )
        ),
        Binding("ctrl+home", "end(False)", show=False, priority=True),
        Binding("ctrl+end", "end(True)", show=False, priority=True),
    ]
    DEFAULT_CSS = """
    ModelPicker { align: center middle; }
    ModelPicker > Vertical {
        width: 100%; max-width: 150; height: 100%; max-height: 46; padding: 0 1;
        background: $surface; border: round $primary; border-title-color: $foreground;
    }
    ModelPicker Static { height: 1; }
    ModelPicker #columns { margin-top: 1; color: $hettui-muted; }
    ModelPicker #nothing { height: 1fr; display: none; }
    ModelPicker #detail { height: 4; padding: 1 0 0 0; }
    ModelPicker #state { height: auto; max-height: 2; color: $hettui-muted; }
    ModelPicker #keys, ModelPicker #works { color: $hettui-muted; }
    ModelPicker Input { background: $panel; }
    """

    def __init__(self, backend: Backend, session: Session, preferred: str | None = None, *, best: bool = False) -> None:
        """The cursor stands on `preferred` first, else with `best` on the best that fits, else on the model in use."""
        super().__init__(backend, session)
        self._field = Input(placeholder=_PLACEHOLDER, compact=True)
        self._pick = PickList()
        self._lines = {
            name: Static({"keys": _KEYS_LIST, "works": _WORKS}.get(name, ""), id=name, markup=False)
            for name in ("columns", "nothing", "detail", "state", "keys", "works")
        }
        self._current = session.config.model_path
        self._preferred = preferred or (None if best else self._current)
        self._best = best
        self._shown: list[ModelEntry] = []
        self._selected: str | None = None
        """The path under the cursor."""
        self._touched = False
        """Whether the user moved the cursor: before that it goes to what is preferred."""
        self._completer: PathCompleter | None = None
        self._completion = Completion("")
        self._asked = False
        """What is typed now has no answer yet: what stands there is left as it is."""
        self._dwell: Timer | None = None

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = Content(self.heading)
            columns, *below = self._lines.values()
            yield from (self._field, columns, self._pick, *below)

    def on_mount(self) -> None:
        self._completer = self._backend.path_completer(self._tell_completed)

    def _tell_completed(self, typed: str, completion: Completion) -> None:
        """Called on another thread."""
        self.post_message(PathCompleted(typed, completion))

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    # -- what was found ------------------------------------------------------------------------------------

    def _show_models(self) -> None:
        self._arrange()

    def _arrange(self) -> None:
        """Filters and sorts; the cursor stays with its model, and on its line."""
        words = self._typed.lower().split()
        self._shown = sorted((e for e in self._entries.values() if self.matches(e, words)), key=lambda e: e.order)
        if not self._touched:
            self._selected = self._first_choice()
        if all(e.model.path != self._selected for e in self._shown):
            self._selected = self._shown[0].model.path if self._shown else None
        self._draw()

    @property
    def heading(self) -> str:
        """Of the box."""
        return "Models"

    def matches(self, entry: ModelEntry, words: list[str]) -> bool:
        """Whether it stands in the list."""
        return entry.matches(words)

    def _first_choice(self) -> str | None:
        paths = [entry.model.path for entry in self._shown]
        if self._preferred in paths:
            return self._preferred
        best = best_of(self._shown) if self._best else None
        return best.model.path if best else next(iter(paths), None)

    @property
    def _chosen(self) -> ModelEntry | None:
        return next((e for e in self._shown if e.model.path == self._selected), None)

    # -- drawing -------------------------------------------------------------------------------------------

    @property
    def _typed(self) -> str:
        return self._field.value

    @property
    def _in_path(self) -> bool:
        return self._typed.startswith(("/", "~", "./", "../"))

    def _draw(self, cursor: int | None = None) -> None:
        """`cursor`: where it goes among paths; None: it stays, whatever is heard of the models meanwhile."""
        pick = self._pick
        # At first nothing is laid out: as wide as the style sheet will make it.
        width = self._lines["detail"].content_size.width or min(_MOST_CELLS, self.app.size.width) - _FRAME_CELLS
        if self._in_path:
            if not self._asked:
                self._draw_path(pick, width, pick.cursor if cursor is None else cursor)
            return
        cursor = next((i for i, e in enumerate(self._shown) if e.model.path == self._selected), NOWHERE)
        pick.show(
            len(self._shown), partial(self._row, self._shown), cursor, steady=self._touched, anew=not self._touched
        )
        self._say("columns", [_plain(model_rows.columns(max(0, width - 2)))] if self._entries else [""])
        self._show_nothing("" if self._shown else self.why_nothing())
        chosen = self._chosen
        self._say("detail", model_rows.details(chosen, width) if chosen else [""])
        self._say("state", [model_rows.state(len(self._entries), self._searched)])
        self._say("keys", [self.keys_of(_KEYS_LIST)])
        self._ask_when_dwelling(chosen)

    def why_nothing(self) -> str:
        """In place of an empty list."""
        if self._entries:
            return f"Nothing matches {clean_line(self._typed, 60)}."
        return model_rows.nothing_found(self._searched)

    def keys_of(self, keys: str) -> str:
        """The line of keys."""
        return keys

    def _show_nothing(self, text: str) -> None:
        nothing = self._lines["nothing"]
        nothing.display, self._pick.display = bool(text), not text
        nothing.update(Content(text))

    def _row(self, shown: Sequence[ModelEntry], index: int, width: int) -> Runs:
        entry = shown[index]
        path = entry.model.path
        return model_rows.row(entry, width, current=path == self._current, under_cursor=path == self._selected)

    def _say(self, id: str, lines: list[str]) -> None:
        self._lines[id].update(Content("\n".join(lines)), layout=id == "state")

    def _ask_when_dwelling(self, chosen: ModelEntry | None) -> None:
        if self._dwell is not None:
            self._dwell.stop()
            self._dwell = None
        if chosen is not None and chosen.outlook is not None and not chosen.asked and self._search is not None:
            search, path = self._search, chosen.model.path
            self._dwell = self.set_timer(_DWELL_S, lambda: search.ask_context(path))

    # -- what can be done with models ----------------------------------------------------------------------

    def action_work(self, kind: str) -> None:
        """In a dialog of its own."""
        from hettui.ui.dialogs.model_work import ModelWorkScreen
        from hettui.ui.dialogs.model_works import work

        wanted = work(kind, self._backend.model_desk, self._session, None if self._in_path else self._chosen)
        if wanted is None:
            self.notify("no model is chosen in the list", severity="warning", markup=False)
        else:
            self.app.push_screen(ModelWorkScreen(wanted), self._worked)

    def _worked(self, worked: Worked | None) -> None:
        """What was made is opened, or stands under the cursor; what was removed is gone."""
        if worked is None:
            return
        if worked.opens:
            self.dismiss(worked.path)
            return
        self._preferred, self._touched = worked.path or self._selected, False
        self.search_again()

    # -- a path --------------------------------------------------------------------------------------------

    def _draw_path(self, pick: PickList, width: int, cursor: int) -> None:
        found = self._completion
        self._say("columns", ["  folders and .gguf files"])
        pick.show(len(found.candidates), partial(self._candidate, found.candidates, self._typed), cursor)
        self._show_nothing("" if found.candidates else found.problem or "No folder or .gguf file begins so.")
        self._say("detail", [fit(clean_line(self._typed), width).rstrip()])
        self._say("state", [f"and {found.more} more: type on" if found.more else ""])
        self._say("keys", [_KEYS_PATH])

    def _candidate(self, candidates: Sequence[str], typed: str, index: int, width: int) -> Runs:
        """Of what was found when it was shown: the next answer may have come by the time it is drawn."""
        mark = "▶ " if index == self._pick.cursor else "  "
        path = candidates[index]
        name = path[typed.rfind("/") + 1 :]
        return [(fit(mark + name, width), "muted" if path.endswith("/") else "")]

    @on(PathCompleted)
    def _completed(self, message: PathCompleted) -> None:
        if message.typed == self._typed:
            self._completion, self._asked = message.completion, False
            self._draw(NOWHERE)

    def _complete(self) -> None:
        """Tab: as far as it is certain, then from one candidate to the next."""
        found, pick = self._completion, self._pick
        if len(found.text) > len(self._typed):
            self._type(found.text)
        elif len(found.candidates) == 1:
            self._type(found.candidates[0])
        elif found.candidates:
            self._draw_path(pick, self.size.width, (pick.cursor + 1) % len(found.candidates))

    def _type(self, text: str) -> None:
        field = self._field
        field.value = text
        field.cursor_position = len(text)

    def _open_path(self) -> None:
        found, cursor = self._completion, self._pick.cursor
        # The list may still show what was found for less.
        path = found.candidates[cursor] if 0 <= cursor < len(found.candidates) else self._typed.strip()
        if path + "/" in found.candidates:
            path += "/"
        if path.endswith("/"):
            self._type(path)
        else:
            self.dismiss(path)

    # -- keys ----------------------------------------------------------------------------------------------

    @on(Input.Changed)
    def _input_changed(self) -> None:
        if self._in_path and self._completer is not None:
            self._completion, self._asked = Completion(self._typed), True
            self._completer.ask(self._typed)
        else:
            self._arrange()

    def action_back(self) -> None:
        if self._typed:
            self._type("")
        else:
            self.dismiss(None)

    @on(Input.Submitted)
    def action_open(self) -> None:
        chosen = self._chosen
        if self._in_path:
            self._open_path()
        elif chosen is None:
            self.notify("there is nothing to open: type / or ~ for a path", severity="warning", markup=False)
        elif chosen.problem is not None:
            text = f"{chosen.model.name} cannot be opened: {chosen.problem}"
            self.notify(clean_line(text, 400), severity="warning", markup=False, timeout=8)
        else:
            self.dismiss(chosen.model.path)

    def action_path(self) -> None:
        if self._in_path:
            self._complete()
        else:
            chosen = self._chosen
            self._type(chosen.model.path.rpartition("/")[0] + "/" if chosen is not None else "~/")

    def action_move(self, rows: int) -> None:
        pick = self._pick
        self._move_to(pick.cursor + rows if pick.cursor != NOWHERE or rows > 0 else 0)

    def action_page(self, pages: int) -> None:
        pick = self._pick
        self._move_to(pick.cursor + pages * max(1, pick.rows - 1))

    def action_end(self, last: bool) -> None:
        self._move_to(10**9 if last else 0)

    def _move_to(self, index: int) -> None:
        pick = self._pick
        count = len(self._completion.candidates) if self._in_path else len(self._shown)
        if not count:
            return
        index = min(max(index, 0), count - 1)
        if self._in_path:
            self._draw_path(pick, self.size.width, index)
            return
        self._touched = True
        self._selected = self._shown[index].model.path
        pick.move(index)
        self._draw()

    @on(PickList.Clicked)
    def _clicked(self, message: PickList.Clicked) -> None:
        self._move_to(message.index)
        if message.again:
            self.action_open()


def _plain(runs: Runs) -> str:
    return "".join(text for text, _ in runs)
