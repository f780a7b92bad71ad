"""The palette: every action of the main screen, and what is too rare or too sharp for a key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider

from hettui.ui import keys
from hettui.ui.screens.main import MainScreen


class ActionCommands(Provider):
    """Names and explanations are our own words, never a file's or a device's: the palette takes them as markup."""

    def _entries(self) -> Iterator[tuple[str, str, Callable[[], object]]]:
        screen = self.screen
        if isinstance(screen, MainScreen):
            for binding in screen.KEYS:
                yield binding.description, binding.tooltip, partial(screen.run_action, binding.action)
            for binding in keys.CHAT_BINDINGS:
                run = partial(screen.run_in_chat, binding.action)
                yield f"Chat: {binding.description}", binding.tooltip, run
            yield "Force start", "start although the plan does not fit", partial(screen.action_start, force=True)
            yield "Force apply", "apply although the plan does not fit", partial(screen.action_apply, force=True)

    async def discover(self) -> Hits:
        for name, explanation, run in self._entries():
            yield DiscoveryHit(name, run, help=explanation)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for name, explanation, run in self._entries():
            score = max(matcher.match(name), matcher.match(explanation))
            if score > 0:
                yield Hit(score, matcher.highlight(name), run, help=explanation)
