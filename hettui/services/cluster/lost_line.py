"""A line to another machine that was lost: its worker lives on, the master's connection to it does not."""

from __future__ import annotations

import asyncio

from hettui.domain.cluster.snapshot import Waiting
from hettui.domain.devices.device import LOCAL
from hettui.services.cluster.running import Running
from hettui.services.cluster.supervisor import Supervised

_LOOK_S = 0.25
_FREE_S, _FREED_S = 1.5, 6.0
"""How soon a worker answers to which no master is connected; and one whose line was lost, which may have to let go of
what its last master held."""


class LostLine:
    """Looks at what runs, and holds nothing of its own. All methods run on the engine's loop."""

    def __init__(self, running: Running) -> None:
        self._running = running

    def _used(self) -> list[Supervised]:
        """Workers of other machines that the master is, or was, connected to."""
        applied = self._running.snapshot.applied
        held = dict(zip(applied.devices, applied.split.layers, strict=True)) if applied else {}
        names = {device.name for device, layers in held.items() if layers}
        workers = self._running.workers.items()
        return [worker for name, worker in workers if name in names and worker.spec.host != LOCAL and worker.alive]

    def is_back(self) -> str | None:
        """Hosts to which the line was lost since the master was started, all of which are reached again; else None."""
        used = self._used()
        lost = [worker for worker in used if worker.was_cut_off]
        if not lost or any(worker.cut_off for worker in used):
            return None
        return ", ".join(sorted({worker.spec.host for worker in lost}))

    def forget(self) -> None:
        """A master was started: what was lost before does not concern it."""
        for worker in self._running.workers.values():
            worker.was_cut_off = False

    async def until_back(self, what: str) -> bool:
        """Waits for all lines; False when a worker ended meanwhile, as it does when its lease is over."""
        used = self._used()
        while any(worker.cut_off for worker in used):
            self._running.tell_waiting(Waiting(f"{what}. It is reached again while the worker's lease runs"))
            await asyncio.sleep(_LOOK_S)
            if not all(worker.alive for worker in used):
                break
        self._running.tell_waiting(None)
        return all(worker.alive for worker in used)

    async def unattached(self) -> list[str]:
        """Hosts of workers that answer us: one that has a master does not."""
        used = self._used()
        free = await asyncio.gather(*(self._is_free(worker) for worker in used))
        return sorted({worker.spec.host for worker, is_free in zip(used, free, strict=True) if is_free})

    async def _is_free(self, worker: Supervised) -> bool:
        try:
            seconds = _FREED_S if worker.was_cut_off else _FREE_S
            await self._running.world.prober.probe(*worker.spec.address, seconds)
        except OSError:
            return worker.cut_off
        return True
