"""The engine: a thread with its own event loop that owns processes, sensors and the chat.

It outlives the screen on purpose. A terminal that stops reading freezes Textual's loop; a frozen loop must not
keep anybody from watching the processes or from stopping them. Commands go in as coroutines on the engine's
loop and give futures; events come out through subscribers, which are called on the engine's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from hettui.domain.bench.run import BenchPlan
from hettui.domain.chat.wire import ChatTurn
from hettui.domain.cluster.snapshot import ClusterSnapshot, ClusterState
from hettui.domain.devices.device import Device
from hettui.domain.errors import HettuiError, ServerError
from hettui.ports import LlamaClient
from hettui.services.aside import SlotsAside
from hettui.services.chat.answering import Answering
from hettui.services.chat.parallel import ParallelTest
from hettui.services.chat.session import ChatSession
from hettui.services.cluster.controller import ClusterController
from hettui.services.cluster.facade import ClusterFacade
from hettui.services.cluster.log_clock import LogClock
from hettui.services.cluster.viewer import Viewer
from hettui.services.cluster.world import Request, Supervision, World
from hettui.services.events import ClusterChanged, Event, Notice
from hettui.services.jobs import Jobs
from hettui.services.telemetry.alerts import AlertWatcher
from hettui.services.telemetry.memory_back import MemoryBack
from hettui.services.telemetry.poller import LONGEST_INTERVAL_S, SHORTEST_INTERVAL_S, Poller, SourceFactory
from hettui.services.telemetry.targets import targets

if TYPE_CHECKING:
    from hettui.services.tuning import TuneJob

T = TypeVar("T")

TUNING_INTERVAL_S = 1.0
"""Between two rounds of readings while the best split is searched for: they tell each device's part."""
_NOT_BEGUN = "the engine has not begun: nothing can be started or asked yet"
_ENDING = "hettui is ending: nothing more is started or asked"


