"""Sensors that hang, fail and come back."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Sequence

from hettui.domain.telemetry.readings import DeviceSample, TelemetrySnapshot
from hettui.ports import PartlyRead, TelemetryTarget
from hettui.services.events import Event, TelemetryUpdated
from hettui.services.telemetry.poller import ABANDON_AFTER_S, MOST_HUNG_THREADS, RETRY_AFTER_S, Poller
from tests.fakes import FakeClock
from tests.patience import patience

TARGETS = (TelemetryTarget("card", "cuda", uuid="GPU-1"),)
DEADLINE_S = 10.0


class Driver:
    """What all instances of a source share: it hangs, or it does not."""

    def __init__(self) -> None:
        self.hangs = False
        self.made = 0
        self.closed = 0
        self.entered = threading.Semaphore(0)
        self.release = threading.Event()


class Source:
    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        driver.made += 1
        self._number = driver.made

    def sample(self, targets: Sequence[TelemetryTarget]) -> dict[str, DeviceSample]:
        if self._driver.hangs:
            self._driver.entered.release()
            self._driver.release.wait(patience(DEADLINE_S))
        return {t.name: DeviceSample(utilisation_percent=self._number) for t in targets}

    def close(self) -> None:
        self._driver.closed += 1


class Bench:
    """A poller whose rounds are asked for one by one."""

    def __init__(self) -> None:
        self.driver, self.clock = Driver(), FakeClock()
        self.seen: list[TelemetrySnapshot] = []
        self.poller = Poller([lambda: Source(self.driver)], self.clock, self._take, interval_s=0.05)
        self.poller.targets = TARGETS

    def _take(self, event: Event) -> None:
        assert isinstance(event, TelemetryUpdated)
        self.seen.append(event.snapshot)

    async def round(self, after_s: float = 1.0) -> float | None:
        """The reading of the next round; None when there is none."""
        self.clock.now += after_s
        await self.poller.round()
        sample = self.seen[-1].samples.get("card")
        return None if sample is None else sample.utilisation_percent


async def test_nonsense_of_any_source_is_unknown_before_anybody_sees_it() -> None:
    bench = Bench()
    bench.driver.made = 4294967293
    assert await bench.round() is None
    assert bench.seen[-1].samples == {"card": DeviceSample()}


async def test_a_hung_source_is_left_behind_tried_again_and_comes_back() -> None:
    bench = Bench()
    assert await bench.round() == 1
    bench.driver.hangs = True
    assert await bench.round() is None
    assert bench.seen[-1].errors == {"card": "its sensors do not answer"}
    assert await bench.round() is None
    assert bench.driver.made == 1
    bench.driver.hangs = False
    # Left behind now, and given a rest before the next try.
    assert await bench.round(ABANDON_AFTER_S) is None
    assert bench.driver.made == 1
    assert await bench.round(RETRY_AFTER_S[0]) == 2
    bench.driver.release.set()
    while bench.driver.closed < 1:
        await asyncio.sleep(0.01)
    assert await bench.round() == 2
    bench.poller.close()


async def test_only_so_many_threads_hang_at_once() -> None:
    bench = Bench()
    bench.driver.hangs = True
    for _ in range(40):
        await bench.round(RETRY_AFTER_S[-1])
    assert bench.driver.made == MOST_HUNG_THREADS
    for _ in range(MOST_HUNG_THREADS):
        assert bench.driver.entered.acquire(timeout=patience(DEADLINE_S))
    bench.driver.hangs = False
    bench.driver.release.set()
    while bench.driver.closed < MOST_HUNG_THREADS:
        await asyncio.sleep(0.01)
    assert await bench.round(RETRY_AFTER_S[-1]) == MOST_HUNG_THREADS + 1
    bench.poller.close()


async def test_a_shorter_interval_does_not_wait_for_the_longer_one() -> None:
    bench = Bench()
    bench.poller.set_interval(DEADLINE_S * 10)
    running = asyncio.create_task(bench.poller.run())
    while not bench.seen:
        await asyncio.sleep(0.01)
    bench.poller.set_interval(0.05)
    async with asyncio.timeout(patience(DEADLINE_S)):
        while len(bench.seen) < 3:
            await asyncio.sleep(0.01)
    running.cancel()
    bench.poller.close()


async def test_a_source_that_fails_writes_nothing_to_the_terminal() -> None:
    """While ssh or an editor has it, asyncio's word about an exception that nobody read would stand in its question."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    bench = Bench()

    def fails(targets: Sequence[TelemetryTarget]) -> dict[str, DeviceSample]:
        raise PartlyRead({}, {"card": "silent"})

    bench.poller = Poller([lambda: Failing(fails)], bench.clock, bench._take, interval_s=patience(DEADLINE_S))
    bench.poller.targets = TARGETS
    # An answer lives until the next one is asked for.
    for _ in range(3):
        await bench.poller.round()
    bench.poller.close()
    gc.collect()
    await asyncio.sleep(0)
    assert bench.seen[-1].errors == {"card": "silent"}
    assert told == []


class Failing:
    def __init__(self, sample: Callable[[Sequence[TelemetryTarget]], dict[str, DeviceSample]]) -> None:
        self.sample = sample

    def close(self) -> None:
        pass
