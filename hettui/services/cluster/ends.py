"""What ended unasked since the last start, and the story that it makes."""

from __future__ import annotations

import asyncio
import contextlib

from hettui.domain.cluster.postmortem import PostMortem
from hettui.domain.cluster.process import ProcessState
from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.devices.device import LOCAL
from hettui.services.cluster import aftermath
from hettui.services.cluster.running import Running
from hettui.services.cluster.supervisor import Supervised

_ABORTED = -6
"""How llama.cpp's master ends without its worker."""
_FAR_SETTLE_S = 3.0
_LOOK_S = 0.1


class Ends:
    """The ends of one launch, in order. All methods run on the engine's loop."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._processes: list[Supervised] = []
        self.worker_lost = asyncio.Event()
        """Set at the first end of a worker: llama.cpp cannot do without it."""

    def __bool__(self) -> bool:
        return bool(self._processes)

    def add(self, process: Supervised) -> None:
        self._processes.append(process)
        if process.spec.role == "worker":
            self.worker_lost.set()

    def clear(self) -> None:
        """A launch begins."""
        self._processes.clear()
        self.worker_lost.clear()

    async def settle(self) -> None:
        """Returns when what belongs together has ended: the story of a master that lost its worker waits for that of a
        worker on another machine, which comes over a line."""
        await asyncio.sleep(aftermath.SETTLE_S)
        far = any(worker.spec.host != LOCAL for worker in self._running.workers.values())
        ended = {process.spec.role for process in self._processes}
        crashed = any(p.end is not None and p.end.returncode == _ABORTED for p in self._processes)
        if far and ended == {"master"} and crashed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FAR_SETTLE_S):
                    while not self.worker_lost.is_set() and not any(w.cut_off for w in self._running.workers.values()):
                        self._running.read_logs()
                        await asyncio.sleep(_LOOK_S)

    @property
    def may_restart(self) -> bool:
        """Everything that ended may be started again by itself."""
        states = {process.state for process in self._processes}
        return bool(states) and states <= {ProcessState.BACKOFF, ProcessState.STOPPED}

    @property
    def resume_at_s(self) -> float:
        """By the engine's clock: when the pause before a restart is over."""
        return max((process.life.resume_at_s or 0.0 for process in self._processes), default=0.0)

    def examined(self, moment: str = "") -> PostMortem | None:
        """One story of all of them; None when nothing ended. `moment`: what was being done, where it is known."""
        snapshot = self._running.snapshot
        loading = snapshot.state is ClusterState.LOADING or snapshot.load is not None
        moment = moment or ("while the model was loading" if loading else "")
        running = self._running
        workers = running.workers.values()
        return aftermath.examined(self._processes, running.master, running.load.owners, moment, workers)
