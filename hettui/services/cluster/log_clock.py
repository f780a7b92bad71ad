"""When logs are read: quickly while something starts, calmly while all is well, not at all while nothing runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.errors import HettuiError
from hettui.services.cluster.facade import ClusterFacade
from hettui.services.events import ClusterChanged, Event, Notice

BUSY_TICK_S = 0.1
QUIET_TICK_S = 0.25


class LogClock:
    """Has the cluster's logs read. On the engine's loop only."""

    def __init__(self, cluster: Callable[[], ClusterFacade], emit: Callable[[Event], None]) -> None:
        """`cluster` is the one of this moment."""
        self._cluster = cluster
        self._emit = emit
        self._stirred = asyncio.Event()

    def hear(self, event: Event) -> None:
        if isinstance(event, ClusterChanged):
            self._stirred.set()

    async def run(self) -> None:
        """Never ends."""
        complained = False
        while True:
            cluster = self._cluster()
            try:
                cluster.read_logs()
                complained = False
            except (HettuiError, OSError) as error:
                # A folder that vanished or may not be read: what runs is not concerned.
                if not complained:
                    self._emit(Notice(f"the logs cannot be read: {error}", "warning"))
                complained = True
            now = cluster.snapshot
            if now.state is ClusterState.DOWN and not now.processes and not cluster.follows_others:
                # Nobody writes, and whatever begins says so first.
                self._stirred.clear()
                await self._stirred.wait()
            else:
                quiet = now.state in (ClusterState.READY, ClusterState.DOWN)
                await asyncio.sleep(QUIET_TICK_S if quiet else BUSY_TICK_S)
