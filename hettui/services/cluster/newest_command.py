"""One operation on the cluster at a time, and the newest command is the one that counts."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from hettui.domain.errors import LaunchError


class NewestCommand:
    """What is being done to the cluster now. All methods run on the engine's loop."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    @property
    def at_work(self) -> bool:
        return self._task is not None and not self._task.done()

    async def replace(self, work: Coroutine[None, None, None]) -> None:
        """Cancels what is at work, waits for its end, and does this instead. Raises what the work raises.

        Raises LaunchError when a newer command takes its place.
        """
        previous, self._task = self._task, None
        task = self._task = asyncio.create_task(_after(previous, work), name="cluster operation")
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise LaunchError("a newer command took its place") from None
            raise

    def begin(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        """Does this in the background. Only while nothing else is at work."""
        self._task = asyncio.create_task(work, name=name)
        return self._task

    async def settled(self) -> None:
        """Returns when nothing is at work any more."""
        while self._task is not None and not self._task.done():
            await asyncio.wait({self._task})

    async def end(self, *, cancel: bool) -> None:
        """Waits for what is at work, which is cancelled or comes to its end."""
        task, self._task = self._task, None
        if task is not None and not task.done():
            if cancel:
                task.cancel()
            await asyncio.wait({task})


async def _after(previous: asyncio.Task[None] | None, work: Coroutine[None, None, None]) -> None:
    if previous and not previous.done():
        previous.cancel()
        try:
            await asyncio.wait({previous})
        except asyncio.CancelledError:
            # An even newer command: it waits for this one, which still waits for the one before.
            work.close()
            await asyncio.wait({previous})
            raise
    await work
