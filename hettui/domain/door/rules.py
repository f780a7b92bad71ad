"""Which requests wait while the master is away, which may be sent to it once more, and what is answered instead.

Errors are in llama-server's own form (`format_error_response` in its `server-common.cpp`, b10068 and b11434), so that a
client finds in them what it knows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hettui.domain.json_text import parse_json
from hettui.domain.records import dataclass

_LOOKS = ("/health", "/slots", "/metrics")
"""Of whoever watches the server: what it does now is the answer, not what it will do in a minute."""
_MESSAGES = "/v1/messages"
_CHANGES = ("/props", "/lora-adapters", "/models/load", "/models/unload")
_CHUNKED_END = b"0\r\n\r\n"
PING = b": the server is being restarted, the request waits\n\n"
PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"
"""Every client of HTTP/1.1 passes over it (RFC 9110, 15.2)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for, as far as it matters at the door."""

    method: str
    target: str
    """Path and query, as the client wrote them."""
    version: str = "1.1"
    origin: str = ""
    """Of a page in a browser; empty for everybody else."""
    closes: bool = False
    """The client wants the connection closed behind the answer."""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def is_look(self) -> bool:
        """It is answered at once, also while the master is away."""
        return self.method in ("GET", "HEAD") and self.path.endswith(_LOOKS)

    @property
    def may_be_repeated(self) -> bool:
        """Of another master, when one was lost before it answered: an answer changes nothing there, an order does."""
        orders = "action=" in self.target.partition("?")[2] or self.path.endswith(_CHANGES)
        return self.method in ("GET", "HEAD", "OPTIONS") or not orders

    def error_event(self, body: bytes) -> bytes:
        """An error as an event of a stream that was begun already; `body` is what would have been the answer."""
        text = " ".join(body.decode("utf-8", "replace").split())
        named = "event: error\n" if self.path.endswith(_MESSAGES) else ""
        return f"{named}data: {text}\n\n".encode()


def wants_stream(body: bytes) -> bool:
    """Whether the answer will be server-sent events, by the request's body."""
    try:
        said = parse_json(body)
    except ValueError:
        return False
    return isinstance(said, Mapping) and said.get("stream") is True


def error_body(code: int, message: str, kind: str) -> bytes:
    said: dict[str, Any] = {"error": {"code": code, "message": message, "type": kind}}
    return json.dumps(said).encode()


def loading() -> bytes:
    """What llama-server says itself while it loads."""
    return error_body(503, "Loading model", "unavailable_error")


def unavailable(message: str) -> bytes:
    return error_body(503, message, "unavailable_error")


_REASONS = {400: "Bad Request", 413: "Payload Too Large", 502: "Bad Gateway", 503: "Service Unavailable"}


def whole_answer(code: int, body: bytes, asked: Asked | None = None) -> bytes:
    """An answer of the door's own. It closes the connection unless the request was whole."""
    origin = f"Access-Control-Allow-Origin: {asked.origin}\r\n" if asked and asked.origin else ""
    again = "Retry-After: 5\r\n" if code == 503 else ""
    closes = "" if asked and not asked.closes else "Connection: close\r\n"
    head = (
        f"HTTP/1.1 {code} {_REASONS[code]}\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n{again}{origin}{closes}\r\n"
    ).encode("latin-1", "replace")
    return head if asked and asked.method == "HEAD" else head + body


def stream_head(asked: Asked) -> bytes:
    """The beginning of a stream whose master is not there yet; chunks follow."""
    origin = f"Access-Control-Allow-Origin: {asked.origin}\r\n" if asked.origin else ""
    closes = "Connection: close\r\n" if asked.closes else ""
    return (
        f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
        f"Transfer-Encoding: chunked\r\n{origin}{closes}\r\n"
    ).encode("latin-1", "replace")


def chunk(data: bytes) -> bytes:
    """As a chunk of HTTP/1.1; nothing for nothing, which would end the stream."""
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""


def last_chunk() -> bytes:
    return _CHUNKED_END
