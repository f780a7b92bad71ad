"""What the plan is for: starts it, applies it, stops it, tells what ended, and leaves in good order."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from textual import work

from hettui.domain.cluster.postmortem import PostMortem
from hettui.domain.cluster.snapshot import ClusterSnapshot, ClusterState
from hettui.domain.errors import HettuiError
from hettui.domain.plan.split import Split
from hettui.domain.session.session import Session
from hettui.domain.text import clean_line
from hettui.services.backend import Backend
from hettui.ui.messages import NoticeArrived
from hettui.ui.screens.planning import PlanningScreen

if TYPE_CHECKING:
    from hettui.domain.session.rescue import Rescue
    from hettui.ui.dialogs.post_mortem import Choice, PostMortemScreen


class OperatingScreen(PlanningScreen):
    """Sends the plan to the engine. What becomes of it comes back as messages, which its heirs receive."""

    def __init__(self, backend: Backend, session: Session) -> None:
        super().__init__(session)
        self._backend = backend
        self._engine = backend.engine
        self._cluster: ClusterSnapshot = self._engine.snapshot
        self._without: frozenset[str] = frozenset()
        """Devices that a relaunch leaves out as long as they hold nothing."""
        self._told: PostMortem | None = None
        """The post-mortem that was shown last."""
        self._post_mortem: PostMortemScreen | None = None
        self._quitting = False

    def show_pane(self, pane: str) -> None:
        """Brings a pane to the front and the keyboard to it."""
        raise NotImplementedError

    def action_start(self, force: bool = False) -> None:
        self._run_plan(force=force)

    def action_apply(self, force: bool = False) -> None:
        self._run_plan(force=force)

    def _run_plan(self, *, force: bool) -> None:
        try:
            request = self._backend.request(self._session, self._plan.without(self._without), force=force)
        except HettuiError as error:
            self.say(str(error), "error")
            return
        # A failure arrives as an event; the future only has to be looked at.
        self._engine.start(request).add_done_callback(lambda done: done.cancelled() or done.exception())
        self._save_plan()

    @work(thread=True, group="save", exit_on_error=False)
    def _save_plan(self) -> None:
        try:
            self._backend.save(self._session, self._plan)
        except HettuiError as error:
            self.post_message(NoticeArrived(str(error), "warning"))

    def action_stop(self) -> None:
        if self._cluster.waiting is not None:
            # Asked before: this cuts it short.
            self._engine.stop()
        else:
            self._ask_and_stop()

    @work(group="stop", exclusive=True, exit_on_error=False)
    async def _ask_and_stop(self) -> None:
        """Whether something is being answered is asked of the server: others may use it as well."""
        from hettui.ui.dialogs.ask import ChoiceScreen

        running = await asyncio.wrap_future(self._engine.busy())
        if not running:
            self._engine.stop()
            return
        answers = "An answer is" if running == 1 else f"{running} answers are"
        question = f"{answers} still being written. Stop all processes?"
        choices = [("y", "Cut it"), ("w", "Let it end, then stop"), ("n", "Cancel")]
        self.app.push_screen(ChoiceScreen(question, choices), self._stop_as_said)

    def _stop_as_said(self, answer: str | None) -> None:
        if answer == "y":
            self._engine.stop()
        elif answer == "w":
            self._engine.stop(self._session.config.supervision.answer_patience_s)

    @property
    def post_mortem_is_open(self) -> bool:
        return self._post_mortem is not None and self.app.screen is self._post_mortem

    def action_post_mortem(self) -> None:
        from hettui.ui.dialogs.post_mortem import PostMortemScreen

        found = self._cluster.post_mortem
        if found is not None:
            self._told = found
            plan = self._plan.without(self._without)
            leftovers = bool(self._cluster.processes) and self._cluster.state is ClusterState.FAILED
            read_only = self._backend.read_only is not None
            self._post_mortem = PostMortemScreen(found, self._session, plan, leftovers=leftovers, read_only=read_only)
            # What the toast would say the dialog says, and it would lie on its buttons.
            self.app.clear_notifications()
            self.app.push_screen(self._post_mortem, self._after_post_mortem)

    def _after_post_mortem(self, answer: tuple[Choice, Rescue | None] | None) -> None:
        found = self._cluster.post_mortem or self._told
        match answer:
            case "log", _:
                self.show_pane("logs")
            case "clean", _:
                self._engine.stop()
            case "same", _:
                self._run_plan(force=False)
            case "without", rescue if rescue is not None and found is not None and found.device is not None:
                lost = next(d for d in self._plan.devices if d.name == found.device)
                gone = tuple(d for d in self._plan.devices if d.name in self._without and d is not lost)
                split = Split((*rescue.plan.split.layers, *(0 for _ in (lost, *gone))), self._plan.split.total_layers)
                plan = replace(rescue.plan, devices=(*rescue.plan.devices, lost, *gone), split=split)
                self._without |= {lost.name}
                self._edit(lambda _: plan, f"the plan without {clean_line(lost.name, 40)}")
                self._run_plan(force=False)

    def action_quit(self) -> None:
        from hettui.ui.dialogs.ask import ChoiceScreen

        on_exit = self._session.config.on_exit
        if self._quitting or not self._cluster.processes or self._backend.read_only:
            # Asked for a second time: the rest is stopped without the screen.
            self.app.exit()
        elif on_exit == "ask":
            question = "The cluster is running. What shall become of it?"
            choices = [("s", "Stop and quit"), ("l", "Leave it running"), ("c", "Cancel")]
            self.app.push_screen(ChoiceScreen(question, choices), self._quit_as_said)
        else:
            self._quit_as_said("s" if on_exit == "stop" else "l")

    def _quit_as_said(self, answer: str | None) -> None:
        if answer == "l":
            self._backend.leave_running()
            self.app.exit()
        elif answer == "s":
            # The screen stays until everything has ended: whoever waits sees for what.
            self._quitting = True
            self._engine.stop()
