"""Watches launches and keeps what they reserved."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from hettui.domain.cluster.snapshot import Applied, ClusterState
from hettui.domain.plan.plan import Plan
from hettui.domain.planner.learned import FEWEST_TOKENS, Learned, launch_key
from hettui.domain.session.session import Session
from hettui.services.events import ChatEnded, ClusterChanged, Event, TelemetryUpdated


class Learner:
    """An engine's subscriber. `expect` says what is launched next; `save` is called on a thread of its own."""

    def __init__(self, save: Callable[[Learned], None]) -> None:
        self._save = save
        self._saver = ThreadPoolExecutor(1, thread_name_prefix="learner")
        self._expected: tuple[Session, str] | None = None
        self._applied: Applied | None = None

    def expect(self, session: Session, plan: Plan) -> None:
        """This plan is about to be launched."""
        workload = session.workload_of(plan)
        if workload is not None:
            self._expected = session, launch_key(workload, plan.devices, plan.split)

    def __call__(self, event: Event) -> None:
        if self._expected is None:
            return
        session, key = self._expected
        learned, new = session.learned, False
        if isinstance(event, ClusterChanged):
            snapshot = event.snapshot
            ready = snapshot.state is ClusterState.READY
            self._applied = applied = snapshot.applied if ready else None
            if applied is not None:
                names = [applied.devices[i].name for i in applied.split.active]
                new = learned.add_launch(key, applied.measured, names)
        elif isinstance(event, TelemetryUpdated) and self._applied is not None:
            for device in self._applied.devices:
                sample = event.snapshot.samples.get(device.name)
                buffers = self._applied.measured.get(device.name)
                if sample is not None and sample.own_bytes is not None and buffers is not None:
                    new |= learned.add_overhead(device, sample.own_bytes, buffers)
        elif isinstance(event, ChatEnded) and self._applied is not None and session.shape is not None:
            timings = event.timings
            if timings and (timings.generated_tokens or 0) >= FEWEST_TOKENS and timings.generated_per_second:
                applied, token_s = self._applied, 1 / timings.generated_per_second
                new = learned.add_speed(session.shape, applied.devices, applied.split, token_s)
        if new:
            self._saver.submit(self._save, learned)

    def close(self) -> None:
        """Returns when everything is saved."""
        self._saver.shutdown(wait=True)
