"""The search for the best split: asked for once, watched while it goes, and its answer becomes the plan."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Protocol

from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.errors import HettuiError
from hettui.domain.plan.plan import Plan
from hettui.domain.tuning.report import TuneOutcome
from hettui.domain.tuning.search import MOST_TRIALS
from hettui.services.backend import Backend
from hettui.services.events import TuneChanged, TuneEnded
from hettui.ui.messages import NoticeArrived
from hettui.ui.screens.hosting import Host

if TYPE_CHECKING:
    from hettui.services.tuning import TuneJob
    from hettui.ui.dialogs.tune import TuneScreen


class Tuned(Host, Protocol):
    """What it needs of the screen."""

    def edit(self, after: Plan, words: str) -> None:
        """A step of editing the plan, and what it is in a few words."""


class TuneSearch:
    """From the key to the plan."""

    def __init__(self, screen: Tuned, backend: Backend) -> None:
        self._screen = screen
        self._backend = backend
        self._shown: TuneScreen | None = None

    def ask(self) -> None:
        """It restarts the master again and again: nobody shall be surprised."""
        from hettui.ui.dialogs.ask import ChoiceScreen

        runs = self._screen.known.cluster.state is ClusterState.READY
        cuts = " Each restarts the master: answers that are being written are cut." if runs else ""
        question = f"Search for the best split? Up to {MOST_TRIALS} splits are launched and measured.{cuts}"
        self._screen.app.push_screen(ChoiceScreen(question, [("y", "Search"), ("n", "Cancel")]), self._begin_as_said)

    def _begin_as_said(self, answer: str | None) -> None:
        if answer != "y":
            return
        from hettui.ui.dialogs.tune import TuneScreen

        known = self._screen.known
        try:
            job = self._backend.tune_job(known.session, known.plan)
        except HettuiError as error:
            self._screen.say(str(error), "error")
            return
        self._shown = TuneScreen(self._backend.engine.cancel_tune)
        self._screen.app.push_screen(self._shown)
        self._begin(job)

    def _begin(self, job: TuneJob) -> None:
        loop, context = asyncio.get_running_loop(), copy_context()

        def begun(done: Future[None]) -> None:
            # On the engine's thread.
            error = None if done.cancelled() else done.exception()
            if error is not None:
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(partial(self._refused, str(error)), context=context)

        self._backend.engine.tune(job).add_done_callback(begun)

    def _refused(self, reason: str) -> None:
        if self._shown is not None and self._shown.is_current:
            self._shown.dismiss(None)
        self._shown = None
        self._screen.say(reason, "error")

    def take(self, event: TuneChanged | TuneEnded) -> None:
        """What the engine tells of it."""
        if isinstance(event, TuneChanged):
            if self._shown is not None:
                self._shown.take(event.progress)
            return
        shown, self._shown = self._shown, None
        if shown is not None:
            shown.end(event.outcome)
        self._use(event.outcome)

    def _use(self, outcome: TuneOutcome) -> None:
        """The best split is the plan now, and kept; the plan before is one undo away."""
        if not outcome.tuning.trials:
            return
        plan = outcome.tuning.best.plan
        self._screen.edit(plan, "the tuned split")
        self._screen.in_thread(partial(self._save, plan), "save")
        if outcome.problem:
            self._screen.say(outcome.problem, "error" if not outcome.runs else "warning")

    def _save(self, plan: Plan) -> None:
        try:
            self._backend.save(self._screen.known.session, plan)
        except HettuiError as error:
            self._screen.post_message(NoticeArrived(str(error), "warning"))
