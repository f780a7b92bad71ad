"""Watches launches and keeps what they reserved, and how fast each device did its part of an answer."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field, replace

from hettui.domain.bench.rates import rates_of
from hettui.domain.cluster.answers import AnswerLog, Decoded
from hettui.domain.cluster.snapshot import Applied, ClusterSnapshot, ClusterState
from hettui.domain.devices.device import Device
from hettui.domain.llama.beside import changes_speed, mark
from hettui.domain.memory.context import context_bytes_per_block, context_size
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.plan import Plan
from hettui.domain.planner.learned import FEWEST_TOKENS, Learned, launch_key
from hettui.domain.records import dataclass
from hettui.domain.session.session import Session
from hettui.domain.speed.learning import speed_key
from hettui.domain.speed.shares import Decode
from hettui.domain.telemetry.busy import Answer, decode_of, has_ended
from hettui.domain.telemetry.readings import TelemetrySnapshot
from hettui.services.events import BenchEnded, ChatEnded, ClusterChanged, Event, LogLines, TelemetryUpdated, TuneChanged

_REMEMBERED_S = 600.0
"""How far back readings are kept: of an answer that takes longer its last part counts."""
_MASTER = "master"
_CALM_ROUNDS = 2
"""So many readings in a row must say that what slowed a card down is over."""


@dataclass(frozen=True, slots=True)
class Times:
    """What time it is, and what this machine gives a CPU worker for which nobody says how many threads."""

    monotonic: Callable[[], float] = time.monotonic
    unix: Callable[[], float] = time.time
    cpu_threads: int | None = None


@dataclass
class _Watched:
    """The run of one master."""

    answers: AnswerLog = field(default_factory=AnswerLog)
    readings: deque[TelemetrySnapshot] = field(default_factory=deque)


class Learner:
    """An engine's subscriber. `expect` says what may run from now on; what is learned belongs to what does run.

    Between the two lies everything that can happen to a command: it waits, it fails and what ran before comes back,
    another one takes its place. `save` is called on a thread of its own.
    """

    def __init__(self, save: Callable[[Learned], None], times: Times | None = None) -> None:
        self._save = save
        self._times = times or Times()
        self._saver = ThreadPoolExecutor(1, thread_name_prefix="learner")
        self._expected: Session | None = None
        self._ran: Session | None = None
        """The session of what was ready last: a failed command leads back to it."""
        self._applied: Applied | None = None
        """What is ready now."""
        self._master: int | None = None
        self._watched = _Watched()
        self._calm: dict[str, int] = {}
        """By name of a device that was slower than it is: readings in a row that say it is not any more."""

    def expect(self, session: Session) -> None:
        """A plan of this session is about to be launched."""
        self._expected = session

    def __call__(self, event: Event) -> None:
        new = False
        if isinstance(event, ClusterChanged):
            self._look(event.snapshot)
        elif isinstance(event, TelemetryUpdated):
            self._remember(event.snapshot)
            self._forgive(event.snapshot)
        elif isinstance(event, BenchEnded | TuneChanged):
            new = self._measured(event)
        elif isinstance(event, LogLines) and event.process == _MASTER:
            for line in event.lines:
                answered = self._watched.answers.feed(line, self._times.monotonic())
                new = (answered is not None and self._decoded(answered)) or new
        session, applied = self._ran, self._applied
        if session is None:
            return
        if applied is not None and isinstance(event, ClusterChanged):
            new = _launched(session, applied)
        elif applied is not None and isinstance(event, TelemetryUpdated):
            new = _weighed(session.learned, applied, event.snapshot)
        elif applied is not None and isinstance(event, ChatEnded) and not self._watched.answers.heard:
            new = self._answered(session, applied, event)
        if new:
            self._saver.submit(self._save, session.learned)

    def close(self) -> None:
        """Returns when everything is saved."""
        self._saver.shutdown(wait=True)

    def _look(self, snapshot: ClusterSnapshot) -> None:
        """What is ready, and of which session it is. Nobody's: an earlier hettui's, with a model not known here."""
        master = next((p.pid for p in snapshot.processes if p.role == "master"), None)
        if master != self._master:
            self._master, self._watched = master, _Watched()
        self._applied = snapshot.applied if snapshot.state is ClusterState.READY else None
        if self._applied is not None:
            known = (self._expected, self._ran)
            self._ran = next((s for s in known if s is not None and _runs(s, self._applied)), None)

    def _remember(self, snapshot: TelemetrySnapshot) -> None:
        readings = self._watched.readings
        readings.append(snapshot)
        while readings[0].monotonic_s < snapshot.monotonic_s - _REMEMBERED_S:
            readings.popleft()

    def _decoded(self, answered: Decoded) -> bool:
        """An answer of whatever client, told by the server's log. Whether something was learned from it."""
        session, applied = self._ran, self._applied
        if session is None or applied is None or answered.tokens < FEWEST_TOKENS:
            return False
        answer = Answer(answered.end_s - answered.generated_s, answered.end_s, answered.token_s)
        devices, threads, now_s = applied.devices, self._times.cpu_threads, self._times.unix()
        decode = decode_of(answer, self._watched.readings, devices, applied.split, threads, now_s)
        if decode is None:
            return False
        return _taught(session, applied, replace(decode, context_gb=_context_gb(session, applied, answered.depth)))

    def _measured(self, event: BenchEnded | TuneChanged) -> bool:
        """What a bench of what runs, or a trial, says of prompts and of several streams. Whether something was kept."""
        session, applied = self._ran, self._applied
        if session is None or session.workload is None or applied is None or applied.params is None:
            return False
        workload, plan = session.workload.having(applied.params), Plan(applied.devices, applied.split)
        # All of them, also behind the first that is new.
        return sum(session.learned.add_rate(workload, plan, what, rate) for what, rate in _rates(event)) > 0

    def _answered(self, session: Session, applied: Applied, answer: ChatEnded) -> bool:
        """Of a server whose log tells nothing only the sum is known. Whether something was learned from it."""
        timings = answer.timings
        if timings is None or not timings.generated_per_second or (timings.generated_tokens or 0) < FEWEST_TOKENS:
            return False
        decode = Decode(1 / timings.generated_per_second, at_unix_s=self._times.unix())
        return timings.drafted_tokens is None and _taught(session, applied, decode)

    def _forgive(self, snapshot: TelemetrySnapshot) -> None:
        """Drops what slowed a card down once the readings say that it is over."""
        session = self._ran or self._expected
        if session is None or not session.learned.now:
            return
        devices: dict[str, Device] = {d.name: d for d in session.devices}
        for name, device in devices.items():
            now, sample = session.learned.now.get(speed_key(device)), snapshot.samples.get(name)
            if now is None or sample is None:
                continue
            self._calm[name] = self._calm.get(name, 0) + 1 if has_ended(now.why, sample) else 0
            if self._calm[name] >= _CALM_ROUNDS:
                session.learned.forgive(device)
                del self._calm[name]


