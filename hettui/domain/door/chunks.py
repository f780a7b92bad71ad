"""Where a body in chunks ends (RFC 9112, 7.1), for bytes that are passed on as they are.

h11 could say so too; but a token is a chunk, and its share of a token's way through the door was the largest.
"""

from __future__ import annotations

_LINE_BYTES = 16 * 1024
_MOST_DIGITS = 16


class ChunkedEnd:
    """Fed with the body as it comes, in whatever pieces."""

    def __init__(self) -> None:
        self._skip = 0
        """Bytes of the chunk, and of the line's end behind it, that are still to come."""
        self._line = b""
        self._trailers = False
        """The last chunk has come: lines follow, and an empty one."""
        self.ended = False

    def feed(self, data: bytes) -> int:
        """How many of these bytes belong to the body. Raises ValueError for what is no chunk."""
        place = 0
        while not self.ended and place < len(data):
            if self._skip:
                step = min(self._skip, len(data) - place)
                self._skip -= step
                place += step
                continue
            end = data.find(b"\n", place)
            if end < 0:
                self._line += data[place:]
                if len(self._line) > _LINE_BYTES:
                    raise ValueError("a line without an end")
                return len(data)
            line, self._line, place = self._line + data[place:end], b"", end + 1
            self._take(line.rstrip(b"\r"))
        return place

    def _take(self, line: bytes) -> None:
        if self._trailers:
            self.ended = not line
            return
        digits = line.partition(b";")[0].strip()
        if not digits or len(digits) > _MOST_DIGITS:
            raise ValueError("no size of a chunk")
        size = int(digits, 16)
        if size < 0:
            raise ValueError("no size of a chunk")
        self._trailers = size == 0
        self._skip = size + 2 if size else 0
