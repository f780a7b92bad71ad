"""What a screen needs from behind it: the engine, and the few things that touch files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Protocol

from hettui.domain.bench.run import BenchOutcome, BenchPlan, BenchRun
from hettui.domain.chat.wire import ChatTurn
from hettui.domain.cluster.snapshot import ClusterSnapshot
from hettui.domain.devices.device import Device
from hettui.domain.doctor.finding import Finding
from hettui.domain.library.places import Completion
from hettui.domain.plan.plan import Plan
from hettui.domain.screen.panes import PanesState
from hettui.domain.session.session import Session
from hettui.services.chat.keeper import ChatKeeper
from hettui.services.cluster.world import Request
from hettui.services.events import Event
from hettui.services.host_desk import HostDesk

if TYPE_CHECKING:
    from hettui.services.library.search import ModelSearch, PathCompleter
    from hettui.services.model_desk import ModelDesk
    from hettui.services.tuning import TuneJob


class EngineFacade(Protocol):
    """The engine as screens see it. Every method returns at once."""

    @property
    def snapshot(self) -> ClusterSnapshot: ...

    def subscribe(self, callback: Callable[[Event], None]) -> None: ...

    def unsubscribe(self, callback: Callable[[Event], None]) -> None: ...

    def watch(self, devices: tuple[Device, ...]) -> None: ...

    def sample_every(self, interval_s: float) -> None: ...

    def start(self, request: Request) -> Future[None]: ...

    def stop(self, patience_s: float = 0.0) -> Future[None]: ...

    def busy(self) -> Future[int]: ...

    def chat(self, turns: Sequence[ChatTurn], options: dict[str, object] | None = None) -> Future[None]: ...

    def complete(self, prompt: str, options: dict[str, object] | None = None) -> Future[None]: ...

    def parallel(self, prompt: str, streams: int | None, options: dict[str, object]) -> Future[None]: ...

    def cancel_chat(self) -> Future[None]: ...

    def bench(self, plan: BenchPlan) -> Future[None]: ...

    def cancel_bench(self) -> Future[None]: ...

    def tune(self, job: TuneJob) -> Future[None]: ...

    def cancel_tune(self) -> Future[None]: ...


class Backend(Protocol):
    """Everything behind the screen. Methods that block are called on a thread of their own."""

    @property
    def engine(self) -> EngineFacade: ...

    @property
    def read_only(self) -> str | None:
        """Why nothing can be changed here; None: it can."""

    def begin(self) -> None:
        """The screen is ready to hear: takes over what an earlier hettui left running. Returns at once."""

    def look(self, session: Session) -> Session:
        """Blocks. The same configuration with the devices that are there now. Raises HettuiError with the reason."""

    def own(self) -> str | None:
        """What is only shown is this one's from now on, and `read_only` is None; else the reason why not. Blocks for a
        blink."""

    def leave_running(self) -> None:
        """At the end of the screen the cluster runs on."""

    @property
    def hosts(self) -> HostDesk:
        """Other machines."""

    @property
    def model_desk(self) -> ModelDesk:
        """Models: fetched, made, looked through, removed."""

    @property
    def chats(self) -> ChatKeeper:
        """Conversations, drafts and histories."""

    def editor(self) -> Callable[[str], str]:
        """The user's own editor, for a text; it blocks and has the terminal. Raises UsageError where none is set; so
        does what is returned, where the text was not edited."""

    def bench_runs(self, session: Session) -> list[BenchRun]:
        """Blocks. Those of this model, the oldest first."""

    def keep_bench(self, session: Session, measured: ClusterSnapshot, outcome: BenchOutcome) -> BenchRun:
        """Blocks. The run with everything needed to repeat it, on disk. Raises HettuiError when it cannot be kept."""

    def open(self) -> Session:
        """Blocks. Raises HettuiError with the reason."""

    def with_model(self, session: Session, path: str) -> Session:
        """Blocks. Raises ModelFileError."""

    def with_draft(self, session: Session, plan: Plan, path: str | None) -> Session:
        """Blocks. The session with this draft model, or without any: with this plan where it still fits, else with the
        planner's. Raises HettuiError."""

    def find_models(self, session: Session, changed: Callable[[], None]) -> ModelSearch:
        """Begins a search for model files and returns at once; see ModelCatalogue.search."""

    def path_completer(self, tell: Callable[[str, Completion], None]) -> PathCompleter:
        """For paths that are being typed."""

    def first_run(self, session: Session) -> bool:
        """Reads at most one small file. No model was ever chosen here, and nothing is configured."""

    def write_config(self, session: Session) -> Session:
        """Blocks. Writes a configuration for a session without one; the session with it. Raises HettuiError."""

    def request(self, session: Session, plan: Plan, *, force: bool = False) -> Request:
        """Reads at most the key file. Raises the reason when this plan cannot be started."""

    def preflight(self, session: Session) -> str:
        """Blocks for a blink. What could stop a start, in short, with `{…}` for keys; empty: nothing was found."""

    def examine(self, session: Session) -> list[Finding]:
        """Blocks: drivers and binaries are asked. What the doctor finds. Raises HettuiError."""

    def tune_job(self, session: Session, plan: Plan) -> TuneJob:
        """What the search for the best split needs, from this plan on."""

    def save(self, session: Session, plan: Plan) -> str | None:
        """Blocks. Keeps the plan in the configuration; the file's name, or None when there is none to keep it in."""

    @property
    def panes(self) -> PanesState:
        """How the screen was left; as usual before `open`."""

    def keep_panes(self, state: PanesState) -> None:
        """Blocks. Does nothing where nothing may be written."""

    def keep_theme(self, session: Session, name: str) -> str | None:
        """Blocks. Writes the theme into the configuration; the file's name, or None when there is none to keep it in.

        Raises ConfigError when it cannot be written.
        """
