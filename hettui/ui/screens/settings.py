"""llama-server's settings, changed under one's hands: looked at on bars and cards, then a step of editing."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from hettui.domain.llama.params import RuntimeParams
from hettui.domain.plan.difference import changes
from hettui.domain.plan.plan import Plan
from hettui.ui.presenting import presenter
from hettui.ui.presenting.facts import Facts
from hettui.ui.screens.hosting import Host
from hettui.ui.screens.planning import Planning


class Set(Host, Protocol):
    """What it needs of the screen."""

    @property
    def facts(self) -> Facts:
        """What the screen knows now."""

    def draw(self) -> None:
        """Shows what has changed."""


class Settings:
    """They are a part of the plan: undo covers them, a start or an apply keeps them in the configuration."""

    def __init__(self, screen: Set, planning: Planning) -> None:
        self._screen = screen
        self._planning = planning

    @property
    def _configured(self) -> RuntimeParams:
        return self._screen.known.session.config.params

    def open(self) -> None:
        from hettui.ui.dialogs.settings import SettingsScreen
        from hettui.ui.presenting.settings import settings

        known = self._screen.known
        workload = known.session.workload
        if workload is None:
            return
        configured = self._configured
        now = _wanted(known.plan, configured)
        dialog = SettingsScreen(
            now,
            configured,
            lambda params: settings(params, configured, workload.having(params)),
            self._look_at,
        )
        self._screen.app.push_screen(dialog, self._chosen)

    def _with(self, params: RuntimeParams) -> Plan:
        """The plan under these; unchanged where nothing is."""
        known = self._screen.known
        if params == _wanted(known.plan, self._configured):
            return known.plan
        return known.plan.with_settings(self._configured, params)

    def _look_at(self, params: RuntimeParams | None) -> tuple[str, bool]:
        known = self._screen.known
        plan = None if params is None else self._with(params)
        known.looked_at = None if plan is None or plan == known.plan else (plan, None)
        self._screen.draw()
        line = presenter.about_the_plan(self._screen.facts)
        return line.text, line.tone != "crit"

    def _chosen(self, params: RuntimeParams | None) -> None:
        known = self._screen.known
        known.looked_at = None
        plan = known.plan if params is None else self._with(params)
        told = ", ".join(changes(known.plan, plan, self._configured))
        if not told:
            self._screen.draw()
            return
        back = self._screen.keymap.fill("{plan.undo} goes back, a start or an apply keeps it")
        self._planning.edit(known.editor.edited(plan, told), f"{told}; {back}")


def _wanted(plan: Plan, configured: RuntimeParams) -> RuntimeParams:
    """With the context that the planner chose, without its places of experts."""
    return replace(plan.settings(configured), override_tensor=configured.override_tensor)
