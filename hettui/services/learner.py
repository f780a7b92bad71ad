"""Watches launches and keeps what they reserved, and how fast their answers came."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from hettui.domain.cluster.snapshot import Applied, ClusterSnapshot, ClusterState
from hettui.domain.memory.workload import Workload
from hettui.domain.planner.learned import FEWEST_TOKENS, Learned, launch_key
from hettui.domain.session.session import Session
from hettui.domain.speed.shares import Decode
from hettui.domain.telemetry.readings import TelemetrySnapshot
from hettui.services.events import ChatEnded, ClusterChanged, Event, TelemetryUpdated


class Learner:
    """An engine's subscriber. `expect` says what may run from now on; what is learned belongs to what does run.

    Between the two lies everything that can happen to a command: it waits, it fails and what ran before comes back,
    another one takes its place. `save` is called on a thread of its own.
    """

    def __init__(self, save: Callable[[Learned], None]) -> None:
        self._save = save
        self._saver = ThreadPoolExecutor(1, thread_name_prefix="learner")
        self._expected: Session | None = None
        self._ran: Session | None = None
        """The session of what was ready last: a failed command leads back to it."""
        self._applied: Applied | None = None
        """What is ready now."""

    def expect(self, session: Session) -> None:
        """A plan of this session is about to be launched."""
        self._expected = session

    def __call__(self, event: Event) -> None:
        if isinstance(event, ClusterChanged):
            self._look(event.snapshot)
        session, applied = self._ran, self._applied
        if session is None or applied is None:
            return
        new = False
        if isinstance(event, ClusterChanged):
            new = _launched(session, applied)
        elif isinstance(event, TelemetryUpdated):
            new = _weighed(session.learned, applied, event.snapshot)
        elif isinstance(event, ChatEnded):
            new = _answered(session, applied, event)
        if new:
            self._saver.submit(self._save, session.learned)

    def close(self) -> None:
        """Returns when everything is saved."""
        self._saver.shutdown(wait=True)

    def _look(self, snapshot: ClusterSnapshot) -> None:
        """What is ready, and of which session it is. Nobody's: an earlier hettui's, with a model not known here."""
        self._applied = snapshot.applied if snapshot.state is ClusterState.READY else None
        if self._applied is not None:
            known = (self._expected, self._ran)
            self._ran = next((s for s in known if s is not None and _runs(s, self._applied)), None)


def _runs(session: Session, applied: Applied) -> bool:
    return session.cluster is not None and session.cluster.model_path == applied.model_path


def _launched(session: Session, applied: Applied) -> bool:
    """Keeps the buffers under the key of what runs. Whether that was new."""
    if session.shape is None or applied.params is None or applied.build is None:
        return False
    key = launch_key(Workload(session.shape, applied.params, applied.build), applied.devices, applied.split)
    names = [applied.devices[i].name for i in applied.split.active]
    return session.learned.add_launch(key, applied.measured, names)


def _weighed(learned: Learned, applied: Applied, readings: TelemetrySnapshot) -> bool:
    """Keeps what the cards' drivers take beside the buffers. Whether that was new."""
    new = False
    for device in applied.devices:
        sample, buffers = readings.samples.get(device.name), applied.measured.get(device.name)
        if sample is not None and sample.own_bytes is not None and buffers is not None:
            new |= learned.add_overhead(device, sample.own_bytes, buffers)
    return new


def _answered(session: Session, applied: Applied, answer: ChatEnded) -> bool:
    """Keeps how fast an answer came. Whether that was new."""
    timings = answer.timings
    if session.shape is None or timings is None or not timings.generated_per_second:
        return False
    if (timings.generated_tokens or 0) < FEWEST_TOKENS:
        return False
    token_s = 1 / timings.generated_per_second
    return session.learned.add_decode(session.shape, applied.devices, applied.split, Decode(token_s))
