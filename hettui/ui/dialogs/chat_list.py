"""Chooses one of the conversations with a model; they are filtered by typing, renamed and deleted here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static

from hettui.domain import matching
from hettui.domain.chat.conversation import Conversation
from hettui.domain.text import clean_line
from hettui.ui import typed

_KEYS = "type to filter · ⏎ opens · F2 renames · Del deletes · Esc back"


class ChatListScreen(ModalScreen[Conversation | None]):
    """Enter opens, Esc drops what is typed and closes then."""

    BINDINGS = [Binding("escape", "back", "Cancel", priority=True)]
    DEFAULT_CSS = """
    ChatListScreen { align: center middle; }
    ChatListScreen > Vertical {
        width: 80%; max-width: 90; height: auto; max-height: 80%; padding: 1 2;
        background: $surface; border: round $primary; border-title-color: $foreground;
    }
    ChatListScreen OptionList { height: auto; max-height: 20; border: none; background: $surface; }
    ChatListScreen OptionList:focus { border: none; background-tint: transparent; }
    ChatListScreen OptionList > .option-list--option-highlighted,
    ChatListScreen OptionList:focus > .option-list--option-highlighted {
        background: $panel; color: $foreground; text-style: bold;
    }
    ChatListScreen Static { height: auto; margin-top: 1; color: $hettui-muted; }
    """

    def __init__(
        self,
        conversations: Sequence[Conversation],
        rename: Callable[[Conversation, str], Conversation] = lambda one, name: one,
        remove: Callable[[Conversation], None] = lambda one: None,
    ) -> None:
        super().__init__()
        self._all = list(conversations)
        self._rename, self._remove = rename, remove
        self._filter = ""
        self._name: str | None = None
        """The new name that is being typed for the highlighted one."""
        self._doomed: str | None = None
        """The key of the one that another Del deletes."""
        self._list = OptionList(markup=False)
        self._said = Static(markup=False)

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "Conversations"
            yield self._list
            yield self._said

    def on_mount(self) -> None:
        self._draw()

    @property
    def _shown(self) -> list[Conversation]:
        return [c for c in self._all if matching.matches(self._filter, c.title, c.created)]

    @property
    def _current(self) -> Conversation | None:
        shown, at = self._shown, self._list.highlighted
        return shown[at] if at is not None and at < len(shown) else None

    def _draw(self, at: int = 0) -> None:
        shown = self._shown
        self._list.clear_options()
        self._list.add_options([_row(c) for c in shown])
        self._list.highlighted = min(at, len(shown) - 1) if shown else None
        self._say()

    def _say(self) -> None:
        if self._name is not None:
            text = f"name: {self._name}{matching.CURSOR}   ⏎ sets it · empty: its first question · Esc drops it"
        elif self._doomed is not None:
            text = "Del again deletes it for good · any other key keeps it"
        elif self._filter:
            text = f"/{self._filter}{matching.CURSOR}   {len(self._shown)} of {len(self._all)} · Esc drops it"
        else:
            text = _KEYS
        self._said.update(Content(text))

    # -- keys ----------------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        doomed, self._doomed = self._doomed, None
        if self._name is not None:
            if (text := typed.edited(self._name, event)) is not None:
                event.stop()
                self._name = text
        elif event.key == "delete":
            event.stop()
            self._delete(doomed)
        elif event.key == "f2" and self._current is not None:
            event.stop()
            self._name = self._current.name
        elif (text := typed.edited(self._filter, event)) is not None:
            event.stop()
            self._filter = text
            self._draw()
        self._say()

    def _delete(self, doomed: str | None) -> None:
        current = self._current
        if current is None:
            return
        if doomed != current.key:
            self._doomed = current.key
            return
        at = self._list.highlighted or 0
        self._all.remove(current)
        self._remove(current)
        self._draw(at)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        current = self._shown[event.option_index]
        if self._name is None:
            self.dismiss(current)
            return
        renamed = self._rename(current, clean_line(self._name.strip(), typed.MOST_CHARS))
        self._all[self._all.index(current)] = renamed
        self._name = None
        self._draw(event.option_index)

    def action_back(self) -> None:
        if self._name is not None:
            self._name = None
        elif self._doomed is not None:
            self._doomed = None
        elif self._filter:
            self._filter = ""
            self._draw()
        else:
            self.dismiss(None)
            return
        self._say()


def _row(conversation: Conversation) -> Content:
    when = clean_line(conversation.changed or conversation.created)[:16].replace("T", " ")
    return Content.assemble(
        (f"{when}  ", "$hettui-muted"), conversation.title, (f"  {len(conversation.exchanges)}", "$hettui-muted")
    )
