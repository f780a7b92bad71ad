"""What every key comes through: an action of the registry is done, or the screen says why it cannot be now."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from textual.binding import ActiveBinding

from hettui.domain.screen.actions import BY_ID, Action
from hettui.domain.screen.panes import BENCH, CHAT, DEVICES, LOGS, PANES
from hettui.domain.screen.situation import Situation
from hettui.ui.screens.body import Body
from hettui.ui.screens.hosting import Host

if TYPE_CHECKING:
    from hettui.ui.drawing.help_text import HelpGroup


class _Actor(Protocol):
    """A widget."""

    async def run_action(self, action: str) -> None: ...


class Acted(Host, _Actor, Protocol):
    """What it needs of the screen, which does whatever is no pane's own matter."""

    @property
    def situation(self) -> Situation:
        """What decides which actions make sense now."""

    @property
    def front(self) -> str:
        """The pane that has the keyboard."""

    def offered(self) -> list[Action]:
        """What the palette has on this screen."""


class Acting:
    """Does actions by their names, and knows for each why not."""

    def __init__(self, screen: Acted, body: Body) -> None:
        self._screen = screen
        self._actors: dict[str, _Actor] = {CHAT: body.chat, BENCH: body.bench, LOGS: body.logs}
        """What the keys of a place act on; the others' is the screen itself."""
        self._status = {CHAT: body.chat.status, BENCH: body.bench.status}
        """Where one looks while one of these is in front."""

    async def perform(self, action: str) -> None:
        """By a key."""
        wanted = BY_ID[action]
        reason = self._why_not(wanted, self._screen.situation)
        if reason is None:
            await self._actors.get(wanted.place, self._screen).run_action(wanted.call)
        elif wanted.place == self._screen.front and wanted.place in self._status:
            self._status[wanted.place](reason)
        else:
            self._screen.remark(f"{wanted.label}: {reason}", "warning")

    async def perform_anywhere(self, action: str) -> None:
        """As by its key where the key works: the pane of an action comes to the front with it."""
        place = BY_ID[action].place
        if place == "card" or place in PANES:
            self._screen.show_pane(DEVICES if place == "card" else place)
        await self.perform(action)

    def why_not_anywhere(self, action: Action) -> str | None:
        """Why `perform_anywhere` would not do it, with the keys that help; None when it would."""
        situation = self._screen.situation
        return self._why_not(action, replace(situation, pane=DEVICES) if action.place == "card" else situation)

    def _why_not(self, action: Action, situation: Situation) -> str | None:
        reason = action.why_not(situation)
        return None if reason is None else self._screen.keymap.fill(reason)

    def dimmed(self, bindings: dict[str, ActiveBinding]) -> dict[str, ActiveBinding]:
        """What cannot be done now is marked, so that the footer dims it. Its key still works: it says why."""
        situation = self._screen.situation
        for key, active in bindings.items():
            action = BY_ID.get(active.binding.id or "")
            if active.binding.show and action is not None and action.why_not(situation) is not None:
                bindings[key] = active._replace(enabled=False)
        return bindings

    def help_groups(self) -> list[HelpGroup]:
        """All keys that work on this screen; those of the pane in front first."""
        from hettui.ui.drawing.help_text import help_groups

        offered = {action.id for action in self._screen.offered()}
        return help_groups(offered, self._screen.front, self._screen.keymap, self.why_not_anywhere)
