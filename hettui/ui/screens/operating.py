"""What the plan is for: starts it, applies it, stops it, tells what ended, and leaves in good order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from hettui.domain.cluster.postmortem import PostMortem
from hettui.domain.cluster.snapshot import ClusterSnapshot, ClusterState
from hettui.domain.errors import HettuiError, UnrecognisedError
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.screen.panes import LOGS
from hettui.domain.session.session import Session
from hettui.domain.text import clean_line
from hettui.services.backend import Backend
from hettui.services.cluster.world import Request
from hettui.ui.messages import NoticeArrived
from hettui.ui.presenting.contexts import comes_back
from hettui.ui.screens.hosting import Host

if TYPE_CHECKING:
    from hettui.domain.session.rescue import Rescue
    from hettui.ui.dialogs.post_mortem import Choice, PostMortemScreen


class Operated(Host, Protocol):
    """What it needs of the screen."""

    def edit(self, after: Plan, words: str) -> None:
        """A step of editing the plan, and what it is in a few words."""

    def draw(self) -> None:
        """All that is to be seen."""

    def run_worker(
        self, work: Callable[[], object], *, group: str, exclusive: bool = False, exit_on_error: bool = True
    ) -> object: ...


class Operating:
    """Sends the plan to the engine. What becomes of it comes back as messages, which the screen passes on."""

    def __init__(self, screen: Operated, backend: Backend) -> None:
        self._screen = screen
        self._backend = backend
        self._engine = backend.engine
        self._told: PostMortem | None = None
        """The post-mortem that was shown last."""
        self._post_mortem: PostMortemScreen | None = None
        self._quitting = False
        self._wish: Callable[[], None] | None = None
        """A start that was asked for while it was still looked for what runs already."""

    @property
    def _session(self) -> Session:
        return self._screen.known.session

    @property
    def _cluster(self) -> ClusterSnapshot:
        return self._screen.known.cluster

    def run_plan(self, *, force: bool = False) -> None:
        """Starts the plan, or applies it to what runs; `force`: although it does not fit."""
        if self._cluster.state is ClusterState.LOOKING:
            self._wish = partial(self.run_plan, force=force)
            return
        session, plan = self._session, self._screen.known.plan
        try:
            request = self._backend.request(session, self._screen.known.without_lost(), force=force)
        except HettuiError as error:
            self._screen.say(str(error), "error")
            return
        loop, context = asyncio.get_running_loop(), copy_context()

        def begun(done: Future[None]) -> None:
            # On the engine's thread. Other failures arrive as events.
            error = None if done.cancelled() else done.exception()
            if isinstance(error, UnrecognisedError):
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(partial(self._ask_and_start, request, str(error)), context=context)

        self._engine.start(request).add_done_callback(begun)
        self._screen.known.preflight = ""
        self._screen.in_thread(partial(self._look_first, session), "preflight", exclusive=True)
        self._screen.in_thread(partial(self._save, session, plan), "save")

    def _look_first(self, session: Session) -> None:
        """On a thread, while the workers start: no start waits for it."""
        self._screen.app.call_later(self._found_first, self._backend.preflight(session))

    def _found_first(self, text: str) -> None:
        if text != self._screen.known.preflight:
            self._screen.known.preflight = text
            self._screen.draw()

    def _ask_and_start(self, request: Request, what: str) -> None:
        """Something runs that nobody knows: whether it shall end for the start."""
        from hettui.ui.dialogs.ask import ChoiceScreen

        def answered(answer: str | None) -> None:
            if answer == "y":
                self._engine.stop().add_done_callback(lambda _: self._engine.start(request))

        choices = [("n", "Leave them"), ("y", "End them, then start")]
        self._screen.app.push_screen(ChoiceScreen(clean_line(f"{what[:1].upper()}{what[1:]}"), choices), answered)

    def _save(self, session: Session, plan: Plan) -> None:
        try:
            self._backend.save(session, plan)
        except HettuiError as error:
            self._screen.post_message(NoticeArrived(str(error), "warning"))

    def stop(self) -> None:
        """Stops it all; asks first when something is being answered. The next start is one with all devices."""
        if self._cluster.waiting is not None:
            # Asked before: this cuts it short.
            self._stop()
        else:
            self._screen.run_worker(self._ask_and_stop, group="stop", exclusive=True, exit_on_error=False)

    async def _ask_and_stop(self) -> None:
        """Whether something is being answered is asked of the server: others may use it as well."""
        from hettui.ui.dialogs.ask import ChoiceScreen

        running = await asyncio.wrap_future(self._engine.busy())
        if not running:
            self._stop()
            return
        answers = "An answer is" if running == 1 else f"{running} answers are"
        question = f"{answers} still being written. Stop all processes?"
        choices = [("w", "Let it end, then stop"), ("y", "Cut it"), ("n", "Cancel")]
        self._screen.app.push_screen(ChoiceScreen(question, choices), self._stop_as_said)

    def _stop_as_said(self, answer: str | None) -> None:
        if answer == "y":
            self._stop()
        elif answer == "w":
            self._stop(self._session.config.supervision.answer_patience_s)

    def _stop(self, patience_s: float = 0.0) -> None:
        self._screen.known.lost = {}
        self._engine.stop(patience_s)

    # -- what ended ----------------------------------------------------------------------------------------

    @property
    def post_mortem_is_open(self) -> bool:
        return self._post_mortem is not None and self._screen.app.screen is self._post_mortem

    def close_what_is_over(self) -> None:
        """The cluster's state is another one: what ended before is told no longer when it is on its way again."""
        if self._cluster.state.busy and self.post_mortem_is_open:
            self._screen.app.screen.dismiss(None)

    def leave_or_tell(self) -> None:
        """After every word of the cluster: leaves when that was wanted, else tells what ended, once."""
        state, found = self._cluster.state, self._cluster.post_mortem
        if self._wish is not None and state is not ClusterState.LOOKING:
            self._grant_or_decline(state)
        if self._quitting and state in (ClusterState.DOWN, ClusterState.FAILED):
            self._screen.app.exit()
        elif found is not None and found is not self._told and state is ClusterState.FAILED:
            self.tell_what_ended()

    def _grant_or_decline(self, state: ClusterState) -> None:
        """It is known what runs: nothing, and the start goes on; or something, which nobody meant to change."""
        wish, self._wish = self._wish, None
        if state is ClusterState.DOWN and wish is not None:
            wish()
        else:
            self._screen.say("a cluster was found: it is shown as it runs, and nothing was started", "warning")

    def tell_what_ended(self) -> None:
        """Opens the dialog about the process that ended; nothing where none did."""
        from hettui.ui.dialogs.post_mortem import PostMortemScreen

        found = self._cluster.post_mortem
        if found is not None:
            self._told = found
            plan = self._screen.known.plan.without(frozenset(self._screen.known.lost))
            leftovers = self._cluster.works and self._cluster.state is ClusterState.FAILED
            read_only = self._backend.read_only is not None
            back = comes_back(self._screen.known.slots)
            self._post_mortem = PostMortemScreen(
                found, self._session, plan, leftovers=leftovers, read_only=read_only, comes_back=back
            )
            # What the toast would say the dialog says, and it would lie on its buttons.
            self._screen.app.clear_notifications()
            self._screen.app.push_screen(self._post_mortem, self._after_post_mortem)

    def _after_post_mortem(self, answer: tuple[Choice, Rescue | None] | None) -> None:
        found = self._cluster.post_mortem or self._told
        match answer:
            case "log", _:
                self._screen.show_pane(LOGS)
            case "clean", _:
                self._stop()
            case "same", _:
                self.run_plan()
            case "without", rescue if rescue is not None and found is not None and found.device is not None:
                self._run_without(found, found.device, rescue)

    def _run_without(self, found: PostMortem, name: str, rescue: Rescue) -> None:
        """What can still run. The device that was lost stays in the plan, last and empty."""
        known = self._screen.known
        now = known.plan
        lost = next(d for d in now.devices if d.name == name)
        gone = tuple(d for d in now.devices if d.name in known.lost and d is not lost)
        split = Split((*rescue.plan.split.layers, *(0 for _ in (lost, *gone))), now.split.total_layers)
        plan = replace(rescue.plan, devices=(*rescue.plan.devices, lost, *gone), split=split)
        known.lost = {**known.lost, lost.name: clean_line(found.what, 200)}
        self._screen.edit(plan, f"the plan without {clean_line(lost.name, 40)}")
        self.run_plan()

    # -- another hettui's cluster ----------------------------------------------------------------------------

    def offer_ownership(self, *, runs: bool) -> None:
        """Its owner has left: asked once. Later it is in the palette."""
        from hettui.ui.dialogs.ask import ChoiceScreen

        if self._backend.read_only is None:
            return
        what = "left the cluster running" if runs else "ended"
        question = f"The hettui that owned the cluster has {what}. Take it over here?"
        choices = [("y", "Take it over"), ("n", "Only watch")]
        self._screen.app.push_screen(ChoiceScreen(question, choices), self._own_as_said)

    def _own_as_said(self, answer: str | None) -> None:
        if answer == "y":
            self.own()

    def own(self) -> None:
        """Becomes the owner of what was only shown."""
        reason = self._backend.own()
        if reason is not None:
            self._screen.say(reason, "warning")
            return
        self._screen.say("this hettui owns the cluster now")
        self._screen.refresh_bindings()
        self._screen.draw()

    # -- the end -------------------------------------------------------------------------------------------

    def quit(self) -> None:
        """Leaves; asks what shall become of what runs, unless the configuration says it."""
        from hettui.ui.dialogs.ask import ChoiceScreen

        on_exit = self._session.config.on_exit
        runs = self._cluster.works and self._cluster.state is not ClusterState.DOWN
        if self._quitting or not runs or self._backend.read_only:
            # Nothing runs, also where what has just ended is still listed; or asked for a second time: then the rest
            # is stopped without the screen.
            self._screen.app.exit()
        elif self._cluster.state is ClusterState.STOPPING:
            # It was asked to end already: whoever quits now waits for just that.
            self._quitting = True
            self._screen.say("hettui leaves when all has ended")
        elif on_exit == "ask":
            question = "The cluster is running. What shall become of it?"
            # Enter does what costs nothing.
            choices = [("l", "Leave it running"), ("s", "Stop and quit"), ("c", "Cancel")]
            self._screen.app.push_screen(ChoiceScreen(question, choices), self._quit_as_said)
        else:
            self._quit_as_said("s" if on_exit == "stop" else "l")

    def _quit_as_said(self, answer: str | None) -> None:
        if answer == "l":
            self._backend.leave_running()
            self._screen.app.exit()
        elif answer == "s":
            # The screen stays until everything has ended: whoever waits sees for what.
            self._quitting = True
            self._engine.stop()
