"""What everything is measured against: a Textual app with a header and a footer, and nothing between them."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.widgets import Footer, Header


class EmptyApp(App[None]):
    """`q` quits, as in hettui."""

    TITLE = "An empty app"
    BINDINGS = [("q", "quit", "Quit")]

    def compose(self) -> ComposeResult:
        yield Header()
        yield Footer()


if __name__ == "__main__":
    EmptyApp().run()