class Engine:
    """The facade for screens and commands; use it with `with`. Every method may be called from any thread.

    Before it begins nothing runs, and whom it shall tell and what it shall watch can be said already. Commands given
    then, or from the end on, fail with a sentence.
    """

    def __init__(
        self,
        world: World,
        sources: Sequence[SourceFactory],
        interval_s: float = 1.0,
        time_of_day: Callable[[], str] = lambda: "",
        *,
        read_only: str | None = None,
        takes_over: bool = False,
    ) -> None:
        """`time_of_day` stands before the engine's own lines in the log. `read_only`: why nothing may be changed here;
        then it shows what the record says, and refuses commands. `takes_over`: `take_over` will be called; until
        then nobody knows whether something runs."""
        self._read_only = read_only
        self._world = world
        self._watched: tuple[Device, ...] = ()
        self._chat_session = ChatSession(world.clock, self._emit)
        self._parallel = ParallelTest(world.clock, self._emit)
        self._answering = Answering(self._chat_session, world.clock)
        self._controller: ClusterFacade = (
            Viewer(world, self._emit, read_only)
            if read_only
            else ClusterController(world, self._emit, self._answering.now)
        )
        if takes_over:
            self._controller.expect_takeover()
        self._log_clock = LogClock(lambda: self._controller, self._emit)
        self._poller = Poller(sources, world.clock, self._emit, interval_s)
        self._memory_back = MemoryBack(world.clock, self._emit)
        self._alerts = AlertWatcher(self._emit, time_of_day)
        self._jobs = Jobs(world.clock, self._emit, self._contexts_aside)
        self._hearers: list[Callable[[Event], None]] = [
            self._answering.hear,
            self._memory_back.hear,
            self._jobs.hear,
            self._log_clock.hear,
            self._follow_processes,
        ]
        """Our own: they hear an event before anybody outside does, who then finds everything up to date."""
        self._subscribers: list[Callable[[Event], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        """None before it begins."""
        self._background: list[asyncio.Task[None]] = []
        self._thread = threading.Thread(target=self._run_loop, name="engine", daemon=True)
        self._started = threading.Event()
        self._stopped = False
        self._door = threading.Lock()
        """Held while a command goes in: after the end was begun none does."""
        self._closing = threading.Lock()

    def __enter__(self) -> Engine:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- for the screens -----------------------------------------------------------------------------------

    @property
    def snapshot(self) -> ClusterSnapshot:
        return self._controller.snapshot

    def now(self) -> float:
        """The engine's monotonic clock, in seconds."""
        return self._world.clock.monotonic()

    def subscribe(self, callback: Callable[[Event], None]) -> None:
        """`callback` is called on the engine's thread and must return at once."""
        self._subscribers.append(callback)

    def unsubscribe(self, callback: Callable[[Event], None]) -> None:
        # Closing has forgotten all of them already.
        with contextlib.suppress(ValueError):
            self._subscribers.remove(callback)

    def watch(self, devices: tuple[Device, ...]) -> None:
        """Which devices the sensors are asked about, running or not."""
        self._watched = devices
        self._soon(self._retarget)

    def sample_every(self, interval_s: float) -> None:
        """How often the sensors are asked; within the limits of the poller."""
        interval_s = min(max(interval_s, SHORTEST_INTERVAL_S), LONGEST_INTERVAL_S)
        slowest_s = TUNING_INTERVAL_S if self._jobs.tuning else LONGEST_INTERVAL_S
        self._soon(lambda: self._poller.set_interval(min(interval_s, slowest_s)))

    def start(self, request: Request) -> Future[None]:
        """Starts the cluster, or applies a new split to the running one. The future carries the failure."""
        return self._submit(self._start(request))

    def stop(self, patience_s: float = 0.0) -> Future[None]:
        """Ends everything. Running requests may end within `patience_s`; a second stop cuts that short."""
        return self._submit(self._stop(patience_s))

    def settled(self) -> Future[None]:
        """Returns when no command is at work any more; what came of it is in the snapshot."""
        return self._submit(self._controller.settled())

    @property
    def model_path(self) -> str | None:
        """The model of what runs; None when nothing does."""
        return self._controller.model_path

    def busy(self) -> Future[int]:
        """How many requests are being answered, ours and others'."""
        return self._submit(self._busy())

    def take_over(self, api_key: str | None = None, supervision: Supervision | None = None) -> Future[None]:
        """Adopts what an earlier hettui left running."""
        return self._submit(self._take_over(api_key, supervision))

    def own(self, api_key: str | None = None, supervision: Supervision | None = None) -> Future[None]:
        """Takes over what was only shown; whoever calls owns it now. An answer that is being written goes on."""
        return self._submit(self._own(api_key, supervision))

    def chat(self, turns: Sequence[ChatTurn], options: dict[str, object] | None = None) -> Future[None]:
        """Sends a conversation; the answer comes as events. The future fails when it cannot be sent at all."""
        return self._submit(self._chat(tuple(turns), options or {}))

    def complete(self, prompt: str, options: dict[str, object] | None = None) -> Future[None]:
        """As `chat`, of a raw prompt: no template, nothing of what was said before."""
        return self._submit(self._complete(prompt, options or {}))

    def cancel_chat(self) -> Future[None]:
        """Stops the answer, or the parallel test, that runs now."""
        return self._submit(self._cancel_chat())

    def parallel(self, prompt: str, streams: int | None, options: dict[str, object]) -> Future[None]:
        """Copies of one raw prompt at once; None: as many as there are slots. What becomes of them comes as events."""
        return self._submit(self._run_parallel(prompt, streams, options))

    def bench(self, plan: BenchPlan) -> Future[None]:
        """Measures the running cluster; progress and outcome come as events. Fails when it cannot begin."""
        return self._submit(self._start_bench(plan))

    def cancel_bench(self) -> Future[None]:
        """Ends it; what was measured comes with `BenchEnded`."""
        return self._submit(self._jobs.stop_bench())

    def tune(self, job: TuneJob) -> Future[None]:
        """Searches for the best split by measuring; progress and outcome come as events. Fails when it cannot begin."""
        return self._submit(self._start_tune(job))

    def cancel_tune(self) -> Future[None]:
        """Ends it; the best split that is known runs then, and what was measured comes with `TuneEnded`."""
        return self._submit(self._jobs.stop_tune(leave=True))

    def publish(self, event: Event) -> None:
        """Tells all subscribers, as if the engine had said it: for whoever watches it and has something to say."""
        self._soon(lambda: self._emit(event))

    def close(self, *, leave: bool = False) -> None:
        """Ends the thread. Returns when every process is gone; with `leave` they run on, and nothing waits."""
        # A second caller waits for the first: whoever goes on knows that it is done.
        with self._closing:
            if self._stopped:
                return
            with self._door:
                self._stopped = True
            self._subscribers.clear()
            if self._loop is None:
                return
            asyncio.run_coroutine_threadsafe(self._shut_down(leave=leave), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    # -- on the engine's loop ------------------------------------------------------------------------------

    def _soon(self, act: Callable[[], None]) -> None:
        """On the engine's loop; nothing when that has ended: a screen that is being closed may ask for a moment yet."""
        if self._loop is None:
            # Nothing runs yet that it could come between.
            act()
            return
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(act)

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """On the engine's loop. Before it begins, and from its end on, the future carries the reason why not."""
        with self._door:
            if self._loop is not None and not self._stopped:
                return asyncio.run_coroutine_threadsafe(work, self._loop)
        work.close()
        refused: Future[T] = Future()
        refused.set_exception(HettuiError(_ENDING if self._stopped else _NOT_BEGUN))
        return refused

    def _run_loop(self) -> None:
        loop = self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        loop.run_until_complete(self._begin())
        self._started.set()
        try:
            loop.run_forever()
        finally:
            # Like asyncio.run: what was cancelled a moment ago gets its turn to end.
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.wait(left))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    async def _begin(self) -> None:
        self._background = [
            asyncio.create_task(self._poller.run(), name="telemetry"),
            asyncio.create_task(self._log_clock.run(), name="logs"),
            asyncio.create_task(self._controller.watch_slots(), name="slots"),
        ]

    async def _start(self, request: Request) -> None:
        await self._cancel_requests()
        if self._stopped:
            # Meanwhile: the end stops everything, and must not be overtaken.
            raise HettuiError(_ENDING)
        await self._controller.start(request)

    async def _stop(self, patience_s: float) -> None:
        if patience_s <= 0:
            await self._cancel_requests()
        before = self._memory_back.held(self._watched)
        await self._controller.stop(patience_s)
        if before and not self._stopped:
            await self._memory_back.confirm(before)

    async def _busy(self) -> int:
        client = self._controller.client
        slots = await client.busy() if client and self._controller.snapshot.state is ClusterState.READY else 0
        return max(slots or 0, int(self._chat_session.busy))

    async def _take_over(self, api_key: str | None, supervision: Supervision | None) -> None:
        record = None
        try:
            record = self._world.runs.load()
        except HettuiError as error:
            self._emit(Notice(str(error), "warning"))
        await self._controller.take_over(record, api_key, supervision)

    async def _own(self, api_key: str | None, supervision: Supervision | None) -> None:
        if not self._read_only:
            return
        if not self._chat_session.busy:
            await self._controller.leave()
        self._read_only = None
        self._controller = ClusterController(self._world, self._emit, self._answering.now)
        self._controller.expect_takeover()
        self._background.append(asyncio.create_task(self._controller.watch_slots(), name="slots"))
        await self._take_over(api_key, supervision)

    async def _cancel_requests(self) -> None:
        await self._cancel_chat()
        await self._jobs.stop()

    async def _cancel_chat(self) -> None:
        await self._chat_session.cancel()
        await self._parallel.cancel()

    async def _start_bench(self, plan: BenchPlan) -> None:
        client = self._ready_client()
        if self._chat_session.busy or self._parallel.busy:
            raise ServerError("an answer is still being written: a bench would measure both")
        self._jobs.start_bench(client, plan)

    async def _start_tune(self, job: TuneJob) -> None:
        if self._read_only:
            raise ServerError(self._read_only)
        if self._chat_session.busy or self._parallel.busy:
            raise ServerError("an answer is still being written: the search would cut it")
        if self._poller.interval_s > TUNING_INTERVAL_S:
            self._poller.set_interval(TUNING_INTERVAL_S)
        self._jobs.start_tune(self._controller, job)

    def _contexts_aside(self) -> SlotsAside | None:
        """For what a measurement would overwrite; None where nothing can be saved."""
        folder = self._controller.contexts
        if folder is None:
            return None
        return SlotsAside(
            lambda: self._controller.client,
            folder.aside_name,
            folder.remove,
            lambda text: self._emit(Notice(text, "warning")),
        )

    def _ready_client(self) -> LlamaClient:
        client = self._controller.client
        if client is None or self._controller.snapshot.state is not ClusterState.READY:
            raise ServerError(f"{self._controller.snapshot.state.said}: start it and wait until it is ready")
        if reason := self._jobs.why_busy:
            raise ServerError(reason)
        return client

    async def _chat(self, turns: Sequence[ChatTurn], options: dict[str, object]) -> None:
        self._chat_session.send(self._ready_client(), turns, options)

    async def _complete(self, prompt: str, options: dict[str, object]) -> None:
        self._chat_session.complete(self._ready_client(), prompt, options)

    async def _run_parallel(self, prompt: str, streams: int | None, options: dict[str, object]) -> None:
        self._parallel.start(self._ready_client(), prompt, streams, options)

    async def _shut_down(self, *, leave: bool) -> None:
        await self._cancel_requests()
        if leave or self._read_only:
            await self._controller.leave()
        else:
            await self._controller.stop()
        for task in self._background:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait(self._background)
        self._poller.close()

    def _emit(self, event: Event) -> None:
        """Alerts come last: they follow the readings that they are about."""
        for hear in (*self._hearers, *self._subscribers, self._alerts.hear):
            hear(event)

    def _follow_processes(self, event: Event) -> None:
        if isinstance(event, ClusterChanged):
            self._retarget()

    def _retarget(self) -> None:
        """Tells the sensors which processes of ours use which device, now."""
        self._alerts.watch(self._watched)
        self._poller.targets = targets(self._watched, self._controller.snapshot.processes)
