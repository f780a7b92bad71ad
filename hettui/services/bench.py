"""Runs the standard measurement over llama-server's HTTP API, so that it measures what users get, RPC included.

No number comes from a cached prompt: prompts are random token numbers, new for every run, sent with the prompt cache
off. To read a prompt at a depth the depth has to be in the context before; then the cache holds exactly the depth, and
the server's own count of tokens that it read proves it. Runs go round: every test once, then every test again, so that
a machine that grows warm slows all of them alike, and what is stopped early has something of everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import field, replace
from typing import TypeVar

from hettui.domain.bench.devices import DeviceMeter, Window
from hettui.domain.bench.run import (
    PARALLEL_PROMPT_TOKENS,
    BenchOutcome,
    BenchPlan,
    BenchProgress,
    BenchResult,
    BenchSample,
    BenchTest,
    Costs,
)
from hettui.domain.chat.figures import ClientClock
from hettui.domain.chat.wire import ServerFacts, Timings
from hettui.domain.errors import HettuiError, ServerError
from hettui.domain.records import dataclass
from hettui.ports import Clock, LlamaClient
from hettui.services.events import Event, TelemetryUpdated

_T = TypeVar("_T")

WARM_UP_TOKENS = 16
_FIRST_TOKEN = 1000
_SPARE_TRIES = 3
_REFUSED = "does not match the expected"
"""Words of llama-server's complaint about its model's own answer."""
_FALLBACK_VOCABULARY = 30_000
"""Below what any model in use has, above the special tokens that most have at the beginning."""
_SETTLE_S = 0.6
"""After the last run: the sensors' next round belongs to it."""


@dataclass(slots=True)
class _Stream:
    """One request as it came in."""

    begin_s: float | None = None
    """The first token was there, or the server said that the prompt is read."""
    arrivals_s: list[float] = field(default_factory=list)
    end_s: float = 0.0
    timings: Timings = field(default_factory=Timings)


