"""The explanation of the plan: worked out on a thread, a moment after the last change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

from textual.timer import Timer

from hettui.domain.plan.aim import Objective
from hettui.domain.plan.plan import Plan
from hettui.domain.planner.objectives import answer
from hettui.ui.panes.explain import Parts
from hettui.ui.presenting import presenter
from hettui.ui.presenting.facts import Facts
from hettui.ui.screens.body import Body
from hettui.ui.screens.hosting import Host

_AFTER_S = 0.2
"""Of quiet: not for every cell of a dragged slider."""


class Explained(Host, Protocol):
    """What it needs of the screen."""

    @property
    def facts(self) -> Facts:
        """What the screen knows now."""

    def call_after_refresh(self, callback: Callable[[], None]) -> bool: ...


class Explaining:
    """Knows which plan was explained last."""

    def __init__(self, screen: Explained, body: Body) -> None:
        self._screen = screen
        self._body = body
        self._explained: tuple[Plan, Objective] | None = None
        self._drawn = False
        """The screen stands: before that a dozen searches on another thread would only hold it up."""
        self._timer: Timer | None = None

    @property
    def waiting(self) -> bool:
        """An explanation will be begun soon."""
        return self._timer is not None

    def forget(self) -> None:
        """What was learned since the last explanation may change it: the next one comes at once."""
        self._explained = None

    def follow(self) -> None:
        """An explanation is to be seen: of this plan, if it is another one."""
        wanted = self._wanted
        if self._explained != wanted:
            self._begin(0.0 if self._explained is None else _AFTER_S)
            self._explained = wanted

    @property
    def _wanted(self) -> tuple[Plan, Objective]:
        shown = self._screen.known.shown
        return shown.plan, shown.objective

    def _begin(self, after_s: float) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        if after_s:
            self._timer = self._screen.set_timer(after_s, self._explain)
        elif self._drawn:
            self._explain()
        else:
            self._drawn = True
            self._screen.call_after_refresh(self._explain)

    def _explain(self) -> None:
        self._timer = None
        # Facts of its own: what they work out stays with them, and more may have been learned since.
        facts = replace(self._screen.facts, search=answer)
        self._screen.in_thread(partial(self._work_out, facts), "explain", exclusive=True)

    def _work_out(self, facts: Facts) -> None:
        """A dozen searches: not between two keys."""
        parts = presenter.explanation(facts)
        self._screen.app.call_later(self._show, facts, parts)

    def _show(self, facts: Facts, parts: Parts) -> None:
        if (facts.plan, facts.objective) == self._wanted:
            self._body.show_explanation(parts)