def _rates(event: BenchEnded | TuneChanged) -> list[tuple[str, float]]:
    if isinstance(event, BenchEnded):
        return rates_of(event.outcome.results)
    tuning = event.progress.tuning
    fresh = event.progress.now == "measured" and bool(tuning.trials) and bool(tuning.measures)
    return [(tuning.measures, tuning.trials[-1].rate.mean)] if fresh else []


def _context_gb(session: Session, applied: Applied, depth: float) -> dict[int, float]:
    """By device: what a token reads of the KV cache when so many tokens are in it."""
    workload, params = session.workload, applied.params
    if workload is None or params is None:
        return {}
    kept = context_bytes_per_block(workload.having(params))
    part = min(1.0, depth / max(context_size(workload.having(params)), 1)) / 1e9
    ranges = {i: applied.split.block_range(i) for i in applied.split.active}
    return {i: part * sum(kept[block] for block in blocks) for i, blocks in ranges.items()}


def _taught(session: Session, applied: Applied, decode: Decode) -> bool:
    """Of experts and layers that the host computes between the devices only the host's pace is learned; and nothing is
    where another model speaks, too, where cards compute at once, or where it is not known what was said to the
    server."""
    params = applied.params
    apart = params is not None and (params.lora or params.draft is not None or params.shares_tensors)
    if session.shape is None or apart:
        return False
    said = _said(session)
    if changes_speed(said) or applied.beside not in (None, mark(said)):
        return False
    if params is not None and (params.overrides or applied.split.host_layers):
        if applied.build is None:
            return False
        workload = Workload(session.shape, params, applied.build, said)
        return session.learned.add_host(workload, applied.devices, applied.split, decode.token_s)
    return session.learned.add_decode(session.shape, applied.devices, applied.split, decode)


def _said(session: Session) -> tuple[str, ...]:
    """To llama-server, besides the settings."""
    return () if session.cluster is None else session.cluster.serving.extra_args


def _runs(session: Session, applied: Applied) -> bool:
    return session.cluster is not None and session.cluster.model_path == applied.model_path


def _launched(session: Session, applied: Applied) -> bool:
    """Keeps the buffers under the key of what runs. Whether that was new."""
    if session.shape is None or applied.params is None or applied.build is None:
        return False
    said = _said(session)
    if applied.beside not in (None, mark(said)):
        return False
    workload = Workload(session.shape, applied.params, applied.build, said, session.draft, session.companions)
    key = launch_key(workload, applied.devices, applied.split)
    names = [applied.devices[i].name for i in applied.split.active]
    return session.learned.add_launch(key, applied.measured, names)


def _weighed(learned: Learned, applied: Applied, readings: TelemetrySnapshot) -> bool:
    """Keeps what the cards' drivers take beside the buffers. Whether that was new. Of what lies beside a model no line
    of the log tells: then nobody knows whose the rest is."""
    new, params = False, applied.params
    if params is not None and (params.mmproj or params.lora or params.control_vector):
        return False
    for device in applied.devices:
        sample, buffers = readings.samples.get(device.name), applied.measured.get(device.name)
        if sample is not None and sample.own_bytes is not None and buffers is not None:
            new |= learned.add_overhead(device, sample.own_bytes, buffers)
    return new