class BenchRunner:
    """One bench. `run` returns whatever there is, also when it is cancelled through `stop`."""

    def __init__(self, client: LlamaClient, clock: Clock, tell: Callable[[BenchProgress], None]) -> None:
        self._client = client
        self._clock = clock
        self._tell_progress = tell
        self.meter = DeviceMeter()
        """Whoever has sensors adds their readings here."""
        self._random = random.Random()  # noqa: S311 - no secret: token numbers that no cache has seen
        self._results: dict[BenchTest, BenchResult] = {}
        self._windows: dict[BenchTest, list[Window]] = {}
        self._facts = ServerFacts()
        self._skipped: list[str] = []
        self._done: list[BenchTest] = []
        self._left: list[BenchTest] = []
        self._costs = Costs()
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def hear(self, event: Event) -> None:
        """An engine's subscriber, or a poller's: readings of the sensors belong to the bench."""
        if isinstance(event, TelemetryUpdated):
            self.meter.add(event.snapshot)

    def stop(self) -> None:
        """Ends the bench; what was measured is kept. On the loop that runs it."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()

    async def run(self, plan: BenchPlan) -> BenchOutcome:
        began = self._clock.monotonic()
        problem: str | None = None
        self._task = asyncio.create_task(self._measure(plan), name="bench")
        try:
            await self._task
            await asyncio.sleep(_SETTLE_S)
        except HettuiError as error:
            problem = str(error)
        except asyncio.CancelledError:
            self._task.cancel()
            await asyncio.wait({self._task})
            if not self._stopped:
                raise
            problem = "stopped before the end"
        return self._outcome(plan, (began, self._clock.monotonic()), problem)

    def _outcome(self, plan: BenchPlan, whole: Window, problem: str | None) -> BenchOutcome:
        results, generating = [], []
        for test, result in self._results.items():
            windows = self._windows[test]
            samples = [
                replace(sample, energy_j=self.meter.energy_j(window))
                for sample, window in zip(result.samples, windows, strict=True)
            ]
            results.append(replace(result, samples=tuple(samples)))
            if test.generate and test.streams == 1:
                generating += [(w, s.tokens) for w, s in zip(windows, result.samples, strict=True)]
        return BenchOutcome(
            plan,
            self._facts,
            tuple(results),
            self.meter.figures(whole, generating),
            self.meter.limits_w(),
            tuple(self._skipped),
            problem,
        )

    async def _measure(self, plan: BenchPlan) -> None:
        self._tell("asking the server")
        self._facts = await self._client.facts()
        tests, self._skipped = plan.tests(self._facts)
        if not tests:
            raise ServerError("nothing of this can be measured here: " + "; ".join(self._skipped))
        self._results = {test: BenchResult(test) for test in tests}
        self._windows = {test: [] for test in tests}
        self._left = [test for _ in range(plan.repeats) for test in tests]
        await self._warm_up(tests)
        for repeat in range(plan.repeats):
            for test in tests:
                self._tell(f"{test.name}, run {repeat + 1} of {plan.repeats}")
                await self._run_once(test)
                self._done.append(self._left.pop(0))
        self._tell("done")

    def _tell(self, now: str) -> None:
        done, left_s = self._costs.share(self._done, self._left)
        self._tell_progress(BenchProgress(now, done, left_s, tuple(self._results.values()), tuple(self._skipped)))

    async def _warm_up(self, tests: Sequence[BenchTest]) -> None:
        """Wakes clocks, caches and graphs, and shows how long everything will take. Not counted."""
        size = max((t.prompt for t in tests), default=0) or 32
        self._tell("warming up")
        read = await _readable(lambda: self._ask(self._tokens(size), WARM_UP_TOKENS))
        timings = read.timings
        wrote = (timings.generated_tokens or 1) - 1
        seconds = read.end_s - (read.begin_s or read.end_s)
        self._costs = Costs(timings.prompt_per_second, wrote / seconds if seconds > 0 and wrote else None)

    async def _run_once(self, test: BenchTest) -> None:
        try:
            sample, window = await _readable(lambda: self._try(test))
        except _Unusable as error:
            self._results[test] = replace(self._results[test], note=str(error))
            return
        self._results[test] = self._results[test].with_sample(sample)
        self._windows[test].append(window)

    async def _try(self, test: BenchTest) -> tuple[BenchSample, Window]:
        return await (self._parallel(test) if test.streams > 1 else self._single(test))

    async def _single(self, test: BenchTest) -> tuple[BenchSample, Window]:
        if test.prompt:
            return await self._read(test)
        asked = self._clock.monotonic()
        stream = await self._ask(self._tokens(max(1, test.depth)), test.generate + 1)
        return self._generated(test, [stream], asked)

    async def _read(self, test: BenchTest) -> tuple[BenchSample, Window]:
        before = self._tokens(test.depth)
        if before:
            await self._ask(before, 1, cache=True)
        asked = self._clock.monotonic()
        stream = await self._ask(before + self._tokens(test.prompt), 1, cache=bool(before))
        timings = stream.timings
        if timings.prompt_tokens is not None and timings.prompt_tokens != test.prompt:
            raise _Unusable(
                f"the server read {timings.prompt_tokens} tokens instead of {test.prompt}: it cannot keep "
                f"{test.depth} in the context"
            )
        begin, end = asked, stream.begin_s or stream.end_s
        # The server's clock: ours has the way there and back in it, which the time to the first token tells.
        seconds = timings.prompt_s if timings.prompt_s else end - begin
        first_s = end - begin
        return BenchSample(test.prompt, seconds, first_s, server_per_second=timings.prompt_per_second), (begin, end)

    async def _parallel(self, test: BenchTest) -> tuple[BenchSample, Window]:
        asked = self._clock.monotonic()
        requests = [
            asyncio.create_task(self._ask(self._tokens(PARALLEL_PROMPT_TOKENS), test.generate + 1, slot=None))
            for _ in range(test.streams)
        ]
        try:
            streams = await asyncio.gather(*requests)
        finally:
            for request in requests:
                request.cancel()
        return self._generated(test, streams, asked)

    def _generated(self, test: BenchTest, streams: Sequence[_Stream], asked: float) -> tuple[BenchSample, Window]:
        begins = [s.begin_s for s in streams if s.begin_s is not None]
        steps = [(s.timings.generated_tokens or len(s.arrivals_s)) - 1 for s in streams]
        if len(begins) < len(streams) or any(step < test.generate for step in steps):
            raise _Unusable(f"the server made {min(steps) + 1} tokens instead of {test.generate + 1}: it has a limit")
        begin, end = min(begins), max(s.end_s for s in streams)
        clocks = [ClientClock.of(asked, s.arrivals_s) for s in streams]
        p50 = [c.between_p50_s for c in clocks if c.between_p50_s is not None]
        p99 = [c.between_p99_s for c in clocks if c.between_p99_s is not None]
        rates = [s.timings.generated_per_second for s in streams if s.timings.generated_per_second is not None]
        drafted = [s.timings.drafted_tokens for s in streams if s.timings.drafted_tokens is not None]
        accepted = sum(s.timings.accepted_tokens or 0 for s in streams)
        sample = BenchSample(
            sum(steps),
            end - begin,
            max(begins) - asked,
            sum(p50) / len(p50) if p50 else None,
            max(p99, default=None),
            sum(rates) / len(rates) if rates else None,
            drafted_tokens=sum(drafted) if drafted else None,
            accepted_tokens=accepted if drafted else None,
        )
        return sample, (begin, end)

    def _tokens(self, count: int) -> list[int]:
        size = self._facts.vocabulary or _FALLBACK_VOCABULARY
        return [self._random.randrange(min(_FIRST_TOKEN, size // 2), size) for _ in range(count)]

    async def _ask(self, prompt: list[int], tokens: int, *, cache: bool = False, slot: int | None = 0) -> _Stream:
        options: dict[str, object] = {
            "n_predict": tokens,
            "cache_prompt": cache,
            "ignore_eos": True,
            "temperature": 0.0,
            "return_progress": True,
        }
        if slot is not None:
            options["id_slot"] = slot
        stream = _Stream()
        finished = False
        async with contextlib.aclosing(self._client.complete(prompt, options)) as deltas:  # type: ignore[type-var]
            async for delta in deltas:
                now = self._clock.monotonic()
                read = delta.progress is not None and delta.progress.done_tokens >= delta.progress.total_tokens
                if stream.begin_s is None and (delta.text or read):
                    stream.begin_s = now
                if delta.text:
                    stream.arrivals_s.append(now)
                if delta.timings:
                    stream.timings = delta.timings
                finished = finished or delta.finish_reason is not None
                stream.end_s = now
        if not finished:
            raise ServerError("the server closed the connection in the middle of the bench: see its log")
        return stream


async def _readable(ask: Callable[[], Awaitable[_T]]) -> _T:
    """Out of random tokens a model may make what llama-server's own parser refuses at the end of the answer (seen with
    b10068, once in some hundred runs): other tokens are asked then."""
    for _ in range(_SPARE_TRIES):
        try:
            return await ask()
        except ServerError as error:
            if _REFUSED not in str(error):
                raise
    return await ask()


class _Unusable(HettuiError):
    """This run measured something else than it should."""
