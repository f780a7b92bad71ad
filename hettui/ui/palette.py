"""The palette: every action of the main screen, and what is too rare or too sharp for a key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from hettui.domain.records import dataclass
from hettui.ui.screens.main import MainScreen


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    sentence: str
    run: Callable[[], object]
    key: str = ""
    reason: str | None = None
    """Why not now: it may name a device."""


class ActionCommands(Provider):
    """The palette takes text for markup: names and sentences are our own words, and the rest goes in as Content."""

    def _entries(self) -> Iterator[_Entry]:
        screen = self.screen
        if isinstance(screen, MainScreen):
            # Whoever opens it looks for a word, not for an arrow key.
            for action in sorted(screen.offered(), key=lambda action: action.group == "Devices"):
                name, run = f"{action.group}: {action.label}", partial(screen.acting.perform_anywhere, action.id)
                reason = screen.acting.why_not_anywhere(action)
                yield _Entry(name, action.sentence, run, screen.keymap.shown(action.id), reason)

    async def discover(self) -> Hits:
        for entry in self._entries():
            display = _display(Content(entry.name), entry)
            yield DiscoveryHit(display, entry.run, text=entry.name, help=_help(entry))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for entry in self._entries():
            score = max(matcher.match(entry.name), matcher.match(entry.sentence))
            if score > 0:
                display = _display(matcher.highlight(entry.name), entry)
                yield Hit(score, display, entry.run, text=entry.name, help=_help(entry))


def _display(name: Content, entry: _Entry) -> Content:
    parts: list[Content | tuple[str, str]] = [name if entry.reason is None else name.stylize("dim")]
    parts += [(f"  {entry.key}", "bold" if entry.reason is None else "dim")] if entry.key else []
    if entry.reason is not None:
        parts.append((f"\nnot now: {entry.reason}", "dim italic"))
    return Content.assemble(*parts)


def _help(entry: _Entry) -> str | None:
    return entry.sentence if entry.reason is None else None
