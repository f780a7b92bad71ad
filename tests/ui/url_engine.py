"""The screen's engine with a real client to a given address and no cluster: for what happens between the two."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from hettui.adapters.llama.http import HttpLlamaClient
from hettui.domain.chat.wire import ChatTurn
from hettui.services.chat.parallel import ParallelTest
from hettui.services.chat.session import ChatSession
from hettui.wiring.engine import SystemClock
from tests.patience import patience
from tests.ui.stage import StageEngine


@dataclass
class UrlEngine(StageEngine):
    """As the real one: a thread with its own loop, events on that thread."""

    url: str = ""
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def __enter__(self) -> UrlEngine:
        self._thread = threading.Thread(target=self.loop.run_forever, name="engine", daemon=True)
        self._thread.start()
        self._do(self._set_up()).result(patience(10))
        return self

    async def _set_up(self) -> None:
        self._client = HttpLlamaClient(self.url)
        self._session = ChatSession(SystemClock(), self.emit)
        self._parallel = ParallelTest(SystemClock(), self.emit)

    def _do(self, work: Coroutine[Any, Any, None]) -> Future[None]:
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def chat(self, turns: Sequence[ChatTurn], options: dict[str, object] | None = None) -> Future[None]:
        async def send() -> None:
            self._session.send(self._client, turns, options or {})

        return self._do(send())

    def complete(self, prompt: str, options: dict[str, object] | None = None) -> Future[None]:
        async def send() -> None:
            self._session.complete(self._client, prompt, options or {})

        return self._do(send())

    def parallel(self, prompt: str, streams: int | None, options: dict[str, object]) -> Future[None]:
        async def start() -> None:
            self._parallel.start(self._client, prompt, streams, options)

        return self._do(start())

    def cancel_chat(self) -> Future[None]:
        return self._do(self._session.cancel())

    def __exit__(self, *_: object) -> None:
        async def end() -> None:
            await self._session.cancel()
            await self._parallel.cancel()
            await self._client.close()
            # What was cancelled a moment ago gets its turn to end, as in the real one.
            left = asyncio.all_tasks() - {asyncio.current_task()}
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left)

        self._do(end()).result(patience(10))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(patience(10))
        self.loop.close()
