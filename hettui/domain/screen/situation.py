"""Why an action cannot be done now: pure functions from a few facts to a sentence, or None when it can.

A sentence says what is the matter and what to do about it. `{cluster.start}` in it stands for the key of that action:
`keymap.Keymap.fill` puts it in.
"""

from __future__ import annotations

from collections.abc import Callable

from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.records import dataclass
from hettui.domain.screen.panes import DEVICES, LOGS


@dataclass(frozen=True, slots=True)
class Situation:
    """What decides which actions make sense. The defaults are those of a plan that fits, with nothing running."""

    state: ClusterState = ClusterState.DOWN
    processes: bool = False
    """Some process of the cluster lives, or has to be looked after."""
    can_cut: bool = False
    """Stopping waits for answers, and can be cut short."""
    refusal: str = ""
    """Why nothing may be started, stopped or changed here: another hettui owns it, or it is a recording."""
    recording: bool = False
    model: bool = True
    experts: bool = False
    """The model has experts, or an FFN, that can lie apart from their blocks."""
    problem: str = ""
    """Why nothing could be started: no llama.cpp was found."""
    shortage: str = ""
    """What the plan lacks, by device; empty when it fits."""
    differs: bool = False
    """The plan is not what runs."""
    post_mortem: bool = False
    pane: str = DEVICES
    """What has the keyboard."""
    selected_name: str = ""
    selected_is_host: bool = False
    selected_locked: bool = False
    selected_place: int = 0
    """In the order of devices, from 0."""
    devices: int = 1
    undo: str = ""
    """What the last change of the plan was; empty when there is none to take back."""
    redo: str = ""
    fastest: bool = False
    """The sensors cannot be asked more often."""
    slowest: bool = False
    no_chat: str = ""
    """Why nothing can be asked or measured now."""
    chat_busy: bool = False
    asked: bool = False
    """There is a question in this conversation."""
    answered: bool = False
    conversations: bool = False
    """There are others with this model."""
    bench_busy: bool = False
    measured: bool = False
    processes_logged: int = 0

    @property
    def on_card(self) -> bool:
        """A device has the keyboard."""
        return self.pane == DEVICES


WhyNot = Callable[[Situation], "str | None"]


def first(*reasons: WhyNot) -> WhyNot:
    """The first of several reasons."""

    def why_not(s: Situation) -> str | None:
        return next((found for reason in reasons if (found := reason(s)) is not None), None)

    return why_not


def possible(_: Situation) -> str | None:
    """Always."""
    return None


# -- the plan ------------------------------------------------------------------------------------------------------


def no_card(s: Situation) -> str | None:
    return None if s.on_card else "no device has the keyboard: {back} goes to the devices"


def no_model(s: Situation) -> str | None:
    return None if s.model else "no model is chosen: {model.choose} chooses one"


def no_experts(s: Situation) -> str | None:
    if s.selected_is_host:
        return "what the CPU computes lies in this machine's memory anyway: select a device"
    return None if s.experts else "this model has no experts or FFN that could lie apart from their blocks"


def locked(s: Situation) -> str | None:
    return f"{s.selected_name} is locked: {{plan.lock}} unlocks it" if s.selected_locked else None


def host_has_no_lock(s: Situation) -> str | None:
    return "the CPU takes what no device holds: it cannot be locked" if s.selected_is_host else None


def host_has_no_place(s: Situation) -> str | None:
    return "the CPU has no place in the order of devices: it takes the first layers" if s.selected_is_host else None


def is_first(s: Situation) -> str | None:
    return None if s.selected_place > 0 else f"{s.selected_name} is the first device already"


def is_last(s: Situation) -> str | None:
    last = s.selected_place >= s.devices - 1
    return f"{s.selected_name} is the last device already: it carries the output layer" if last else None


def nothing_undone(s: Situation) -> str | None:
    return None if s.undo else "nothing to undo: the plan is as it was at the beginning"


def nothing_redone(s: Situation) -> str | None:
    return None if s.redo else "nothing to redo: no change of the plan was taken back"


