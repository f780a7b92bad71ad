"""The command pane: exactly what runs, or what start would run, ready to be copied."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from hettui.ui.widgets.reading import Reading


class CommandsPane(VerticalScroll, Reading):
    """The process names as headings, the command lines below them."""

    DEFAULT_CSS = """
    CommandsPane { height: 1fr; padding: 0 1; }
    CommandsPane > Static { height: auto; }
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._text = Static(markup=False)
        self._shown: tuple[str, tuple[tuple[str, str], ...]] | None = None

    def compose(self) -> ComposeResult:
        yield self._text

    def show(self, heading: str, commands: Sequence[tuple[str, str]]) -> None:
        """`commands` are names and lines."""
        wanted = (heading, tuple(commands))
        if wanted == self._shown:
            return
        self._shown = wanted
        parts: list[str | tuple[str, str]] = [(heading + "\n", "$hettui-muted")]
        for name, line in commands:
            parts += ["\n", (name + "\n", "bold"), line + "\n"]
        self._text.update(Content.assemble(*parts))

    @property
    def text(self) -> str:
        """What `y` copies: a shell script of the lines."""
        lines = self._shown[1] if self._shown else ()
        return "\n".join(f"# {name}\n{line}" for name, line in lines) + "\n"
