"""Server-sent events out of bytes as they come."""

from __future__ import annotations


class SseParser:
    """Server-sent events from byte chunks cut anywhere. Gives the `data:` payload of each event.

    Lines that start with `:` are llama-server's pings. An event of more than `max_event_bytes` raises
    ValueError: a server that never ends a line must not take the memory.
    """

    def __init__(self, max_event_bytes: int = 4 * 1024 * 1024) -> None:
        self._buffer = b""
        self._data: list[bytes] = []
        self._limit = max_event_bytes

    def feed(self, chunk: bytes) -> list[str]:
        # A lone CR would be a line end too by the standard; llama-server writes LF only.
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        if len(self._buffer) + sum(map(len, self._data)) > self._limit:
            raise ValueError("the server sent an event without an end")
        events: list[str] = []
        for line in lines:
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif not line and self._data:
                events.append(b"\n".join(self._data).decode("utf-8", errors="replace"))
                self._data.clear()
        return events
