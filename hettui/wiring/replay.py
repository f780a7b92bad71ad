"""Recordings: what is behind the screen while one is written, and when one is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from hettui.adapters.files.recording_file import RecordingFile, recorded_lines
from hettui.domain.bench.run import BenchOutcome, BenchRun
from hettui.domain.cluster.snapshot import ClusterSnapshot
from hettui.domain.doctor.finding import Finding
from hettui.domain.errors import HettuiError, UsageError
from hettui.domain.library.places import Completion
from hettui.domain.plan.plan import Plan
from hettui.domain.recording.format import Recording
from hettui.domain.screen.panes import PanesState
from hettui.domain.session.session import Session
from hettui.services.backend import Backend, EngineFacade
from hettui.services.chat.keeper import ChatKeeper, Unkept
from hettui.services.cluster.world import Request
from hettui.services.engine import Engine
from hettui.services.host_desk import HostDesk
from hettui.services.library.search import ModelSearch, PathCompleter
from hettui.services.model_desk import ModelDesk
from hettui.services.recording.recorder import Recorder
from hettui.services.recording.replay import ReplayEngine, read_recording
from hettui.services.tuning import TuneJob
from hettui.wiring.engine import SystemClock


@contextmanager
def recorder_to(path: str | None, engine: Engine) -> Iterator[Recorder | None]:
    """A recorder that listens to the engine; None without a path. Raises UsageError for a file that is in the way."""
    if path is None:
        yield None
        return
    sink = RecordingFile(path)
    started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with closing(Recorder(sink, SystemClock(), started, str(Path.home()), engine.publish)) as recorder:
        engine.subscribe(recorder)
        yield recorder


class RecordedBackend:
    """Implements Backend: another one's, whose sessions and keys a recorder is told."""

    def __init__(self, backend: Backend, recorder: Recorder) -> None:
        self._backend = backend
        self._recorder = recorder

    @property
    def hosts(self) -> HostDesk:
        return self._backend.hosts

    @property
    def model_desk(self) -> ModelDesk:
        return self._backend.model_desk

    def editor(self) -> Callable[[str], str]:
        return self._backend.editor()

    @property
    def engine(self) -> EngineFacade:
        return self._backend.engine

    @property
    def chats(self) -> ChatKeeper:
        return self._backend.chats

    def preflight(self, session: Session) -> str:
        return self._backend.preflight(session)

    def examine(self, session: Session) -> list[Finding]:
        return self._backend.examine(session)

    @property
    def read_only(self) -> str | None:
        return self._backend.read_only

    def begin(self) -> None:
        self._backend.begin()

    def look(self, session: Session) -> Session:
        return self._backend.look(session)

    def own(self) -> str | None:
        return self._backend.own()

    def leave_running(self) -> None:
        self._backend.leave_running()

    def open(self) -> Session:
        session = self._backend.open()
        self._recorder.begin(session)
        return session

    def with_model(self, session: Session, path: str) -> Session:
        other = self._backend.with_model(session, path)
        self._recorder.begin(other)
        return other

    def with_draft(self, session: Session, plan: Plan, path: str | None) -> Session:
        other = self._backend.with_draft(session, plan, path)
        self._recorder.begin(other)
        return other

    def find_models(self, session: Session, changed: Callable[[], None]) -> ModelSearch:
        return self._backend.find_models(session, changed)

    def path_completer(self, tell: Callable[[str, Completion], None]) -> PathCompleter:
        return self._backend.path_completer(tell)

    def first_run(self, session: Session) -> bool:
        return self._backend.first_run(session)

    def write_config(self, session: Session) -> Session:
        return self._backend.write_config(session)

    def request(self, session: Session, plan: Plan, *, force: bool = False) -> Request:
        request = self._backend.request(session, plan, force=force)
        self._recorder.hide(request.api_key)
        return request

    def tune_job(self, session: Session, plan: Plan) -> TuneJob:
        job = self._backend.tune_job(session, plan)

        def request(wanted: Plan) -> Request:
            made = job.request(wanted)
            self._recorder.hide(made.api_key)
            return made

        return replace(job, request=request)

    def save(self, session: Session, plan: Plan) -> str | None:
        return self._backend.save(session, plan)

    def keep_theme(self, session: Session, name: str) -> str | None:
        return self._backend.keep_theme(session, name)

    def bench_runs(self, session: Session) -> list[BenchRun]:
        return self._backend.bench_runs(session)

    def keep_bench(self, session: Session, measured: ClusterSnapshot, outcome: BenchOutcome) -> BenchRun:
        return self._backend.keep_bench(session, measured, outcome)

    @property
    def panes(self) -> PanesState:
        return self._backend.panes

    def keep_panes(self, state: PanesState) -> None:
        self._backend.keep_panes(state)


class ReplayBackend:
    """Implements Backend on a recording."""

    read_only: str | None = None
    """Its screen says by itself that it is a recording."""

    def __init__(self, engine: ReplayEngine) -> None:
        self.engine = engine
        self.chats = ChatKeeper(Unkept())
        self.panes = PanesState()

    def begin(self) -> None:
        """There is nothing to take over."""

    def look(self, session: Session) -> Session:
        return session

    def own(self) -> str | None:
        return self.engine.refusal

    def leave_running(self) -> None:
        """There is nothing that runs."""

    def open(self) -> Session:
        return self.engine.session

    def with_model(self, session: Session, path: str) -> Session:
        raise HettuiError(self.engine.refusal)

    def with_draft(self, session: Session, plan: Plan, path: str | None) -> Session:
        raise HettuiError(self.engine.refusal)

    def find_models(self, session: Session, changed: Callable[[], None]) -> ModelSearch:
        raise HettuiError(self.engine.refusal)

    def preflight(self, session: Session) -> str:
        return ""

    def examine(self, session: Session) -> list[Finding]:
        raise HettuiError(self.engine.refusal)

    def path_completer(self, tell: Callable[[str, Completion], None]) -> PathCompleter:
        raise HettuiError(self.engine.refusal)

    @property
    def hosts(self) -> HostDesk:
        raise HettuiError(self.engine.refusal)

    @property
    def model_desk(self) -> ModelDesk:
        raise HettuiError(self.engine.refusal)

    def editor(self) -> Callable[[str], str]:
        raise UsageError(self.engine.refusal)

    def first_run(self, session: Session) -> bool:
        return False

    def write_config(self, session: Session) -> Session:
        raise HettuiError(self.engine.refusal)

    def request(self, session: Session, plan: Plan, *, force: bool = False) -> Request:
        raise HettuiError(self.engine.refusal)

    def tune_job(self, session: Session, plan: Plan) -> TuneJob:
        raise HettuiError(self.engine.refusal)

    def save(self, session: Session, plan: Plan) -> str | None:
        return None

    def keep_panes(self, state: PanesState) -> None:
        """The next recording begins as usual."""

    def keep_theme(self, session: Session, name: str) -> str | None:
        return None

    def bench_runs(self, session: Session) -> list[BenchRun]:
        return []

    def keep_bench(self, session: Session, measured: ClusterSnapshot, outcome: BenchOutcome) -> BenchRun:
        raise HettuiError(self.engine.refusal)


def open_recording(path: str) -> Recording:
    """Raises RecordingError with file, line and what is wrong."""
    return read_recording(recorded_lines(path), path)
