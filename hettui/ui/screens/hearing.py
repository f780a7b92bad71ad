"""What the engine tells a screen, as it arrives: into what is known, and to whoever shows it."""

from __future__ import annotations

from textual import on

from hettui.domain.cluster.snapshot import ClusterSnapshot
from hettui.domain.screen.keymap import Keymap
from hettui.ui import messages
from hettui.ui.presenting import presenter
from hettui.ui.presenting.facts import Facts
from hettui.ui.presenting.known import Known
from hettui.ui.screens.body import Body
from hettui.ui.screens.operating import Operating
from hettui.ui.screens.tuning import TuneSearch
from hettui.ui.terminal.slow_line import CalmScreen


class Hearing(CalmScreen[None]):
    """The half of the main screen that listens; the other half draws and takes keys."""

    known: Known
    body: Body
    keymap: Keymap
    operating: Operating
    tuning: TuneSearch

    @property
    def facts(self) -> Facts:
        """What the screen knows now."""
        raise NotImplementedError

    @property
    def refusal(self) -> str:
        """Why nothing may be started, stopped or changed here; empty: it may."""
        raise NotImplementedError

    def say(self, text: str, severity: str = "information") -> None:
        raise NotImplementedError

    def draw(self) -> None:
        raise NotImplementedError

    def _draw_panes(self) -> None:
        raise NotImplementedError

    def _pace_sensors(self) -> None:
        raise NotImplementedError

    @on(messages.OwnerGone)
    def _owner_gone(self, message: messages.OwnerGone) -> None:
        self.operating.offer_ownership(runs=message.runs)

    @on(messages.ClusterArrived)
    def _cluster_arrived(self, message: messages.ClusterArrived) -> None:
        self.take_cluster(message.snapshot)

    def take_cluster(self, snapshot: ClusterSnapshot) -> None:
        """What the cluster does now."""
        moved = self.known.take_cluster(snapshot)
        reason = presenter.why_no_chat(snapshot, closed=bool(self.refusal))
        why_not = None if reason is None else self.keymap.fill(reason)
        self.body.chat.allow(why_not, sees=snapshot.sees_pictures)
        self.body.bench.allow(snapshot, why_not)
        if moved:
            self.refresh_bindings()
            self.operating.close_what_is_over()
        self.draw()
        self.operating.leave_or_tell()

    @on(messages.SlotsArrived)
    def _slots_arrived(self, message: messages.SlotsArrived) -> None:
        self.known.slots = message.slots
        self.body.draw_plan_line(self.facts)
        self._draw_panes()

    @on(messages.LogsArrived)
    def _logs_arrived(self, message: messages.LogsArrived) -> None:
        self.body.logs.add(message.process, message.lines)

    @on(messages.NoticeArrived)
    def _notice_arrived(self, message: messages.NoticeArrived) -> None:
        if not (message.severity == "error" and self.operating.post_mortem_is_open):
            self.say(message.text, message.severity)
        if message.alert and self.known.session.config.bell:
            self.app.bell()

    @on(messages.TelemetryArrived)
    def _telemetry_arrived(self, message: messages.TelemetryArrived) -> None:
        self.known.take_readings(message.snapshot)
        before = self.body.devices.short
        self.body.draw_cards(self.facts, self.known.shown.place)
        if self.body.devices.short != before:
            # A launch has taught a device's overhead, and with it what fits: not the cards' matter alone.
            self.draw()

    @on(messages.ChatArrived)
    def _chat_arrived(self, message: messages.ChatArrived) -> None:
        self.body.chat.take(message.event)
        changed = self.known.take_chat(message.event)
        self.body.draw_header(self.facts)
        if changed:
            # What can be done with an answer depends on it.
            self.refresh_bindings()
            self._pace_sensors()

    @on(messages.TuneArrived)
    def _tune_arrived(self, message: messages.TuneArrived) -> None:
        self.tuning.take(message.event)

    @on(messages.BenchArrived)
    def _bench_arrived(self, message: messages.BenchArrived) -> None:
        self.body.bench.take(message.event)
