"""Samples every telemetry source on a thread of its own: a sensor that hangs stops nobody else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue

from hettui.domain.telemetry import DeviceSample, TelemetrySnapshot
from hettui.domain.text import clean_line
from hettui.ports import Clock, TelemetrySource, TelemetryTarget
from hettui.services.events import Event, TelemetryUpdated

_Round = tuple[Sequence[TelemetryTarget], "Future[dict[str, DeviceSample]]"]


class Poller:
    """One sampling round per interval. Runs on the engine's loop; sources run on their own threads."""

    def __init__(
        self,
        sources: Sequence[TelemetrySource],
        clock: Clock,
        emit: Callable[[Event], None],
        interval_s: float,
    ) -> None:
        self._channels = [_Channel(source, i) for i, source in enumerate(sources)]
        self._clock = clock
        self._emit = emit
        self.interval_s = interval_s
        self.targets: tuple[TelemetryTarget, ...] = ()

    async def run(self) -> None:
        """Samples until cancelled. A source still busy with the last round is left out of this one."""
        while True:
            started = self._clock.monotonic()
            targets = self.targets
            asked = [asyncio.wrap_future(f) for c in self._channels if (f := c.ask(targets)) is not None]
            if asked:
                await asyncio.wait(asked, timeout=self.interval_s)
            self._publish(targets)
            spent_s = self._clock.monotonic() - started
            await asyncio.sleep(max(0.05, self.interval_s - spent_s))

    def _publish(self, targets: Sequence[TelemetryTarget]) -> None:
        samples: dict[str, DeviceSample] = {}
        errors: dict[str, str] = {}
        for channel in self._channels:
            found, problem = channel.collect()
            samples |= {name: sample for name, sample in found.items() if any(t.name == name for t in targets)}
            if problem:
                errors |= {t.name: problem for t in targets if t.name not in samples}
        errors = {name: text for name, text in errors.items() if name not in samples}
        self._emit(TelemetryUpdated(TelemetrySnapshot(self._clock.monotonic(), self.interval_s, samples, errors)))

    def close(self) -> None:
        """Ends the threads; one that hangs in a driver is left behind and does not keep the program alive."""
        for channel in self._channels:
            channel.close()


class _Channel:
    """One source with its thread: a daemon, because Python waits at exit for a pool's thread, even a hung one."""

    def __init__(self, source: TelemetrySource, number: int) -> None:
        self._source = source
        self._requests: SimpleQueue[_Round | None] = SimpleQueue()
        self._running: Future[dict[str, DeviceSample]] | None = None
        threading.Thread(target=self._serve, name=f"sensor-{number}", daemon=True).start()

    def ask(self, targets: Sequence[TelemetryTarget]) -> Future[dict[str, DeviceSample]] | None:
        if self._running is not None and not self._running.done():
            return None
        self._running = Future()
        self._requests.put((targets, self._running))
        return self._running

    def collect(self) -> tuple[dict[str, DeviceSample], str | None]:
        """The finished round's samples, or why there are none."""
        if self._running is None or not self._running.done():
            return {}, "its sensors do not answer"
        if (error := self._running.exception()) is not None:
            return {}, clean_line(f"its sensors failed: {error}", 200)
        return self._running.result(), None

    def close(self) -> None:
        self._requests.put(None)

    def _serve(self) -> None:
        while (request := self._requests.get()) is not None:
            targets, answer = request
            try:
                answer.set_result(self._source.sample(targets))
            except Exception as error:  # a broken driver raises anything; the round then says so
                answer.set_exception(error)
        self._source.close()
