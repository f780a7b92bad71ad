"""Logs are read while somebody may write, and then only."""

from __future__ import annotations

import asyncio
import contextlib

from hettui.domain.cluster.snapshot import ClusterSnapshot, ClusterState
from hettui.services.cluster.log_clock import LogClock
from hettui.services.events import ClusterChanged, Event, Notice


class Cluster:
    def __init__(self, state: ClusterState, *, follows_others: bool = False) -> None:
        self.snapshot = ClusterSnapshot(state)
        self.follows_others = follows_others
        self.read = 0
        self.error: OSError | None = None

    def read_logs(self) -> None:
        self.read += 1
        if self.error is not None:
            raise self.error


class Running:
    """A clock that runs over a cluster, on the test's own loop."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.told: list[Event] = []
        self.clock = LogClock(lambda: self.cluster, self.told.append)  # type: ignore[arg-type, return-value]

    async def __aenter__(self) -> Running:
        self._task = asyncio.create_task(self.clock.run())
        await self.reads(1)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    @property
    def sets_a_timer(self) -> bool:
        return any(not handle.cancelled() for handle in asyncio.get_running_loop()._scheduled)  # type: ignore[attr-defined]

    async def reads(self, count: int) -> None:
        while self.cluster.read < count:
            await asyncio.sleep(0.01)


async def test_while_nothing_runs_it_sleeps_until_the_state_is_told() -> None:
    async with Running(Cluster(ClusterState.DOWN)) as running:
        # Whatever time passes, nothing happens: it waits for no timer.
        assert not running.sets_a_timer
        running.cluster.snapshot = ClusterSnapshot(ClusterState.STARTING)
        running.clock.hear(ClusterChanged(running.cluster.snapshot))
        await running.reads(3)


async def test_anothers_cluster_is_looked_at_also_while_it_is_down() -> None:
    async with Running(Cluster(ClusterState.DOWN, follows_others=True)) as running:
        await running.reads(2)


async def test_what_cannot_be_read_is_told_once() -> None:
    cluster = Cluster(ClusterState.READY)
    cluster.error = OSError("gone")
    async with Running(cluster) as running:
        await running.reads(3)
        assert [event for event in running.told if isinstance(event, Notice)] == running.told
        assert len(running.told) == 1
