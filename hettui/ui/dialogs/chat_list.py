"""Chooses one of the conversations with a model."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList

from hettui.domain.chat.conversation import Conversation
from hettui.domain.text import clean_line


class ChatListScreen(ModalScreen[Conversation | None]):
    """Enter opens, Esc changes nothing."""

    BINDINGS = [Binding("escape", "dismiss(None)", "Cancel")]
    DEFAULT_CSS = """
    ChatListScreen { align: center middle; }
    ChatListScreen > Vertical {
        width: 80%; max-width: 90; height: auto; max-height: 80%; padding: 1 2;
        background: $surface; border: round $primary; border-title-color: $foreground;
    }
    ChatListScreen OptionList { height: auto; max-height: 20; border: none; background: $surface; }
    ChatListScreen OptionList:focus { border: none; }
    """

    def __init__(self, conversations: Sequence[Conversation]) -> None:
        super().__init__()
        self._conversations = conversations

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "Conversations"
            rows = [
                Content.assemble(
                    (f"{clean_line(c.changed or c.created)[:16].replace('T', ' ')}  ", "$hettui-muted"),
                    c.title,
                    (f"  {len(c.exchanges)}", "$hettui-muted"),
                )
                for c in self._conversations
            ]
            yield OptionList(*rows, markup=False)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._conversations[event.option_index])
