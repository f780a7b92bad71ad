"""One answer as it comes from the master: its bytes are passed on as they are, h11 tells where it ends."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Protocol, cast

import h11

from hettui.domain.door.chunks import ChunkedEnd
from hettui.domain.door.rules import Asked, chunk, last_chunk

_HEAD_BYTES = 256 * 1024
_ERROR_BYTES = 1024 * 1024
_STREAM = b"text/event-stream"


class Outcome(Enum):
    """What became of one attempt to have a request answered."""

    DONE = "done"
    CLOSES = "done, and the connection ends with it"
    NOT_REACHED = "nobody took it"
    LOST = "lost before any of the answer was passed on"
    CUT = "lost in the midst of the answer"


class Sink(Protocol):
    """Where the answer goes."""

    def write(self, data: bytes) -> None: ...


class AnswerLink(asyncio.Protocol):
    """A connection to the master for one request."""

    def __init__(self, sink: Sink, asked: Asked, *, begun: bool) -> None:
        """`begun`: the client has the head of a stream of server-sent events already, and gets chunks from here on."""
        self._sink = sink
        self._asked = asked
        self._begun = begun
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)
        method = asked.method if asked.method in ("HEAD", "GET") else "POST"
        self._parser.send(h11.Request(method=method, target="/", headers=[("Host", "master")]))
        self._parser.send(h11.EndOfMessage())
        self._response: h11.Response | None = None
        self._kept = bytearray()
        """Until the head is whole; of an error that becomes an event: its body."""
        self._chunks: ChunkedEnd | None = None
        """Of a body in chunks, once its head was passed on."""
        self._transport: asyncio.Transport | None = None
        self.finished: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    @property
    def _is_stream(self) -> bool:
        response = self._response
        kind = next((value for name, value in response.headers if name == b"content-type"), b"") if response else b""
        return response is not None and response.status_code == 200 and kind.lower().startswith(_STREAM)

    # -- asyncio's -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.finished.done():
            return
        self._take(data)

    def eof_received(self) -> bool:
        if not self.finished.done():
            self._take(b"")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(self._broken)

    # -- its own -------------------------------------------------------------------------------------------

    @property
    def _broken(self) -> Outcome:
        passed_on = self._response is not None and (not self._begun or self._is_stream)
        return Outcome.CUT if passed_on else Outcome.LOST

    def _take(self, data: bytes) -> None:
        if self._chunks is not None and data:
            self._pass_on_chunks(self._chunks, data)
            return
        try:
            self._parser.receive_data(data)
            ended = self._begin_and_go_on() if self._begun else self._pass_on(data)
        except (h11.RemoteProtocolError, ValueError):
            self._end(self._broken)
            return
        if ended:
            self._finish()

    def _pass_on_chunks(self, chunks: ChunkedEnd, data: bytes) -> None:
        """The quick way of a stream: a token takes it."""
        try:
            said = data[: chunks.feed(data)]
        except ValueError:
            self._end(self._broken)
            return
        self._sink.write(said)
        if chunks.ended:
            self._finish()

    def _pass_on(self, data: bytes) -> bool:
        """The bytes as they are, once they are known to be an answer. Whether it has ended."""
        headless, ended = self._response is None, False
        while not ended:
            event = self._parser.next_event()
            if isinstance(event, h11.Response):
                self._response = event
                if self._in_chunks(event):
                    return self._begin_chunks(data)
            elif isinstance(event, h11.EndOfMessage):
                ended = True
            elif not isinstance(event, h11.Data | h11.InformationalResponse):
                break
        over = len(self._parser.trailing_data[0]) if ended else 0
        said = data[: len(data) - over]
        if headless:
            self._kept += said
            if self._response is None:
                return ended
            said, self._kept = bytes(self._kept), bytearray()
        if said:
            self._sink.write(said)
        return ended

    def _in_chunks(self, response: h11.Response) -> bool:
        coding = next((value for name, value in response.headers if name == b"transfer-encoding"), b"")
        return coding.lower() == b"chunked" and self._asked.method != "HEAD" and response.status_code not in (204, 304)

    def _begin_chunks(self, data: bytes) -> bool:
        """The head has just come to its end: what h11 has not looked at yet is the body. Whether that has ended."""
        body = self._parser.trailing_data[0]
        chunks = self._chunks = ChunkedEnd()
        over = len(body) - chunks.feed(body)
        self._sink.write(bytes(self._kept) + data[: len(data) - over])
        self._kept.clear()
        return chunks.ended

    def _begin_and_go_on(self) -> bool:
        """What it says as chunks of a stream that has begun; an error as an event of it. Whether it has ended."""
        while True:
            event = self._parser.next_event()
            if isinstance(event, h11.Response):
                self._response = event
            elif isinstance(event, h11.Data):
                if self._is_stream:
                    self._sink.write(chunk(bytes(event.data)))
                elif len(self._kept) < _ERROR_BYTES:
                    self._kept += event.data
            elif isinstance(event, h11.EndOfMessage):
                if not self._is_stream:
                    self._sink.write(chunk(self._asked.error_event(bytes(self._kept))))
                self._sink.write(last_chunk())
                return True
            elif not isinstance(event, h11.InformationalResponse):
                return False

    def _finish(self) -> None:
        response = self._response
        closes = response is not None and not self._begun and self._ends_connection(response)
        self._end(Outcome.CLOSES if closes or self._asked.closes else Outcome.DONE)

    def _ends_connection(self, response: h11.Response) -> bool:
        """The head that was passed on says so, or nothing but the end tells where the body ends."""
        headers = dict(response.headers)
        if b"close" in headers.get(b"connection", b"").lower() or response.http_version < b"1.1":
            return True
        bodiless = self._asked.method == "HEAD" or response.status_code in (204, 304)
        return not (bodiless or b"content-length" in headers or b"transfer-encoding" in headers)

    def _end(self, outcome: Outcome) -> None:
        if not self.finished.done():
            self.finished.set_result(outcome)

    def send(self, raw: bytes) -> None:
        if self._transport is not None:
            self._transport.write(raw)

    def end_of_client(self) -> None:
        """The client will send nothing more. llama-server takes that for a client that is gone, as without a door."""
        if self._transport is not None and self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def pause(self, *, paused: bool) -> None:
        """The client reads slower than the master writes; or does not any more."""
        if self._transport is not None and not self._transport.is_closing():
            (self._transport.pause_reading if paused else self._transport.resume_reading)()

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()
