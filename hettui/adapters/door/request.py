"""One request as it comes from a client: its bytes as they are, and what they say.

h11 tells where it ends and whether it is one at all; what is passed on are the client's own bytes.
"""

from __future__ import annotations

import re

import h11

from hettui.domain.door.rules import Asked
from hettui.domain.patterns import late_pattern

HEAD_BYTES = 64 * 1024
MOST_BYTES = 64 * 1024 * 1024
"""Of one request, pictures included: it is kept until an answer begins, to be asked again of the next master."""
_EXPECT = late_pattern(rb"\r\nexpect:[^\r\n]*(?=\r\n)", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"


class TooLarge(Exception):
    """It is larger than what is kept of one."""


class RequestReader:
    """Fed with what a client sends, until one request is whole."""

    def __init__(self) -> None:
        self._parser = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
        self._raw = bytearray()
        self.asked: Asked | None = None
        """Known from its head on."""
        self.whole = False
        self.rest = b""
        """Of the next one, once this one is whole."""
        self._continued = False

    @property
    def begun(self) -> bool:
        return bool(self._raw)

    @property
    def size_bytes(self) -> int:
        return len(self._raw)

    def feed(self, data: bytes) -> bool:
        """Whether it is whole now. Raises TooLarge, and h11.RemoteProtocolError for what is no request."""
        self._raw += data
        if len(self._raw) > MOST_BYTES:
            raise TooLarge
        self._parser.receive_data(data)
        while not self.whole:
            event = self._parser.next_event()
            if isinstance(event, h11.Request):
                self.asked = _asked(event)
            elif isinstance(event, h11.EndOfMessage):
                self.rest, self.whole = self._parser.trailing_data[0], True
                if self.rest:
                    del self._raw[-len(self.rest) :]
            elif not isinstance(event, h11.Data):
                break
        return self.whole

    def wants_word(self) -> bool:
        """The client asks whether it may send the body. True once."""
        asks = self._parser.they_are_waiting_for_100_continue and not self._continued
        self._continued = self._continued or asks
        return asks

    def sendable(self) -> bytes:
        """As it came; but for the question whether the body may be sent, which was answered here."""
        if not self._continued:
            return bytes(self._raw)
        head, end, body = bytes(self._raw).partition(_HEAD_END)
        return _EXPECT.sub(b"", head) + end + body

    def body(self) -> bytes:
        """Without the marks of its chunks."""
        parser, found = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES), bytearray()
        parser.receive_data(bytes(self._raw))
        while isinstance(event := parser.next_event(), h11.Request | h11.Data):
            if isinstance(event, h11.Data):
                found += event.data
        return bytes(found)


def _asked(request: h11.Request) -> Asked:
    headers = {name: value for name, value in request.headers if name in (b"origin", b"connection")}
    version = request.http_version.decode()
    connection = headers.get(b"connection", b"").lower()
    closes = b"close" in connection or (version == "1.0" and b"keep-alive" not in connection)
    return Asked(
        request.method.decode("latin-1"), request.target.decode("latin-1"), version,
        headers.get(b"origin", b"").decode("latin-1"), closes,
    )  # fmt: skip
