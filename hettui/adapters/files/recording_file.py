"""Recordings on disk: written for the user alone, read with a limit on everything."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from hettui.adapters.files.atomic import open_private
from hettui.domain.errors import RecordingError, UsageError
from hettui.domain.recording.format import MAX_BYTES, MAX_LINE_BYTES, is_recording

_FIRST_BYTES = 64


class RecordingFile:
    """Implements LineSink."""

    def __init__(self, path: str | Path) -> None:
        """Makes the file, mode 0600. A recording that is there is kept as `.bak`.

        Raises UsageError for any other file that is there, and for a place where nothing can be written.
        """
        target = Path(path).expanduser()
        try:
            if _taken(target):
                target.replace(f"{target}.bak")
            descriptor = open_private(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        except OSError as error:
            raise UsageError(f"--record {target}: it cannot be written: {error.strerror}") from error
        self._file = os.fdopen(descriptor, "w", encoding="utf-8", errors="replace", newline="\n")

    def write(self, line: str) -> None:
        self._file.write(line)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        # What could not be written before cannot be written now, and was said.
        with contextlib.suppress(OSError):
            self._file.close()


def _taken(target: Path) -> bool:
    """Whether a recording is there already. Raises UsageError for anything else but nothing and an empty file."""
    try:
        found = target.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"--record {target}: it is no ordinary file: name another one")
    if found.st_size == 0:
        return False
    with target.open("rb") as file:
        if is_recording(file.read(_FIRST_BYTES)):
            return True
    raise UsageError(f"--record {target}: it exists and is no recording: name another file")


def recorded_lines(path: str | Path) -> Iterator[bytes]:
    """The lines with their ends; one that is too long comes as its beginning. Raises RecordingError."""
    target = Path(path).expanduser()
    try:
        # Not blocking: a pipe without a writer would never open.
        descriptor = os.open(target, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise RecordingError(f"{target} is no ordinary file: it is no recording")
            if found.st_size > 2 * MAX_BYTES:
                raise RecordingError(f"{target} is larger than any recording: {found.st_size >> 20} MiB")
            while line := file.readline(MAX_LINE_BYTES + 1):
                yield line
    except OSError as error:
        raise RecordingError(f"{target} cannot be read: {error.strerror}") from error
