"""A client's connection: requests are read one after the other, and each is passed on, kept waiting, or refused."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Protocol, cast

import h11

from hettui.adapters.door.answer import AnswerLink, Outcome
from hettui.adapters.door.gate import LOOPBACK, Gate
from hettui.adapters.door.request import RequestReader, TooLarge
from hettui.domain.door.rules import (
    PING,
    PROCESSING,
    Asked,
    chunk,
    error_body,
    last_chunk,
    loading,
    stream_head,
    unavailable,
    wants_stream,
    whole_answer,
)

IDLE_S = 75.0
"""Longer than llama-server keeps a connection that nobody uses (5 s): who goes by its word finds ours open."""
PING_S = 5.0
_AHEAD_BYTES = 64 * 1024
_KEPT_BYTES = 512 * 1024 * 1024
"""Of all requests together that are kept to be asked again."""
_TRIES = 2
"""A request that two masters did not survive is not tried on a third."""


class House(Protocol):
    """What all connections share."""

    gate: Gate
    kept_bytes: int

    def admit(self, link: ClientLink) -> bool:
        """False: there are too many."""

    def forget(self, link: ClientLink) -> None: ...


class ClientLink(asyncio.Protocol):
    """One connection of a client's, and its requests."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._gate = house.gate
        self._transport: asyncio.Transport | None = None
        self._reader = RequestReader()
        self._next = bytearray()
        """What came while a request is answered."""
        self._task: asyncio.Task[None] | None = None
        self._answer: AnswerLink | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._slow = False
        """The client does not take what is written."""
        self._half_closed = False
        self._begun = False
        """The client has the head of a stream from us, and waits for its events."""

    # -- asyncio's -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._house.admit(self):
            self._refuse(503, unavailable("too many connections at hettui's front door: try again later"))
            return
        self._rest()

    def data_received(self, data: bytes) -> None:
        if self._task is None:
            self._take(data)
            return
        self._next += data
        if len(self._next) > _AHEAD_BYTES and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Our side stays open while somebody may still want an answer."""
        self._half_closed = True
        if self._answer is not None:
            self._answer.end_of_client()
        return self._task is not None

    def connection_lost(self, exc: Exception | None) -> None:
        self._wake()
        self._house.kept_bytes -= self._reader.size_bytes
        self._reader = RequestReader()
        if self._task is not None:
            self._task.cancel()
        self._house.forget(self)

    def pause_writing(self) -> None:
        self._slow = True
        if self._answer is not None:
            self._answer.pause(paused=True)

    def resume_writing(self) -> None:
        self._slow = False
        if self._answer is not None:
            self._answer.pause(paused=False)

    # -- reading -------------------------------------------------------------------------------------------

    def _rest(self) -> None:
        self._wake()
        self._timer = asyncio.get_running_loop().call_later(IDLE_S, self._close)

    def _wake(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _take(self, data: bytes) -> None:
        self._rest()
        reader, house = self._reader, self._house
        before = reader.size_bytes
        try:
            whole = reader.feed(data)
        except h11.RemoteProtocolError as error:
            self._refuse(400, error_body(400, f"that is no request: {error}", "invalid_request_error"))
            return
        except TooLarge:
            self._refuse(413, error_body(413, "the request is larger than 64 MiB", "invalid_request_error"))
            return
        finally:
            house.kept_bytes += reader.size_bytes - before
        if reader.asked is not None and reader.asked.method == "CONNECT":
            self._refuse(400, error_body(400, "CONNECT is for proxies", "invalid_request_error"))
        elif house.kept_bytes > _KEPT_BYTES:
            self._refuse(503, unavailable("hettui's front door keeps too many large requests: try again later"))
        elif whole:
            self._wake()
            self._task = asyncio.get_running_loop().create_task(self._serve(reader))
        elif reader.wants_word():
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _refuse(self, code: int, body: bytes) -> None:
        self.write(whole_answer(code, body))
        self._close()

    # -- answering -----------------------------------------------------------------------------------------

    async def _serve(self, reader: RequestReader) -> None:
        assert reader.asked is not None  # noqa: S101 - it is whole
        keeps_on = False
        try:
            keeps_on = await self._answered(reader, reader.asked)
        finally:
            self._task = None
            self._begun = False
            if self._transport is not None and not self._transport.is_closing():
                self._house.kept_bytes -= reader.size_bytes
                self._reader = RequestReader()
                self._go_on(reader.rest) if keeps_on else self._close()

    def _go_on(self, rest: bytes) -> None:
        """The next request; its beginning, or all of it, may be here already."""
        waiting, self._next = rest + bytes(self._next), bytearray()
        if self._transport is not None:
            self._transport.resume_reading()
        self._rest()
        if waiting:
            self._take(waiting)
        if self._half_closed and self._task is None:
            self._close()

    async def _answered(self, reader: RequestReader, asked: Asked) -> bool:
        """Whether the connection stays open for more."""
        until_s, lost = time.monotonic() + self._gate.hold_s, 0
        while True:
            if not await self._turn_came(reader, asked, until_s):
                return not asked.closes
            port = self._gate.port
            if port is None:
                return self._say_no(asked, 503, "the cluster was stopped")
            outcome = await self._exchange(port, reader, asked)
            if outcome in (Outcome.DONE, Outcome.CLOSES):
                return outcome is Outcome.DONE
            self._gate.lost(port)
            if outcome is Outcome.CUT:
                return False
            lost += outcome is Outcome.LOST
            if outcome is Outcome.LOST and (lost >= _TRIES or not asked.may_be_repeated):
                return self._say_no(asked, 502, "llama-server ended while it worked on this request")

    async def _turn_came(self, reader: RequestReader, asked: Asked, until_s: float) -> bool:
        """True when it may be passed on, or the door closes; False when it was answered here."""
        streams: bool | None = None
        while self._gate.port is None and not self._gate.ending:
            if asked.is_look:
                self.write(whole_answer(503, loading(), asked))
                return False
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                self._say_no(asked, 503, f"the model was not there again within {self._gate.hold_s:.0f} s")
                return False
            if self._gate.full:
                self._say_no(asked, 503, "too many requests wait for the model already: try again later")
                return False
            if await self._gate.until_open(min(left_s, PING_S)):
                return True
            if streams is None:
                streams = asked.method == "POST" and asked.version == "1.1" and wants_stream(reader.body())
            if streams:
                self._ping(asked)
            elif self._half_closed and asked.version == "1.1":
                # A client that closed its half, or is gone? Whoever is gone refuses the second one of these.
                self.write(PROCESSING)
        return True

    def _ping(self, asked: Asked) -> None:
        """So that neither the client nor what lies between takes the connection for dead, and a dead one is noticed."""
        if not self._begun:
            self.write(stream_head(asked))
            self._begun = True
        self.write(chunk(PING))

    def _say_no(self, asked: Asked, code: int, message: str) -> bool:
        """An answer of our own; in a stream that has begun an event. Whether the connection stays open."""
        body = unavailable(message) if code == 503 else error_body(code, message, "server_error")
        if self._begun:
            self.write(chunk(asked.error_event(body)) + last_chunk())
        else:
            self.write(whole_answer(code, body, asked))
        return not asked.closes

    async def _exchange(self, port: int, reader: RequestReader, asked: Asked) -> Outcome:
        """One attempt: a connection of its own, since llama-server closes one behind a stream without saying so."""
        loop, link = asyncio.get_running_loop(), AnswerLink(self, asked, begun=self._begun)
        self._gate.running += 1
        try:
            await loop.create_connection(lambda: link, LOOPBACK, port)
        except OSError:
            return Outcome.NOT_REACHED
        else:
            self._answer = link
            if self._slow:
                link.pause(paused=True)
            link.send(reader.sendable())
            if self._half_closed:
                link.end_of_client()
            return await link.finished
        finally:
            self._answer = None
            self._gate.running -= 1
            link.drop()

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    # -- the end -------------------------------------------------------------------------------------------

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    async def end(self) -> None:
        """The door closes: who waits was told, an answer that is being written is cut."""
        if self._answer is not None and self._task is not None:
            self._task.cancel()
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({self._task})
        self._close()
