"""What takes the whole cluster for a while: a bench, or the search for the best split. One at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from hettui.domain.bench.run import BenchPlan
from hettui.domain.errors import ServerError
from hettui.ports import Clock, LlamaClient
from hettui.services.events import BenchChanged, BenchEnded, Event, TuneChanged, TuneEnded

if TYPE_CHECKING:
    from hettui.services.bench import BenchRunner
    from hettui.services.tuning import Launches, TuneJob, TuneRunner


class Hears(Protocol):
    """Whoever wants every event while it is at work."""

    def hear(self, event: Event) -> None: ...


class Jobs:
    """Runs on the engine's loop."""

    def __init__(self, clock: Clock, emit: Callable[[Event], None]) -> None:
        self._clock = clock
        self._emit = emit
        self._bench: BenchRunner | None = None
        """The one that runs now."""
        self._tune: TuneRunner | None = None
        self._task: asyncio.Task[None] | None = None

    def hear(self, event: Event) -> None:
        for job in (self._bench, self._tune):
            if job is not None:
                job.hear(event)

    @property
    def tuning(self) -> bool:
        return self._tune is not None

    @property
    def why_busy(self) -> str | None:
        """Why nothing else can be asked of the cluster now; None: it can."""
        if self._bench is not None:
            return "a bench is running, and anything else would spoil it: wait, or stop it in its pane"
        if self._tune is not None:
            return "the best split is being searched for, and anything else would spoil it: wait, or stop that"
        return None

    def start_bench(self, client: LlamaClient, plan: BenchPlan) -> None:
        from hettui.services.bench import BenchRunner

        runner = self._bench = BenchRunner(client, self._clock, lambda progress: self._emit(BenchChanged(progress)))

        async def run() -> None:
            try:
                self._emit(BenchEnded(await runner.run(plan)))
            finally:
                self._bench = None

        self._task = asyncio.create_task(run(), name="bench")

    def start_tune(self, cluster: Launches, job: TuneJob) -> None:
        """Raises ServerError when something else is at work."""
        if reason := self.why_busy:
            raise ServerError(reason)
        from hettui.services.tuning import TuneRunner

        runner = self._tune = TuneRunner(cluster, self._clock, lambda progress: self._emit(TuneChanged(progress)))

        async def run() -> None:
            try:
                outcome = await runner.run(job)
            finally:
                self._tune = None
            self._emit(TuneEnded(outcome))

        self._task = asyncio.create_task(run(), name="tune")

    async def stop_bench(self) -> None:
        """What was measured comes with its end."""
        if self._bench is not None and self._task is not None:
            self._bench.stop()
            await asyncio.wait({self._task})

    async def stop_tune(self, *, leave: bool) -> None:
        """`leave`: the best split that is known is brought up; else somebody else decides what runs next."""
        if self._tune is not None and self._task is not None:
            self._tune.stop(leave=leave)
            await asyncio.wait({self._task})

    async def stop(self) -> None:
        """Somebody else decides what runs next."""
        await self.stop_bench()
        await self.stop_tune(leave=False)
