"""Samples every telemetry source on a thread of its own: a sensor that hangs stops nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import count
from queue import SimpleQueue

from hettui.domain.devices.device import LOCAL
from hettui.domain.telemetry.bounds import plausible
from hettui.domain.telemetry.readings import DeviceSample, TelemetrySnapshot
from hettui.domain.text import clean_line
from hettui.ports import Clock, PartlyRead, TelemetrySource, TelemetryTarget
from hettui.services.events import Event, TelemetryUpdated

SourceFactory = Callable[[], TelemetrySource]

ABANDON_AFTER_S = 5.0
"""A call that takes longer hangs: its thread is left behind and the source is tried anew on another one."""
RETRY_AFTER_S = (5.0, 10.0, 20.0, 40.0, 60.0)
MOST_HUNG_THREADS = 4
"""So many calls may hang in a driver at once; only when one comes back is the source tried again."""
SHORTEST_INTERVAL_S, LONGEST_INTERVAL_S = 0.25, 10.0


class Poller:
    """One sampling round per interval. Runs on the engine's loop; sources run on their own threads."""

    def __init__(
        self,
        sources: Sequence[SourceFactory],
        clock: Clock,
        emit: Callable[[Event], None],
        interval_s: float,
    ) -> None:
        self._channels = [_Channel(source, i, clock) for i, source in enumerate(sources)]
        self._clock = clock
        self._emit = emit
        self._interval_s = interval_s
        self._hurry = asyncio.Event()
        self.targets: tuple[TelemetryTarget, ...] = ()

    @property
    def interval_s(self) -> float:
        return self._interval_s

    def set_interval(self, interval_s: float) -> None:
        """Takes effect at once. On the engine's loop only."""
        if interval_s < self._interval_s:
            self._hurry.set()
        self._interval_s = interval_s

    async def run(self) -> None:
        """Samples until cancelled."""
        while True:
            started = self._clock.monotonic()
            await self.round()
            spent_s = self._clock.monotonic() - started
            self._hurry.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.05, self._interval_s - spent_s)):
                    await self._hurry.wait()

    async def round(self) -> None:
        """Asks all sources and emits what they say. One that is still busy with an earlier round is left out."""
        targets = self.targets
        asked = [future for c in self._channels if (future := c.ask(targets)) is not None]
        if asked:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await _all_of(asked)
        self._publish(targets)

    def _publish(self, targets: Sequence[TelemetryTarget]) -> None:
        samples: dict[str, DeviceSample] = {}
        errors: dict[str, str] = {}
        for channel in self._channels:
            found, problems = channel.collect()
            samples |= {t.name: plausible(found[t.name], cpu=t.backend == "cpu") for t in targets if t.name in found}
            errors |= {t.name: problems[t.name] for t in targets if t.name in problems}
        errors = {name: text for name, text in errors.items() if name not in samples}
        self._emit(TelemetryUpdated(TelemetrySnapshot(self._clock.monotonic(), self._interval_s, samples, errors)))

    def close(self) -> None:
        """Ends the threads; one that hangs in a driver is left behind and does not keep the program alive."""
        for channel in self._channels:
            channel.close()


def _all_of(answers: Sequence[Future[dict[str, DeviceSample]]]) -> asyncio.Future[None]:
    """Done when all are there. The loop is woken up once, not three times for each of them."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    came = count(1)

    def last() -> None:
        if not done.done():
            done.set_result(None)

    def one(_: object) -> None:
        # On its own thread; counting is one step of the interpreter's.
        if next(came) == len(answers):
            # The engine may have ended meanwhile.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(last)

    for answer in answers:
        answer.add_done_callback(one)
    return done


class _Call:
    """One round's question to a source."""

    def __init__(self, targets: Sequence[TelemetryTarget], asked_s: float) -> None:
        self.targets = targets
        self.asked_s = asked_s
        self.answer: Future[dict[str, DeviceSample]] = Future()


class _Channel:
    """One source with its thread: a daemon, because Python waits at exit for a pool's thread, even a hung one."""

    def __init__(self, source: SourceFactory, number: int, clock: Clock) -> None:
        self._make = source
        self._far = bool(getattr(source, "far", False))
        """It is there for other machines' devices, and not for this one's."""
        self._about: Callable[[TelemetryTarget], bool] = getattr(source, "is_about", _anything)
        self._name = f"sensor-{number}"
        self._clock = clock
        self._call: _Call | None = None
        self._requests: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._hung: list[threading.Thread] = []
        """Threads that were left behind; one whose call came back has ended."""
        self._hangs = 0
        """In a row."""
        self._retry_at_s = 0.0
        self._asked: Sequence[TelemetryTarget] = ()
        """About what the source was asked last."""

    def ask(self, targets: Sequence[TelemetryTarget]) -> Future[dict[str, DeviceSample]] | None:
        """The answer to come; None while the last one is still awaited, the source is given a rest, or there is nothing
        to ask it. When there is nothing any more it is told once: it may have something to let go."""
        targets = [t for t in targets if (t.host != LOCAL) == self._far and self._about(t)]
        if not targets and not self._asked:
            return None
        now_s, call = self._clock.monotonic(), self._call
        if call is not None and not call.answer.done():
            if now_s - call.asked_s < ABANDON_AFTER_S:
                return None
            self._abandon(now_s)
        if self._thread is None:
            self._hung = [thread for thread in self._hung if thread.is_alive()]
            if self._hangs and (now_s < self._retry_at_s or len(self._hung) >= MOST_HUNG_THREADS):
                return None
            self._begin()
        self._asked = targets
        self._call = _Call(targets, now_s)
        self._requests.put(self._call)
        return self._call.answer

    def _begin(self) -> None:
        self._requests = SimpleQueue()
        arguments = (self._make, self._requests)
        self._thread = threading.Thread(target=_serve, args=arguments, name=self._name, daemon=True)
        self._thread.start()

    def _abandon(self, now_s: float) -> None:
        """Leaves the hung thread behind. It ends when its call comes back, and what it says then is not used."""
        self._requests.put(None)
        if self._thread is not None:
            self._hung.append(self._thread)
        self._thread = self._call = None
        self._retry_at_s = now_s + RETRY_AFTER_S[min(self._hangs, len(RETRY_AFTER_S) - 1)]
        self._hangs += 1

    def collect(self) -> tuple[dict[str, DeviceSample], dict[str, str]]:
        """The finished round's samples, and why there are none of others."""
        if self._call is None or not self._call.answer.done():
            return {}, self._of_all("its sensors do not answer")
        error = self._call.answer.exception()
        if error is not None and not isinstance(error, PartlyRead):
            return {}, self._of_all(clean_line(f"its sensors failed: {error}", 200))
        self._hangs = 0
        if isinstance(error, PartlyRead):
            return error.samples, {name: clean_line(text, 200) for name, text in error.errors.items()}
        return self._call.answer.result(), {}

    def _of_all(self, problem: str) -> dict[str, str]:
        return {target.name: problem for target in self._asked}

    def close(self) -> None:
        self._requests.put(None)


def _anything(_: TelemetryTarget) -> bool:
    return True


def _serve(make: SourceFactory, requests: SimpleQueue[_Call | None]) -> None:
    """A source's thread: it is made, asked and closed here and nowhere else."""
    source = make()
    while (call := requests.get()) is not None:
        try:
            found = source.sample(call.targets)
        except Exception as error:  # a driver may fail in any way: it becomes the device's message
            call.answer.set_exception(error)
        else:
            call.answer.set_result(found)
    source.close()
