"""What hettui found on a machine where no model was ever chosen, and the next step for what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from hettui.domain.errors import HettuiError
from hettui.domain.library.found import best_of
from hettui.domain.records import dataclass
from hettui.domain.session.session import Session
from hettui.domain.text import clean, clean_line
from hettui.services.backend import Backend
from hettui.ui.dialogs.ask import ChoiceScreen
from hettui.ui.dialogs.searching import SearchingScreen
from hettui.ui.drawing import model_rows
from hettui.ui.drawing.wrapping import GrowingRows
from hettui.ui.messages import NoticeArrived

_MOST_DEVICES = 6
_LABEL_CELLS = 11
_MOST_CELLS, _FRAME_CELLS = 100, 6
"""Of the whole box, and of its border and padding."""
_INTRO = "One model over all your cards: planned, started and watched from here."
_OFFER = (
    "The plan is there. Keep this model and these devices in a configuration, as hettui init writes it? "
    "The next start then opens them."
)


@dataclass(frozen=True, slots=True)
class Greeted:
    """What comes after the welcome."""

    path: str | None = None
    """The model that was called the best; None when none was."""
    session: Session | None = None
    """The session with the other machines that were taken; None: it is as it was."""
    go_on: bool = True
    """To the picker."""


class WelcomeScreen(SearchingScreen[Greeted | None]):
    """Enter goes on to the models, Esc to the plain screen."""

    BINDINGS = [
        Binding("enter,m", "go_on", "Models", priority=True),
        Binding("h", "hosts", "Other machines", priority=True),
        Binding("escape,q", "leave", "Close", priority=True),
    ]
    DEFAULT_CSS = """
    WelcomeScreen { align: center middle; }
    WelcomeScreen > VerticalScroll {
        width: 100%; max-width: 100; height: auto; max-height: 100%; padding: 1 2;
        background: $surface; border: round $primary; border-title-color: $foreground;
    }
    WelcomeScreen Static { height: auto; }
    """

    def __init__(self, backend: Backend, session: Session) -> None:
        super().__init__(backend, session)
        self._said = Static(markup=False)
        self._others: Session | None = None
        """The session with other machines that were taken."""

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title = "Welcome to hettui"
            yield self._said

    def on_resize(self) -> None:
        self.call_after_refresh(self._take)

    def _show_models(self) -> None:
        self._said.update(self._text())

    def _text(self) -> Content:
        entries = list(self._entries.values())
        hardware = model_rows.hardware_in_words(self._session)
        more = len(hardware) - _MOST_DEVICES
        if more > 0:
            hardware = [*hardware[: _MOST_DEVICES - 1], f"and {more + 1} more"]
        rows = [
            ("llama.cpp", [model_rows.engine_in_words(self._session)]),
            ("devices", hardware),
            ("models", [model_rows.models_in_words(entries, self._searched)]),
        ]
        parts: list[str | tuple[str, str]] = [_INTRO, "\n"]
        # The first text is made before anything was laid out: as wide as the style sheet will make it.
        width = self._said.content_size.width or min(_MOST_CELLS, self.app.size.width) - _FRAME_CELLS
        room = max(10, width - _LABEL_CELLS)
        for label, lines in rows:
            wrapped = GrowingRows(room, cell_len)
            wrapped.feed("\n".join(clean_line(line) for line in lines))
            for i, line in enumerate(wrapped.rows):
                parts += ["\n", (("" if i else label).ljust(_LABEL_CELLS), "bold"), line]
            parts.append("\n")
        usable = any(entry.problem is None for entry in entries)
        go_on = "choose the model, then its plan is there" if usable else "name a file"
        parts += ["\n", ("⏎", "bold"), f"  {go_on}    ", ("esc", "bold"), "  look around first"]
        parts += ["\n", ("h", "bold"), "  other machines, over ssh: their cards count too"]
        if not usable:
            parts += ["\n", ("hettui demo", "bold"), "  in another shell: a small real cluster, its model included"]
        return Content.assemble(*parts)

    def action_go_on(self) -> None:
        best = best_of(self._entries.values())
        self.dismiss(Greeted(best.model.path if best is not None else None, self._others))

    def action_leave(self) -> None:
        self.dismiss(Greeted(session=self._others, go_on=False))

    def action_hosts(self) -> None:
        from hettui.ui.dialogs.hosts import HostsScreen

        self.app.push_screen(HostsScreen(self._backend, self._session), self._with_hosts)

    def _with_hosts(self, session: Session | None) -> None:
        if session is not None:
            self._session = self._others = session
            self._show_models()


def offer_configuration(
    screen: Screen[None], backend: Backend, session: Session, use: Callable[[Session], None]
) -> None:
    """Asks over the first plan whether it shall be kept; `use` gets the session with its configuration."""

    def answered(answer: str | None) -> None:
        if answer == "y":
            screen.run_worker(_write(screen, backend, session, use), group="configuration", exit_on_error=False)

    screen.app.push_screen(ChoiceScreen(_OFFER, [("y", "Write it"), ("n", "Not now")]), answered)


async def _write(screen: Screen[None], backend: Backend, session: Session, use: Callable[[Session], None]) -> None:
    try:
        kept = await asyncio.to_thread(backend.write_config, session)
    except HettuiError as error:
        screen.post_message(NoticeArrived(str(error), "warning"))
    else:
        use(kept)
        screen.notify(clean(f"written: {kept.config.path}"), markup=False)
