"""One answer at a time: streams it, cleans it, hands it on in pieces of a steady rhythm."""

from __future__ import annotations

import asyncio
import contextlib
from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

from hettui.domain.chat.figures import ClientClock
from hettui.domain.chat.queueing import queue_text, reading_text
from hettui.domain.chat.wire import ChatDelta, ChatTurn, PromptProgress, Timings
from hettui.domain.errors import ConnectionLost, ServerError
from hettui.domain.text import StreamCleaner
from hettui.ports import Clock, LlamaClient
from hettui.services.events import ChatEnded, ChatProgressed, ChatWaiting, Event

FLUSH_S = 0.1
"""Tokens are gathered this long, so that 1,000 tokens a second are ten messages to the screen."""
QUEUE_LOOK_S = 0.7
"""When nothing has come for so long, the server is asked why, and again after each such time."""
CONNECT_TRIES = 3
CONNECT_AGAIN_S = 0.5
_CUT_OFF = "the server closed the connection in the middle of the answer"


class ChatSession:
    """Runs on the engine's loop."""

    def __init__(self, clock: Clock, emit: Callable[[Event], None]) -> None:
        self._clock = clock
        self._emit = emit
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """An answer is being waited for or written."""
        return self._task is not None and not self._task.done()

    def send(self, client: LlamaClient, turns: Sequence[ChatTurn], options: dict[str, object]) -> None:
        """Starts an answer. Raises ServerError while another one runs."""
        # The answer to a conversation that ends with the assistant's words repeats them (b10068).
        prefix = turns[-1].content if turns and turns[-1].role == "assistant" else ""
        asked = tuple(turns)
        self._start(client, lambda: client.chat(asked, {"return_progress": True, **options}), prefix)

    def complete(self, client: LlamaClient, prompt: str, options: dict[str, object]) -> None:
        """As `send`, of a raw prompt."""
        self._start(client, lambda: client.complete(prompt, {"return_progress": True, **options}), "")

    def _start(self, client: LlamaClient, ask: Callable[[], AsyncIterator[ChatDelta]], prefix: str) -> None:
        if self.busy:
            raise ServerError("an answer is still being written: stop it first")
        self._task = asyncio.create_task(self._run(client, ask, prefix), name="chat")

    async def ended(self) -> None:
        """Returns when the running answer has ended, however it did."""
        if self._task:
            await asyncio.wait({self._task})

    async def cancel(self) -> None:
        """Stops the running answer by closing its connection; llama-server then frees the slot."""
        if self._task and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self, client: LlamaClient, ask: Callable[[], AsyncIterator[ChatDelta]], prefix: str) -> None:
        answer = _Answer(self._clock, self._emit, prefix)
        side = [asyncio.create_task(self._tell_queue(client, answer)), asyncio.create_task(_context(client, answer))]
        try:
            await self._stream(ask, answer)
            answer.flush(final=True)
            await asyncio.wait(side[1:], timeout=QUEUE_LOOK_S)
            self._emit(answer.ended(None if answer.finish else _CUT_OFF))
        except ServerError as error:
            answer.flush(final=True)
            self._emit(answer.ended(str(error)))
        except asyncio.CancelledError:
            answer.flush(final=True)
            self._emit(answer.ended(None, cancelled=True))
            raise
        finally:
            for task in side:
                task.cancel()

    async def _stream(self, ask: Callable[[], AsyncIterator[ChatDelta]], answer: _Answer) -> None:
        """The whole answer. A connection that breaks before anything came is made again: nothing is lost by it."""
        for attempt in range(1, CONNECT_TRIES + 1):
            try:
                async with contextlib.aclosing(ask()) as deltas:  # type: ignore[type-var]
                    async for delta in deltas:
                        answer.feed(delta)
            except ConnectionLost as lost:
                if answer.begun or attempt == CONNECT_TRIES:
                    raise
                self._emit(ChatWaiting(f"{lost}; trying again ({attempt + 1} of {CONNECT_TRIES})"))
                await asyncio.sleep(CONNECT_AGAIN_S)
            else:
                return

    async def _tell_queue(self, client: LlamaClient, answer: _Answer) -> None:
        """While nothing comes: what the question waits for. Its place is the last at first, and only moves up."""
        place: int | None = None
        while True:
            await asyncio.sleep(QUEUE_LOOK_S)
            if answer.begun:
                return
            slots, queued = await client.slots(), await client.queued()
            if answer.begun:
                return
            if queued is not None:
                place = min(queued, place or queued) or None
            self._emit(ChatWaiting(queue_text(slots, place, self._clock.monotonic() - answer.asked_s)))


async def _context(client: LlamaClient, answer: _Answer) -> None:
    answer.context_tokens = (await client.facts()).slot_context_tokens


class _Answer:
    """What has arrived of one answer and was not shown yet."""

    def __init__(self, clock: Clock, emit: Callable[[Event], None], prefix: str) -> None:
        self.finish: str | None = None
        self.begun = False
        """Something has come: at least word that the prompt is being read."""
        self.context_tokens: int | None = None
        self._server_timings: Timings | None = None
        self._clock = clock
        self._emit = emit
        self.asked_s = clock.monotonic()
        self._arrivals_s = array("d")
        self._flushed = 0.0
        self._prefix = prefix
        self._text_cleaner, self._reasoning_cleaner = StreamCleaner(), StreamCleaner()
        self._text = self._reasoning = ""

    def ended(self, problem: str | None, *, cancelled: bool = False) -> ChatEnded:
        clock = ClientClock.of(self.asked_s, self._arrivals_s) if self._arrivals_s else None
        timings = self._server_timings
        if clock is not None:
            timings = replace(timings or Timings(), first_token_s=clock.first_token_s)
        return ChatEnded(timings, problem, cancelled, clock, self.finish == "length", self.context_tokens)

    def feed(self, delta: ChatDelta) -> None:
        self.begun = True
        now = self._clock.monotonic()
        if delta.timings:
            self._server_timings = delta.timings
        if delta.finish_reason:
            self.finish = delta.finish_reason
        if delta.progress:
            self._tell_progress(delta.progress)
        if not (delta.text or delta.reasoning):
            return
        self._arrivals_s.append(now)
        self._text += self._text_cleaner.feed(self._unprefixed(delta.text))
        self._reasoning += self._reasoning_cleaner.feed(delta.reasoning)
        if now - self._flushed >= FLUSH_S:
            self._flushed = now
            self.flush()

    def _tell_progress(self, progress: PromptProgress) -> None:
        if progress.done_tokens < progress.total_tokens:
            self._emit(ChatWaiting(reading_text(progress)))

    def _unprefixed(self, text: str) -> str:
        """The text without the words that the server was given to go on from."""
        if not self._prefix or not text:
            return text
        expected, self._prefix = self._prefix, ""
        if text.startswith(expected):
            return text[len(expected) :]
        if expected.startswith(text):
            self._prefix = expected[len(text) :]
            return ""
        return text

    def flush(self, *, final: bool = False) -> None:
        if final:
            self._text += self._text_cleaner.finish()
            self._reasoning += self._reasoning_cleaner.finish()
        if self._text or self._reasoning:
            elapsed_s = self._clock.monotonic() - (self._arrivals_s[0] if self._arrivals_s else self.asked_s)
            self._emit(ChatProgressed(self._text, self._reasoning, len(self._arrivals_s), elapsed_s))
            self._text = self._reasoning = ""
