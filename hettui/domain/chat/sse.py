"""Server-sent events out of bytes as they come."""

from __future__ import annotations

from hettui.domain.records import dataclass

_BOM = b"\xef\xbb\xbf"
MAX_EVENT_BYTES = 4 * 1024 * 1024
_MAX_STRAY_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One event. Of llama-server's there is one kind; others name theirs, and an `error` is one whatever it holds."""

    data: str
    kind: str = ""


class SseParser:
    """Events from byte chunks cut anywhere, by the standard: lines end with LF, CRLF or CR, a BOM is passed over, an
    event without data is none.

    Lines that start with `:` are pings. llama-server of 2024 wrote an error as a field of its own: `error: {…}`.
    What stands in no field is kept for `finish`: a body that is no stream at all. An event of more than
    `max_event_bytes` raises ValueError: a server that never ends a line must not take the memory.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._buffer = b""
        self._data: list[bytes] = []
        self._kind = ""
        self._held = 0
        self._stray: list[bytes] = []
        self._stray_bytes = 0
        self._limit = max_event_bytes
        self._begun = False
        self._after_cr = False
        """A line has ended with CR; an LF that follows belongs to it."""

    def feed(self, chunk: bytes) -> list[SseEvent]:
        data = self._buffer + chunk
        if not self._begun:
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._buffer = data
                return []
            data, self._begun = data.removeprefix(_BOM), True
        if self._after_cr and data:
            data, self._after_cr = data.removeprefix(b"\n"), False
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, self._buffer = data.split(b"\n")
        if len(self._buffer) + self._held > self._limit:
            raise ValueError("the server sent an event without an end")
        return [event for line in lines for event in self._line(line)]

    def finish(self) -> tuple[list[SseEvent], str]:
        """The stream has ended: the events that lacked their empty line, and what stood in none."""
        rest, self._buffer = self._buffer, b""
        events = [*self._line(rest), *self._line(b"")]
        return events, b"\n".join(self._stray).decode("utf-8", errors="replace").strip()

    def _line(self, line: bytes) -> list[SseEvent]:
        name, colon, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            return self._ended()
        if colon and name == b"data":
            self._data.append(value)
            self._held += len(value)
        elif colon and name == b"event":
            self._kind = value[:40].decode("utf-8", errors="replace")
        elif colon and name == b"error":
            return [SseEvent(value.decode("utf-8", errors="replace"), "error")]
        elif name and not (colon and name in (b"id", b"retry")) and self._stray_bytes < _MAX_STRAY_BYTES:
            self._stray.append(line)
            self._stray_bytes += len(line)
        return []

    def _ended(self) -> list[SseEvent]:
        data = b"\n".join(self._data).decode("utf-8", errors="replace")
        kind, self._kind, self._held = self._kind, "", 0
        self._data.clear()
        return [SseEvent(data, kind)] if data.strip() else []
