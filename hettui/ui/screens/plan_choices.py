"""The plans that one can choose from: worked out on a thread, looked at on bar and cards, taken or not."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

from hettui.domain.errors import HettuiError
from hettui.domain.telemetry.why import Shift, worst
from hettui.ui.presenting.facts import Facts
from hettui.ui.screens.hosting import Host
from hettui.ui.screens.planning import Planning

if TYPE_CHECKING:
    from hettui.domain.session.choices import Choice, Query
    from hettui.ui.dialogs.choices import ChoicesScreen

_KEY = "plan.propose"


class Choosing(Host, Protocol):
    """What it needs of the screen."""

    @property
    def facts(self) -> Facts:
        """What the screen knows now."""

    def draw(self) -> None:
        """Shows what has changed."""

    async def action_perform(self, action: str) -> None:
        """As by its key."""


class PlanChoices:
    """From the key to the plan."""

    def __init__(self, screen: Choosing, planning: Planning) -> None:
        self._screen = screen
        self._planning = planning
        self._open: ChoicesScreen | None = None

    def open(self) -> None:
        """The list is there at once; what stands in it is worked out meanwhile."""
        from hettui.domain.session.choices import queries
        from hettui.ui.dialogs.choices import ChoicesScreen
        from hettui.ui.presenting.choices import row

        session, now = self._screen.known.session, self._screen.known.plan
        asked = queries(session, now, self._shifts())
        dialog = ChoicesScreen(
            [one.title for one in asked],
            lambda choice, same: row(choice, now, session.config.params, same),
            self._look_at,
            self._screen.keymap.keys(_KEY),
            self._screen.keymap.shown(_KEY),
        )
        self._open = dialog
        self._screen.app.push_screen(dialog, self._chosen)
        self._screen.in_thread(partial(self._work_out, dialog, asked), "choices", exclusive=True)

    def _shifts(self) -> list[Shift]:
        """What the cards propose."""
        facts = self._screen.facts
        found = (worst(facts.why, device.name) for device in facts.plan.devices)
        return list(dict.fromkeys(one.shift for one in found if one is not None and one.shift is not None))

    def _work_out(self, dialog: ChoicesScreen, asked: Sequence[Query]) -> None:
        """On a thread. Searches, one after another, until nobody wants them any more."""
        from hettui.domain.session.choices import Choice

        for query in asked:
            if self._open is not dialog:
                return
            try:
                found = list(query.answers())
            except HettuiError as error:
                found = [Choice(query.title, said=str(error), fits=False)]
            self._screen.app.call_later(self._found, dialog, query.title, found)

    def _found(self, dialog: ChoicesScreen, title: str, found: Sequence[Choice]) -> None:
        if self._open is dialog:
            dialog.take(title, found)

    def _look_at(self, choice: Choice | None) -> None:
        plan = None if choice is None else choice.plan
        looked_at = None if choice is None or plan is None else (plan, choice.objective)
        if self._screen.known.looked_at != looked_at:
            self._screen.known.looked_at = looked_at
            self._screen.draw()

    async def _chosen(self, choice: Choice | None) -> None:
        self._open = None
        known = self._screen.known
        known.looked_at = None
        if choice is not None and choice.plan is not None:
            words = f"the plan “{choice.title}”"
            back = self._screen.keymap.fill("{plan.undo} goes back")
            self._planning.take(known.editor.taking(choice.plan, words, choice.objective), f"{choice.title}; {back}")
            return
        self._screen.draw()
        if choice is not None and choice.action:
            await self._screen.action_perform(choice.action)
