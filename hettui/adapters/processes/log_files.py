"""Log files: one per process, mode 0600, followed while they grow, kept below a limit."""

from __future__ import annotations

import contextlib
import os
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO

from hettui.adapters.files.atomic import make_private, open_private
from hettui.domain.errors import LaunchError
from hettui.domain.text import LineSplitter, safe_identifier

LIMIT_BYTES = 8 * 1024 * 1024
_READ_BYTES = 256 * 1024
"""At most this much per look: a child that prints 100 MB/s must not stop everything else."""


class FileTail:
    """Follows a file from its present end, or from `offset`. Notices when it was truncated."""

    def __init__(self, path: Path, offset: int | None = None, limit_bytes: int = LIMIT_BYTES) -> None:
        self._path = path
        self._limit_bytes = limit_bytes
        self._splitter = LineSplitter()
        self._offset = _size(path) if offset is None else offset
        self._catching_up = offset is not None
        """What was there before is wanted whole, piece by piece: it may hold what a start said."""
        self._kept = b""
        """Of the file before it was rotated: what has not been read."""

    def read(self) -> tuple[list[str], str]:
        size = _size(self._path)
        if size < self._offset:
            # Somebody else has emptied it.
            self._offset = 0
        unread_bytes = len(self._kept) + size - self._offset
        if not unread_bytes:
            return [], self._splitter.partial
        lines: list[str] = []
        if unread_bytes <= _READ_BYTES:
            self._catching_up = False
        elif not self._catching_up:
            lines = self._skip(unread_bytes - _READ_BYTES)
        data, self._kept = self._kept[:_READ_BYTES], self._kept[_READ_BYTES:]
        before = len(data)
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data += file.read(_READ_BYTES - len(data))
        except OSError:
            return lines, ""
        self._offset += len(data) - before
        return lines + self._splitter.feed(data), self._splitter.partial

    def _skip(self, count_bytes: int) -> list[str]:
        from_kept = min(count_bytes, len(self._kept))
        self._kept = self._kept[from_kept:]
        self._offset += count_bytes - from_kept
        return [*self._splitter.finish(), f"… {count_bytes} bytes skipped, they are in {self._path}"]

    def rotate(self) -> None:
        """Above its limit the file is copied to `NAME.1` and emptied; its writer appends, so it goes on at the new end.

        What has not been read yet is read next. Only what is written between two steps, microseconds apart, is lost,
        and of a flood what comes faster than it can be copied. A full disk leaves things as they are.
        """
        if _size(self._path) <= self._limit_bytes:
            return
        with contextlib.suppress(OSError):
            # The kept one is made anew: a link in its place is taken away, not followed.
            Path(f"{self._path}.1").unlink(missing_ok=True)
            kept = open_private(f"{self._path}.1", os.O_WRONLY | os.O_CREAT)
            whole = os.fdopen(open_private(self._path, os.O_RDWR), "r+b", buffering=0)
            with os.fdopen(kept, "wb") as target, whole as source:
                self._copy(source, target)
                source.truncate(0)
            self._offset = 0

    def _copy(self, source: RawIOBase, target: BinaryIO) -> None:
        """The last of it, and aside what was not read."""
        position = source.seek(-self._limit_bytes, os.SEEK_END)
        unread, left_bytes = [self._kept], self._limit_bytes + _READ_BYTES
        while left_bytes > 0 and (block := source.read(min(_READ_BYTES, left_bytes))):
            target.write(block)
            unread.append(block[max(0, self._offset - position) :])
            position += len(block)
            left_bytes -= len(block)
        target.flush()
        self._kept = b"".join(unread)


class LogFolder:
    """Implements LogStore in one folder."""

    def __init__(self, folder: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes

    def path(self, process_name: str) -> Path:
        try:
            make_private(self._folder)
        except OSError as error:
            raise LaunchError(f"the log folder {self._folder} cannot be made: {error.strerror}") from error
        return self._folder / f"{safe_identifier(process_name, 'log')}.log"

    def tail(self, process_name: str, offset: int | None = None) -> FileTail:
        return FileTail(self.path(process_name), offset, self._limit_bytes)

    def size(self, process_name: str) -> int:
        return _size(self.path(process_name))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
