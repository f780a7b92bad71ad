"""The parallel smoke test: copies of one prompt at once, and what became of each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace

from hettui.domain.chat.parallel import MAX_STREAMS, ParallelRow
from hettui.domain.errors import ServerError
from hettui.ports import Clock, LlamaClient
from hettui.services.events import Event, ParallelChanged

_TELL_S = 0.25


class ParallelTest:
    """Runs on the engine's loop. Ends with `ParallelChanged(done=True)`, whatever happens."""

    def __init__(self, clock: Clock, emit: Callable[[Event], None]) -> None:
        self._clock = clock
        self._emit = emit
        self._task: asyncio.Task[None] | None = None
        self._rows: list[ParallelRow] = []

    @property
    def busy(self) -> bool:
        return self._task is not None and not self._task.done()

    def start(self, client: LlamaClient, prompt: str, streams: int | None, options: dict[str, object]) -> None:
        """`streams` copies of a raw prompt; None: as many as the server has slots. Raises ServerError while busy."""
        if self.busy:
            raise ServerError("the parallel test is still running: Esc stops it")
        self._task = asyncio.create_task(self._run(client, prompt, streams, options), name="parallel test")

    async def cancel(self) -> None:
        if self._task and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self, client: LlamaClient, prompt: str, streams: int | None, options: dict[str, object]) -> None:
        problem: str | None = None
        teller: asyncio.Task[None] | None = None
        streaming: list[asyncio.Task[None]] = []
        self._rows = []
        try:
            count = streams or (await client.facts()).slots or 1
            self._rows = [ParallelRow() for _ in range(min(count, MAX_STREAMS))]
            teller = asyncio.create_task(self._tell())
            began = self._clock.monotonic()
            streaming = [
                asyncio.create_task(self._stream(client, i, prompt, options, began)) for i in range(len(self._rows))
            ]
            await asyncio.gather(*streaming)
        except ServerError as error:
            problem = str(error)
        except asyncio.CancelledError:
            problem = "stopped"
            raise
        finally:
            for task in (*streaming, *((teller,) if teller else ())):
                task.cancel()
            self._emit(ParallelChanged(tuple(self._rows), done=True, problem=problem))

    async def _tell(self) -> None:
        while True:
            self._emit(ParallelChanged(tuple(self._rows), done=False))
            await asyncio.sleep(_TELL_S)

    async def _stream(
        self, client: LlamaClient, index: int, prompt: str, options: dict[str, object], began: float
    ) -> None:
        try:
            async with contextlib.aclosing(client.complete(prompt, options)) as deltas:  # type: ignore[type-var]
                async for delta in deltas:
                    if delta.text:
                        row, now = self._rows[index], self._clock.monotonic() - began
                        first = now if row.first_s is None else row.first_s
                        self._rows[index] = replace(row, tokens=row.tokens + 1, first_s=first, last_s=now)
        except ServerError as error:
            self._rows[index] = replace(self._rows[index], problem=str(error))
        else:
            self._rows[index] = replace(self._rows[index], ended=True)