# -- the cluster ---------------------------------------------------------------------------------------------------


def refused(s: Situation) -> str | None:
    return s.refusal or None


def owned_already(s: Situation) -> str | None:
    return None if s.refusal else "this hettui owns the cluster"


def nothing_to_start(s: Situation) -> str | None:
    """Neither a model nor binaries."""
    return no_model(s) or s.problem or None


def on_the_way(s: Situation) -> str | None:
    if s.state is ClusterState.STOPPING:
        return "the cluster is stopping: wait for its end"
    return f"{s.state.said}: {{cluster.stop}} stops it" if s.state.busy else None


def runs_already(s: Situation) -> str | None:
    if s.state is not ClusterState.READY:
        return None
    return "it runs already: {cluster.apply} applies the changed plan" if s.differs else "this plan runs already"


def does_not_fit(s: Situation) -> str | None:
    if not s.shortage:
        return None
    return f"it does not fit: {s.shortage}. Move layers away, or take a smaller context (ctrl+p, Force: all the same)"


def nothing_to_apply(s: Situation) -> str | None:
    if s.state is not ClusterState.READY:
        return "nothing runs that the plan could be applied to: {cluster.start} starts it"
    return None if s.differs else "the plan is what runs: there is nothing to apply"


def one_device(s: Situation) -> str | None:
    return None if s.devices > 1 else "there is only one device: nothing to split"


def nothing_to_stop(s: Situation) -> str | None:
    if s.state is ClusterState.STOPPING and not s.can_cut:
        return "the cluster is stopping already: wait for its end"
    idle = s.state in (ClusterState.DOWN, ClusterState.LOOKING) or (s.state is ClusterState.FAILED and not s.processes)
    return "nothing runs: there is nothing to stop" if idle else None


def model_in_use(s: Situation) -> str | None:
    used = s.state.busy or s.state is ClusterState.READY
    return "another model means a new start: {cluster.stop} stops the cluster first" if used else None


def nothing_ended(s: Situation) -> str | None:
    return None if s.post_mortem else "no process has ended by itself: there is nothing to tell"


def no_commands(s: Situation) -> str | None:
    reason = nothing_to_start(s)
    return f"there are no command lines yet: {reason}" if reason else None


# -- panes ---------------------------------------------------------------------------------------------------------


def recorded_readings(s: Situation) -> str | None:
    return "a recording: its readings come as they were taken" if s.recording else None


def another_machine(s: Situation) -> str | None:
    return "a recording: the machine that it tells of cannot be looked at" if s.recording else None


def most_often(s: Situation) -> str | None:
    return "the sensors are asked as often as can be" if s.fastest else None


def most_seldom(s: Situation) -> str | None:
    return "the sensors are asked as seldom as can be" if s.slowest else None


def nothing_to_filter(s: Situation) -> str | None:
    here = s.on_card or s.pane == LOGS
    return None if here else "nothing to filter here: it works on the devices, in the logs ({pane.logs}) and in help"


def one_process(s: Situation) -> str | None:
    return None if s.processes_logged > 1 else "fewer than two processes have printed anything: all of it is shown"


def chat_closed(s: Situation) -> str | None:
    return s.no_chat or None


def chat_busy(s: Situation) -> str | None:
    return "an answer is still being written: esc stops it" if s.chat_busy else None


def nothing_asked(s: Situation) -> str | None:
    return None if s.asked else "nothing was asked yet: type a question first"


def nothing_answered(s: Situation) -> str | None:
    return None if s.answered else "there is no answer to copy yet"


def no_conversations(s: Situation) -> str | None:
    return None if s.conversations else "there is no other conversation with this model yet"


def recorded_chat(s: Situation) -> str | None:
    return s.refusal or "a recording: nothing can be asked" if s.recording else None


def bench_busy(s: Situation) -> str | None:
    return "a bench is running: esc stops it, and what it has measured is kept" if s.bench_busy else None


def nothing_measured(s: Situation) -> str | None:
    return None if s.measured else "nothing was measured yet: {bench.run} in this pane measures what runs"
