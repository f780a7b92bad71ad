"""The explanation pane: why the plan is as it is, and what would change it."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from hettui.ui.widgets.reading import Reading

Parts = Sequence[tuple[str, Sequence[str]]]
"""Headings and their lines."""


class ExplainPane(VerticalScroll, Reading):
    """Headings with a paragraph for every line; what is indented belongs to the line above it."""

    DEFAULT_CSS = """
    ExplainPane { height: 1fr; padding: 0 1; }
    ExplainPane > Static { height: auto; }
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._text = Static(markup=False)

    def compose(self) -> ComposeResult:
        yield self._text

    def show(self, parts: Parts) -> None:
        """Replaces everything; where the reader has scrolled to stays."""
        text: list[str | tuple[str, str]] = []
        for heading, lines in parts:
            text += [(f"{heading}\n", "bold")] if heading else []
            for line in lines:
                text.append((f"  {line.strip()}\n", "$hettui-muted") if line.startswith("  ") else f"{line}\n")
            text.append("\n")
        self._text.update(Content.assemble(*text))
