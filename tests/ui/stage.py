"""A stage for the screen: scripted engine and backend, no process, no file, no network."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache

from textual import events
from textual.pilot import Pilot
from textual.widget import Widget
from textual.worker import WorkerCancelled

from hettui.adapters.files.resources import resource_folder
from hettui.adapters.files.theme_files import read_themes
from hettui.domain.bench.run import BenchOutcome, BenchPlan, BenchRun, Setting
from hettui.domain.chat.conversation import Conversation
from hettui.domain.chat.wire import ChatTurn
from hettui.domain.cluster.launch import worker_name
from hettui.domain.cluster.process import ProcessState
from hettui.domain.cluster.snapshot import Applied, ClusterSnapshot, ClusterState, ProcessSnapshot
from hettui.domain.config.values import Config
from hettui.domain.devices.device import HOST_KEY, Device, Host
from hettui.domain.doctor.finding import Finding
from hettui.domain.errors import HettuiError, HostError, ModelFileError, UsageError
from hettui.domain.hosts.facts import HostFacts
from hettui.domain.hosts.push import Progress, Pushed
from hettui.domain.library.found import FoundModel
from hettui.domain.library.places import Completion, ModelPlace
from hettui.domain.llama.params import Drafting, RuntimeParams
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.plan import Plan
from hettui.domain.screen.panes import PanesState
from hettui.domain.screen.terminal import Terminal
from hettui.domain.session.session import Session, runnable
from hettui.domain.slots.keeping import Held
from hettui.domain.slots.request_log import RequestLog
from hettui.domain.telemetry.readings import DeviceSample, Holder, Link, TelemetrySnapshot
from hettui.domain.units import MIB
from hettui.ports import KeptPrompts, ModelFinder, ThemeFiles
from hettui.services.chat.keeper import ChatKeeper
from hettui.services.cluster.world import Request
from hettui.services.events import ClusterChanged, Event, SlotsChanged, TelemetryUpdated
from hettui.services.library.search import ModelCatalogue, ModelSearch, PathCompleter
from hettui.services.model_desk import ModelDesk
from hettui.services.tuning import TuneJob
from hettui.ui.app import HettuiApp
from hettui.ui.screens.main import MainScreen
from hettui.wiring.model_desk import ModelDeskAdapter
from hettui.wiring.tuning import job_of
from tests.fakes import cluster, shape, workers
from tests.patience import patience
from tests.slot_scenes import day
from tests.truth.compare import shape_of

PARAMS = RuntimeParams(ctx_size=8192)


def _done() -> Future[None]:
    future: Future[None] = Future()
    future.set_result(None)
    return future


@dataclass
class StageEngine:
    """Records what the screen asks for; a test says what happens then."""

    snapshot: ClusterSnapshot = field(default_factory=ClusterSnapshot)
    requests: list[Request] = field(default_factory=list)
    chats: list[tuple[ChatTurn, ...]] = field(default_factory=list)
    options: list[dict[str, object]] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    running: int = 0
    """Requests that are being answered."""
    subscribers: list[Callable[[Event], None]] = field(default_factory=list)
    jobs: list[TuneJob] = field(default_factory=list)

    def subscribe(self, callback: Callable[[Event], None]) -> None:
        self.subscribers.append(callback)

    def unsubscribe(self, callback: Callable[[Event], None]) -> None:
        self.subscribers.remove(callback)

    def watch(self, devices: tuple[Device, ...]) -> None:
        self.calls.append("watch")

    def sample_every(self, interval_s: float) -> None:
        self.calls.append(f"sample every {interval_s:g} s")

    def start(self, request: Request) -> Future[None]:
        self.requests.append(request)
        return _done()

    def stop(self, patience_s: float = 0.0) -> Future[None]:
        self.calls.append(f"stop within {patience_s:.0f} s" if patience_s else "stop")
        return _done()

    def busy(self) -> Future[int]:
        future: Future[int] = Future()
        future.set_result(self.running)
        return future

    def chat(self, turns: Sequence[ChatTurn], options: dict[str, object] | None = None) -> Future[None]:
        self.chats.append(tuple(turns))
        self.options.append(options or {})
        return _done()

    def complete(self, prompt: str, options: dict[str, object] | None = None) -> Future[None]:
        self.prompts.append(prompt)
        self.options.append(options or {})
        return _done()

    def parallel(self, prompt: str, streams: int | None, options: dict[str, object]) -> Future[None]:
        self.calls.append(f"parallel {prompt}")
        return _done()

    def bench(self, plan: BenchPlan) -> Future[None]:
        self.calls.append(f"bench {plan.depths}")
        return _done()

    def cancel_bench(self) -> Future[None]:
        self.calls.append("cancel bench")
        return _done()

    def tune(self, job: TuneJob) -> Future[None]:
        self.calls.append("tune")
        self.jobs.append(job)
        return _done()

    def cancel_tune(self) -> Future[None]:
        self.calls.append("cancel tune")
        return _done()

    def cancel_chat(self) -> Future[None]:
        self.calls.append("cancel")
        return _done()

    def emit(self, event: Event) -> None:
        for callback in self.subscribers:
            callback(event)


@dataclass
class MemoryStore:
    """Implements ChatStore."""

    kept: dict[str, Conversation] = field(default_factory=dict)
    typed: dict[str, KeptPrompts] = field(default_factory=dict)
    exported: dict[str, str] = field(default_factory=dict)

    def conversations(self, model: str) -> list[Conversation]:
        return [c for c in reversed(self.kept.values()) if c.model == model]

    def save(self, conversation: Conversation) -> None:
        self.kept[conversation.key] = conversation

    def remove(self, conversation: Conversation) -> None:
        self.kept.pop(conversation.key, None)

    def prompts(self, model: str) -> KeptPrompts:
        return self.typed.get(model, KeptPrompts())

    def save_prompts(self, model: str, prompts: KeptPrompts) -> None:
        self.typed[model] = prompts

    def copy(self, text: str) -> str:
        self.exported["copy"] = text
        return "/state/last-copy.txt"

    def export(self, name: str, text: str) -> str:
        self.exported[name] = text
        return f"/home/me/{name}"


class NoModels:
    """Implements ModelFinder on a machine without any."""

    def places(self, folders: Sequence[str], current: str | None) -> tuple[ModelPlace, ...]:
        return (ModelPlace("~/models", "/home/me/models"),)

    def look(self, place: ModelPlace, stopped: Callable[[], bool], note: Callable[[str], None]) -> Iterator[FoundModel]:
        return iter(())

    def read(self, path: str) -> ModelShape:
        raise ModelFileError(f"{path} does not exist: check the path")

    def complete(self, typed: str) -> Completion:
        return Completion(typed)


@dataclass
class StageHosts:
    """Implements HostDesk: what each host answers, and what was asked of it."""

    answers: dict[str, HostFacts | HettuiError] = field(default_factory=dict)
    after_login: dict[str, HostFacts | HettuiError] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def offered(self, session: Session) -> tuple[Host, ...]:
        return tuple(Host(name, name) for name in self.answers)

    def named(self, destination: str) -> Host:
        if destination.startswith("-"):
            raise UsageError(f"{destination} is no destination")
        return Host(destination.rpartition("@")[2], destination)

    def ask(self, host: Host) -> HostFacts:
        self.calls.append(f"ask {host.name}")
        answer = self.answers.get(host.name, HostError(f"{host.name} is not there; switch it on"))
        if isinstance(answer, HettuiError):
            raise answer
        return answer

    def log_in(self, host: Host) -> bool:
        self.calls.append(f"log in to {host.name}")
        self.answers |= {name: facts for name, facts in self.after_login.items() if name == host.name}
        return host.name in self.after_login

    def push(self, session: Session, host: Host, tell: Callable[[Progress], None]) -> Pushed:
        self.calls.append(f"push to {host.name}")
        tell(Progress(host.name, 10 * MIB, 60 * MIB, 5.0 * MIB))
        self.answers |= {name: facts for name, facts in self.after_login.items() if name == host.name}
        return Pushed(host.name, "/x", 60 * MIB, 12.0)

    def with_host(self, session: Session, host: Host, facts: HostFacts) -> Session:
        config = replace(session.config, hosts=(*session.config.hosts, host))
        more = Device(f"{host.name} card", "CUDA0", host.name, "worker", "cuda", "CUDA0", budget_bytes=240 * MIB)
        return replace(session, config=config, devices=(*session.devices, more))


@dataclass
class StageBackend:
    """Implements Backend."""

    session: Session | HettuiError
    engine: StageEngine = field(default_factory=StageEngine)
    saved: list[Plan] = field(default_factory=list)
    models: dict[str, ModelShape] = field(default_factory=dict)
    store: MemoryStore = field(default_factory=MemoryStore)
    runs: list[BenchRun] = field(default_factory=list)
    kept_themes: list[str] = field(default_factory=list)

    finder: ModelFinder = field(default_factory=NoModels)
    fresh: bool = False
    """Nobody has chosen a model here yet."""
    written: list[Session] = field(default_factory=list)

    read_only: str | None = None
    leaves: bool = False
    others: StageHosts = field(default_factory=StageHosts)
    panes: PanesState = field(default_factory=PanesState)

    before_a_start: str = ""
    findings: list[Finding] | HettuiError = field(default_factory=list)

    def preflight(self, session: Session) -> str:
        return self.before_a_start

    def examine(self, session: Session) -> list[Finding]:
        if isinstance(self.findings, HettuiError):
            raise self.findings
        return self.findings

    def keep_panes(self, state: PanesState) -> None:
        self.panes = state

    def begin(self) -> None:
        self.engine.calls.append("begin")

    edits: Callable[[str], str] | HettuiError = field(default_factory=lambda: UsageError("no editor is set"))

    desk: ModelDesk = field(default_factory=ModelDeskAdapter)

    @property
    def model_desk(self) -> ModelDesk:
        return self.desk

    def editor(self) -> Callable[[str], str]:
        if isinstance(self.edits, HettuiError):
            raise self.edits
        return self.edits

    not_mine: str | None = None
    """Why the cluster cannot be taken over."""

    def own(self) -> str | None:
        if self.not_mine is None:
            self.read_only = None
            self.engine.calls.append("own")
        return self.not_mine

    def look(self, session: Session) -> Session:
        return self.open()

    def leave_running(self) -> None:
        self.leaves = True

    @property
    def hosts(self) -> StageHosts:
        return self.others

    def __post_init__(self) -> None:
        self.chats = ChatKeeper(self.store)
        self.catalogue = ModelCatalogue(self.finder)

    def bench_runs(self, session: Session) -> list[BenchRun]:
        return list(self.runs)

    def keep_bench(self, session: Session, measured: ClusterSnapshot, outcome: BenchOutcome) -> BenchRun:
        setting = Setting(model=session.title, commands=measured.commands)
        run = BenchRun(
            f"run{len(self.runs)}", "2026-01-01T10:00:00", outcome.plan, setting, outcome.results, outcome.devices,
            outcome.skipped, outcome.problem,
        )  # fmt: skip
        self.runs.append(run)
        return run

    def open(self) -> Session:
        if isinstance(self.session, HettuiError):
            raise self.session
        return self.session

    def with_model(self, session: Session, path: str) -> Session:
        if path not in self.models:
            raise ModelFileError(f"{path} does not exist: check the path")
        self.fresh = False
        return replace(session, shape=self.models[path], config=replace(session.config, model_path=path))

    def with_draft(self, session: Session, plan: Plan, path: str | None) -> Session:
        if path is not None and path not in self.models:
            raise ModelFileError(f"{path} does not exist: check the path")
        drafting = None if path is None else Drafting(model=path, device=HOST_KEY)
        params = replace(session.config.params, draft=drafting)
        draft = None if path is None else self.models[path]
        return replace(session, draft=draft, config=replace(session.config, params=params), chosen=plan)

    def find_models(self, session: Session, changed: Callable[[], None]) -> ModelSearch:
        config = session.config
        return self.catalogue.search(
            config.model_folders, config.model_path, session.surroundings, session.learned, changed
        )

    def path_completer(self, tell: Callable[[str, Completion], None]) -> PathCompleter:
        return PathCompleter(self.finder, tell)

    def first_run(self, session: Session) -> bool:
        return self.fresh

    def write_config(self, session: Session) -> Session:
        self.written.append(session)
        return replace(session, config=replace(session.config, path="/home/me/.config/hettui/config.toml"))

    def request(self, session: Session, plan: Plan, *, force: bool = False) -> Request:
        return Request(runnable(session, plan, force=force), plan.split, 0)

    def tune_job(self, session: Session, plan: Plan) -> TuneJob:
        return job_of(session, plan, lambda wanted: self.request(session, wanted))

    def save(self, session: Session, plan: Plan) -> str | None:
        self.saved.append(plan)
        return None

    def keep_theme(self, session: Session, name: str) -> str | None:
        self.kept_themes.append(name)
        return session.config.path


async def choose_plan(pilot: Pilot[HettuiError | None], *keys: str) -> None:
    """Out of the list of plans, when all of it is worked out; the first one without `keys`."""
    await pilot.press("p")
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()
    await pilot.press(*keys, "enter")
    await pilot.pause()


@lru_cache(maxsize=16)
def session(devices: tuple[Device, ...] | None = None, model: ModelShape | None = None) -> Session:
    """The demo's three devices unless others are given. One for all that ask alike: it is frozen, and keeps what was
    worked out for its model."""
    if devices is None:
        names = ("big", "middle", "small")
        devices = tuple(replace(d, name=n) for d, n in zip(workers(240, 180, 90), names, strict=True))
    config = Config(model_path="/models/smol.gguf", params=PARAMS)
    return Session(config, (), devices, cluster(devices, params=PARAMS), model or shape(), demo=True)


def running(plan: Plan, **changes: object) -> ClusterSnapshot:
    """A cluster that runs this plan."""
    processes = tuple(
        ProcessSnapshot(worker_name(d), "worker", ProcessState.READY, 100 + i, d.name)
        for i, d in enumerate(plan.devices)
    )
    master = ProcessSnapshot("master", "master", ProcessState.READY, 99)
    snapshot = ClusterSnapshot(
        ClusterState.READY,
        (*processes, master),
        Applied(plan.devices, plan.split),
        api="http://127.0.0.1:8080",
        commands=tuple(f"run {p.name}" for p in (*processes, master)),
    )
    return replace(snapshot, **changes)  # type: ignore[arg-type]


def slots_of(plan: Plan, opened: Session, **changes: object) -> SlotsChanged:
    """A day of requests on the cluster that runs this plan."""
    log, server = RequestLog(), day()
    for line in server.take():
        log.feed(line)
    held = tuple(Held(slot, *tokens) for slot, tokens in sorted(log.held().items()))
    told = SlotsChanged(log.all, held, held[:1], opened.terms(plan), 200 << 30, 1e9)
    return replace(told, **changes)  # type: ignore[arg-type]


def readings(devices: Sequence[Device], second: int = 1) -> TelemetryUpdated:
    """One round of sensors, the same every time."""
    samples = {
        d.name: DeviceSample(used_bytes=(150 - 40 * i) * MIB, utilisation_percent=10.0 * i, temperature_c=40 + 5.0 * i)
        for i, d in enumerate(devices)
    }
    return TelemetryUpdated(TelemetrySnapshot(float(second), 1.0, samples))


@lru_cache
def shipped_themes() -> ThemeFiles:
    parsed, _ = read_themes([resource_folder("themes")])
    return ThemeFiles(parsed, {})


def build(backend: StageBackend, theme: str | None = None, terminal: Terminal | None = None) -> HettuiApp:
    """On a terminal that shows everything, unless another is given."""
    return HettuiApp(backend, shipped_themes(), theme, terminal=terminal)


def text_of(app: HettuiApp) -> str:
    """What the terminal shows, without colours."""
    return "\n".join("".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips())


@dataclass
class Stage:
    """One open screen and the handles of everything behind it."""

    app: HettuiApp
    pilot: Pilot[HettuiError | None]
    backend: StageBackend

    @property
    def screen(self) -> MainScreen:
        assert isinstance(self.app.screen_stack[-1], MainScreen)
        return self.app.screen_stack[-1]

    @property
    def main(self) -> MainScreen:
        """The main screen, whatever lies over it."""
        return next(screen for screen in self.app.screen_stack if isinstance(screen, MainScreen))

    @property
    def engine(self) -> StageEngine:
        return self.backend.engine

    @property
    def plan(self) -> Plan:
        return self.screen.facts.plan

    @property
    def layers(self) -> tuple[int, ...]:
        return self.plan.split.layers

    async def drag_on(self, widget: Widget, to: tuple[int, int]) -> None:
        """The mouse moves there with its button down, as terminals tell it; `Pilot.hover` has none down."""
        x, y = widget.region.offset + to
        held = events.MouseMove(
            None, x=x, y=y, delta_x=0, delta_y=0, button=1, shift=False, meta=False, ctrl=False, screen_x=x, screen_y=y
        )
        self.app.screen._forward_event(held)
        await self.pilot.pause()

    async def until(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        """Threads answer when they do, and what is to be drawn is drawn a moment later."""
        deadline_s = time.monotonic() + patience(seconds)
        await self.pilot.pause()
        while not condition():
            assert time.monotonic() < deadline_s, self.text()
            await self.pilot.pause(0.01)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def type(self, text: str) -> None:
        for character in text:
            await self.pilot.press({" ": "space"}.get(character, character))

    async def choose_plan(self, *keys: str) -> None:
        await choose_plan(self.pilot, *keys)

    async def emit(self, event: Event) -> None:
        self.engine.emit(event)
        await self.pilot.pause()

    async def run_plan(self) -> None:
        """As after a successful start."""
        self.engine.snapshot = running(self.plan)
        await self.emit(ClusterChanged(self.engine.snapshot))

    def text(self) -> str:
        """What the terminal shows, without colours."""
        return text_of(self.app)

    def toasts(self) -> list[str]:
        return [n.message for n in self.app._notifications]


@asynccontextmanager
async def stage(
    opened: Session | HettuiError | None = None,
    size: tuple[int, int] = (120, 40),
    store: MemoryStore | None = None,
    panes: PanesState | None = None,
    read_only: str | None = None,
    finder: ModelFinder | None = None,
    fresh: bool = False,
    toasts: bool = False,
) -> AsyncIterator[Stage]:
    """`toasts`: they are drawn, and not only told."""
    backend = StageBackend(
        opened or session(),
        store=store or MemoryStore(),
        panes=panes or PanesState(),
        read_only=read_only,
        finder=finder or NoModels(),
        fresh=fresh,
    )
    app = build(backend)
    async with app.run_test(size=size, notifications=toasts) as pilot:
        # The session is opened on a thread; where it cannot be, the screen ends and may be faster than the thread.
        with suppress(WorkerCancelled):
            await app.workers.wait_for_complete()
        await pilot.pause()
        yield Stage(app, pilot, backend)
    backend.chats.close()


@lru_cache(maxsize=16)
def card_session() -> Session:
    """Three unlike cards in one box, attached to the master, with a model that needs two of them."""
    rows = (("RTX 5080", 15155, 960e9), ("RTX 3060", 11469, 360e9), ("GTX 1660 SUPER", 5427, 336e9))
    devices = tuple(
        Device(
            name,
            f"pci:0000:0{i + 1}:00.0",
            backend="cuda",
            engine_name=f"CUDA{i}",
            pci_address=f"0000:0{i + 1}:00.0",
            budget_bytes=budget * MIB,
            bandwidth_bytes_per_s=speed,
        )
        for i, (name, budget, speed) in enumerate(rows)
    )
    return replace(session(devices, shape_of("qwen3moe", 48)), demo=False)


@lru_cache(maxsize=16)
def hosts_session() -> Session:
    """The same three cards, two of them in other machines."""
    opened = card_session()
    first, second, third = opened.devices
    far = replace(second, host="attic", via="worker", round_trip_s=0.0004)
    farther = replace(third, host="cellar", via="worker", round_trip_s=0.012)
    return replace(opened, devices=(first, far, farther))


@lru_cache(maxsize=16)
def farm_session(count: int, model: ModelShape | None = None) -> Session:
    """So many cards of a few kinds, some of them in other machines, with a model that needs them all."""
    kinds = (
        ("RTX 5080", 15155, 960e9),
        ("RTX 3060", 11469, 360e9),
        ("GTX 1660 SUPER", 5427, 336e9),
        ("P40", 23500, 346e9),
    )
    devices = []
    for i in range(count):
        name, budget, speed = kinds[i % len(kinds)]
        host, via = ("local", "master") if i < 4 else (f"attic-{i // 4}", "worker")
        devices.append(
            Device(
                f"{name} #{i + 1}",
                f"pci:0000:{i + 1:02x}:00.0",
                host=host,
                backend="cuda",
                via=via,  # type: ignore[arg-type]
                engine_name=f"CUDA{i}",
                budget_bytes=budget * MIB,
                bandwidth_bytes_per_s=speed,
            )
        )
    return replace(session(tuple(devices), model or shape_of("qwen3moe", 94)), demo=False)


def farm_readings(devices: Sequence[Device], second: int = 1) -> TelemetryUpdated:
    """Of any number of cards: warm and at work, each a little differently."""
    samples = {
        d.name: DeviceSample(
            used_bytes=(d.budget_bytes or 0) * (60 + i) // 100,
            total_bytes=(d.budget_bytes or 0) + 900 * MIB,
            utilisation_percent=float((37 * i + 5 * second) % 101),
            temperature_c=float(40 + (7 * i + second // 3) % 48),
            slowdown_c=90,
            power_w=float(60 + (31 * i + second) % 220),
            power_limit_w=300,
            clock_mhz=2400,
            clock_max_mhz=2850,
            link_now=Link(4, 8),
            link_max=Link(4, 16),
        )
        for i, d in enumerate(devices)
    }
    return TelemetryUpdated(TelemetrySnapshot(float(second), 1.0, samples))


def card_readings(second: int = 1, **changes: object) -> TelemetryUpdated:
    """Of the three cards: one tells all, one some, one little. `changes` are the first one's."""
    names = [d.name for d in card_session().devices]
    full = DeviceSample(
        used_bytes=14_100 * MIB,
        total_bytes=16_303 * MIB,
        own_bytes=13_450 * MIB,
        holders=(Holder(99, "llama-server", 13_450 * MIB), Holder(812, "Xorg", 410 * MIB)),
        utilisation_percent=61,
        temperature_c=58 + min(second, 20),
        memory_temperature_c=84,
        slowdown_c=90,
        shutdown_c=95,
        fan_percent=46,
        power_w=218,
        power_limit_w=360,
        clock_mhz=2640,
        clock_max_mhz=3090,
        throttles=(),
        link_now=Link(5, 16),
        link_max=Link(5, 16),
        ecc_errors=None,
    )
    some = DeviceSample(
        used_bytes=6_900 * MIB,
        total_bytes=12_288 * MIB,
        utilisation_percent=38,
        temperature_c=51,
        slowdown_c=93,
        power_w=92,
        power_limit_w=170,
        link_now=Link(4, 8),
        link_max=Link(4, 16),
    )
    little = DeviceSample(used_bytes=350 * MIB, total_bytes=6_144 * MIB, temperature_c=36)
    samples = dict(zip(names, (replace(full, **changes), some, little), strict=True))  # type: ignore[arg-type]
    return TelemetryUpdated(TelemetrySnapshot(float(second), 1.0, samples))
