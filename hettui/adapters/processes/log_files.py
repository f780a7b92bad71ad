"""Log files: one per process, mode 0600, followed while they grow, kept below a limit."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from hettui.adapters.files.atomic import make_private, open_private
from hettui.domain.errors import LaunchError
from hettui.domain.text import LineSplitter, safe_identifier

LIMIT_BYTES = 8 * 1024 * 1024
_READ_BYTES = 256 * 1024
"""At most this much per look: a child that prints 100 MB/s must not stop everything else."""


class FileTail:
    """Follows a file from its present end, or from `offset`. Notices when it was truncated."""

    def __init__(self, path: Path, offset: int | None = None) -> None:
        self._path = path
        self._splitter = LineSplitter()
        self._offset = _size(path) if offset is None else offset
        self._catching_up = offset is not None
        """What was there before is wanted whole, piece by piece: it may hold what a start said."""

    def read(self) -> tuple[list[str], str]:
        size = _size(self._path)
        if size < self._offset:
            self._offset = 0
        if size == self._offset:
            return [], self._splitter.partial
        lines: list[str] = []
        if size - self._offset <= _READ_BYTES:
            self._catching_up = False
        elif not self._catching_up:
            skipped = size - self._offset - _READ_BYTES
            self._offset += skipped
            lines = [*self._splitter.finish(), f"… {skipped} bytes skipped, they are in {self._path}"]
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(_READ_BYTES)
        except OSError:
            return lines, ""
        self._offset += len(data)
        return lines + self._splitter.feed(data), self._splitter.partial


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
        return FileTail(self.path(process_name), offset)

    def size(self, process_name: str) -> int:
        return _size(self.path(process_name))

    def rotate(self, process_name: str) -> None:
        """Copies the file to `NAME.log.1` and empties it; its writer appends, so it goes on at the new end.

        What is written between the two steps, microseconds apart, is lost. A full disk leaves things as they are.
        """
        path = self.path(process_name)
        if _size(path) <= self._limit_bytes:
            return
        with contextlib.suppress(OSError):
            # The kept one is made anew: a link in its place is taken away, not followed.
            Path(f"{path}.1").unlink(missing_ok=True)
            kept = open_private(f"{path}.1", os.O_WRONLY | os.O_CREAT)
            whole = os.fdopen(open_private(path, os.O_RDWR), "r+b")
            with os.fdopen(kept, "wb") as target, whole as source:
                source.seek(-self._limit_bytes, os.SEEK_END)
                while block := source.read(_READ_BYTES):
                    target.write(block)
                source.truncate(0)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
