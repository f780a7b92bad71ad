"""The settings of one conversation: chat or raw completion, system prompt, sampling."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Grid, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Checkbox, Input, Label, Static, TextArea

from hettui.domain.chat.conversation import SAMPLING_LIMITS, Sampling, parse_sampling
from hettui.domain.records import dataclass
from hettui.domain.text import clean


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """What the screen shows and gives back."""

    raw: bool
    system: str
    sampling: Sampling


class _Check(Checkbox):
    """Textual's shows the same cross on and off, in two colours: here the cross is the answer."""

    def __init__(self, label: str, value: bool) -> None:
        super().__init__(label, value, compact=True)
        # Of the first value it is not told.
        self.BUTTON_INNER = "X" if value else " "

    def watch_value(self) -> None:
        self.BUTTON_INNER = "X" if self.value else " "
        super().watch_value()


class ChatSettingsScreen(ModalScreen[ChatSettings | None]):
    """ctrl+s, or Enter in a field, uses what stands there; Esc changes nothing."""

    BINDINGS = [Binding("escape", "dismiss(None)", "Cancel"), Binding("ctrl+s", "use", "Use")]
    DEFAULT_CSS = """
    ChatSettingsScreen { align: center middle; }
    ChatSettingsScreen > Vertical {
        width: 80%; max-width: 78; height: auto; max-height: 95%; padding: 0 2;
        background: $surface; border: round $primary; border-title-color: $foreground;
        border-subtitle-color: $hettui-muted;
    }
    ChatSettingsScreen Checkbox { border: none; padding: 0; background: $surface; }
    ChatSettingsScreen Checkbox > .toggle--button { color: $foreground; background: $panel; }
    ChatSettingsScreen TextArea { height: 4; border: round $hettui-muted; padding: 0 1; }
    ChatSettingsScreen TextArea:focus { border: round $primary; }
    ChatSettingsScreen Grid { grid-size: 4; grid-columns: 15 1fr 12 1fr; grid-rows: 1; height: auto; }
    ChatSettingsScreen #why { height: auto; color: $hettui-crit; }
    ChatSettingsScreen Button { margin-top: 1; }
    """

    def __init__(self, settings: ChatSettings) -> None:
        super().__init__()
        self._settings = settings

    def compose(self) -> ComposeResult:
        values = self._settings.sampling.options()
        with Vertical() as box:
            box.border_title = "Chat settings"
            box.border_subtitle = "ctrl+s uses them · Esc cancels"
            yield _Check("raw completion: no template, no history", self._settings.raw)
            yield Label("system prompt")
            yield TextArea(self._settings.system, tab_behavior="focus", show_line_numbers=False)
            with Grid():
                for name in SAMPLING_LIMITS:
                    yield Label(name)
                    yield Input(str(values.get(name, "")), placeholder="default", id=f"s-{name}", compact=True)
            yield Static(id="why", markup=False)
            yield Button("Use", compact=True)

    def on_button_pressed(self) -> None:
        self.action_use()

    def on_input_submitted(self) -> None:
        self.action_use()

    def action_use(self) -> None:
        texts = {name: self.query_one(f"#s-{name}", Input).value for name in SAMPLING_LIMITS}
        try:
            sampling = parse_sampling(texts)
        except ValueError as error:
            self.query_one("#why", Static).update(Content(str(error)))
            return
        system = clean(self.query_one(TextArea).text).strip()
        self.dismiss(ChatSettings(self.query_one(Checkbox).value, system, sampling))
