"""The main screen on a recording: the same widgets and handlers, with the keys of time."""

from __future__ import annotations

from dataclasses import replace

from textual import on
from textual.binding import Binding

from hettui.domain.plan.plan import Plan
from hettui.domain.screen.actions import ACTIONS, Action
from hettui.domain.screen.panes import BENCH, CHAT, DEVICES, LOGS
from hettui.domain.screen.situation import Situation
from hettui.domain.session.session import Session
from hettui.services.backend import Backend
from hettui.services.events import (
    ChatEnded,
    ChatProgressed,
    ClusterChanged,
    LogLines,
    PlaybackMoved,
    Recorded,
    TelemetryUpdated,
)
from hettui.services.recording.replay import Player
from hettui.ui import keys
from hettui.ui.messages import (
    ChatArrived,
    ClusterArrived,
    LogsArrived,
    PlaybackArrived,
    RewoundArrived,
    TelemetryArrived,
)
from hettui.ui.screens.main import MainScreen

_NOT_HERE = ("cluster.start_anyway", "cluster.apply_anyway", f"pane.{BENCH}")
NOT_RECORDED = "(what was asked and answered is not recorded)"


def mark(moved: PlaybackMoved) -> str:
    """`REPLAY 01:23 / 05:00 ▶ 1×`"""
    return (
        f"REPLAY {_clock(moved.position_s)} / {_clock(moved.length_s)} {'▶' if moved.playing else '⏸'} {moved.speed:g}×"
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes:02}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


class ReplayScreen(MainScreen):
    """Sliders may be moved, to see what else would have fitted. Until then the plan is what ran."""

    def __init__(self, backend: Backend, session: Session, player: Player) -> None:
        super().__init__(backend, session, lambda: mark(player.moved))
        self._player = player
        self._followed = self.known.plan
        """The plan as long as nobody has moved a slider."""
        self._drawing = True

    def on_mount(self) -> None:
        self.body.chat.close_for("a recording: nothing can be asked")

    def draw(self) -> None:
        if self._drawing:
            super().draw()

    # -- events --------------------------------------------------------------------------------------------

    @on(PlaybackArrived)
    def _playback_arrived(self) -> None:
        self.body.draw_header(self.facts)

    @on(RewoundArrived)
    def _rewound_arrived(self, message: RewoundArrived) -> None:
        """Everything that events have left behind is dropped and gathered again, without a picture in between."""
        rewound = message.rewound
        self.known.forget()
        self.body.logs.clear()
        self.body.chat.empty()
        self._open_recorded(rewound.session)
        self._drawing = False
        try:
            for event in rewound.events:
                self._take(event)
        finally:
            self._drawing = True
        self.draw()
        self.refresh_bindings()

    def _open_recorded(self, session: Session) -> None:
        """The session of that moment, and its plan unless the user has made another one."""
        other = session.shape is not self.known.session.shape
        self.known.session = session
        plan = session.initial_plan
        if plan is not None and (other or self.known.plan is self._followed):
            self._follow(plan)
        if other:
            self.known.editor = self.known.editor.with_other_model(self.known.plan)

    def _follow(self, plan: Plan) -> None:
        self._followed = plan
        self.known.editor = self.known.editor.with_plan(plan)

    def _take(self, event: Recorded) -> None:
        match event:
            case ClusterChanged(snapshot):
                cluster = ClusterArrived(snapshot)
                self._plan_runs(cluster)
                self._cluster_arrived(cluster)
            case TelemetryUpdated(snapshot):
                self._telemetry_arrived(TelemetryArrived(snapshot))
            case LogLines(process, lines):
                self._logs_arrived(LogsArrived(process, lines))
            case ChatProgressed() | ChatEnded():
                chat = ChatArrived(event)
                self._answer_begins(chat)
                self._chat_arrived(chat)

    @on(ClusterArrived)
    def _plan_runs(self, message: ClusterArrived) -> None:
        """Before the main screen's own handler: who recorded this had moved sliders, which is no event."""
        applied = message.snapshot.applied
        if applied is None or self.known.plan is not self._followed:
            return
        configured = self.known.session.config.params.ctx_size
        ctx_size = applied.ctx_size if applied.ctx_size not in (None, configured) else None
        plan = Plan(applied.devices, applied.split, ctx_size)
        if plan != self.known.plan:
            self._follow(plan)

    @on(ChatArrived)
    def _answer_begins(self, message: ChatArrived) -> None:
        """Before the main screen's own handler."""
        if not self.body.chat.busy:
            self.body.chat.begin(NOT_RECORDED)

    # -- keys ----------------------------------------------------------------------------------------------

    def own_bindings(self) -> list[Binding]:
        return keys.replay_bindings(self.keymap)

    @property
    def refusal(self) -> str:
        return self._player.refusal

    @property
    def situation(self) -> Situation:
        return replace(super().situation, recording=True)

    def offered(self) -> list[Action]:
        """Also without what the keys of time have taken the place of."""
        time = [a for a in ACTIONS if a.place == "recording"]
        taken = {key for action in time for key in self.keymap.keys(action.id)}
        return time + [
            a
            for a in super().offered()
            if a.place not in (CHAT, BENCH) and a.id not in _NOT_HERE and not taken.issuperset(self.keymap.keys(a.id))
        ]

    def show_pane(self, pane: str) -> None:
        super().show_pane(pane)
        if pane == CHAT:
            # There is nothing to type into.
            self.set_focus(None)

    def action_back(self) -> None:
        """Does not stop an answer: it was given long ago."""
        if self.known.editor.typed or self.known.editor.finding is not None or self.front == LOGS:
            super().action_back()
        else:
            self.show_pane(DEVICES)

    def action_playback(self) -> None:
        self._player.toggle()

    def action_seek(self, by_s: float) -> None:
        self._player.seek(by_s)

    def action_seek_to(self, end: bool) -> None:
        self._player.go(self._player.moved.length_s if end else 0.0)

    def action_speed(self, steps: int) -> None:
        self._player.change_speed(steps)

    def action_quit(self) -> None:
        self.app.exit()
