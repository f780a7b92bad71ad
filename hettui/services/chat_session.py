"""One answer at a time: streams it, cleans it, hands it on in pieces of a steady rhythm."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from hettui.domain.chat import ChatTurn, Timings
from hettui.domain.errors import ServerError
from hettui.domain.text import StreamCleaner
from hettui.ports import Clock, LlamaClient
from hettui.services.events import ChatEnded, ChatProgressed, Event

FLUSH_S = 0.05
"""Tokens are gathered this long, so that 1,000 tokens a second are 20 messages to the screen."""


class ChatSession:
    """Runs on the engine's loop."""

    def __init__(self, clock: Clock, emit: Callable[[Event], None]) -> None:
        self._clock = clock
        self._emit = emit
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        return self._task is not None and not self._task.done()

    def send(self, client: LlamaClient, turns: Sequence[ChatTurn], options: dict[str, object]) -> None:
        """Starts an answer. Raises ServerError while another one runs."""
        if self.busy:
            raise ServerError("an answer is still being written: stop it first")
        self._task = asyncio.create_task(self._run(client, tuple(turns), options), name="chat")

    async def cancel(self) -> None:
        """Stops the running answer by closing its connection; llama-server then frees the slot."""
        if self._task and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self, client: LlamaClient, turns: Sequence[ChatTurn], options: dict[str, object]) -> None:
        answer = _Answer(self._clock, self._emit)
        try:
            async for delta in client.chat(turns, options):
                answer.feed(delta.text, delta.reasoning, delta.timings)
                if delta.finish_reason:
                    answer.finished = True
            answer.flush(final=True)
            cut_off = "" if answer.finished else "the server closed the connection in the middle of the answer"
            self._emit(ChatEnded(answer.timings, cut_off or None))
        except ServerError as error:
            answer.flush(final=True)
            self._emit(ChatEnded(answer.timings, str(error)))
        except asyncio.CancelledError:
            answer.flush(final=True)
            self._emit(ChatEnded(answer.timings, cancelled=True))
            raise


class _Answer:
    """What has arrived of one answer and was not shown yet."""

    def __init__(self, clock: Clock, emit: Callable[[Event], None]) -> None:
        self.finished = False
        self._server_timings: Timings | None = None
        self._clock = clock
        self._emit = emit
        self._asked = clock.monotonic()
        self._first: float | None = None
        self._flushed = 0.0
        self._tokens = 0
        self._text_cleaner, self._reasoning_cleaner = StreamCleaner(), StreamCleaner()
        self._text = self._reasoning = ""

    @property
    def timings(self) -> Timings | None:
        """The server's figures with our time to the first token."""
        first_token_s = None if self._first is None else self._first - self._asked
        server = self._server_timings
        if server is None:
            return None if first_token_s is None else Timings(first_token_s=first_token_s)
        return Timings(
            server.prompt_tokens,
            server.prompt_per_second,
            server.generated_tokens,
            server.generated_per_second,
            first_token_s,
            server.cached_tokens,
        )

    def feed(self, text: str, reasoning: str, timings: Timings | None) -> None:
        now = self._clock.monotonic()
        if timings:
            self._server_timings = timings
        if not (text or reasoning):
            return
        if self._first is None:
            self._first = now
        self._tokens += 1
        self._text += self._text_cleaner.feed(text)
        self._reasoning += self._reasoning_cleaner.feed(reasoning)
        if now - self._flushed >= FLUSH_S:
            self._flushed = now
            self.flush()

    def flush(self, *, final: bool = False) -> None:
        if final:
            self._text += self._text_cleaner.finish()
            self._reasoning += self._reasoning_cleaner.finish()
        if self._text or self._reasoning:
            elapsed_s = self._clock.monotonic() - (self._first or self._asked)
            self._emit(ChatProgressed(self._text, self._reasoning, self._tokens, elapsed_s))
            self._text = self._reasoning = ""
