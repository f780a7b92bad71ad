"""Theme files as data. What is wrong with one is a sentence and costs that one only."""

from __future__ import annotations

import os
import threading
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hettui.adapters.files.bounded import read_text_file
from hettui.domain.text import clean_line
from hettui.ports import ThemeFiles

_MAX_BYTES = 256 * 1024
_LOOK_EVERY_S = 2.0

_Seen = tuple[tuple[str, int, int, int], ...]
"""Name, inode, size and time of change of each file."""


def read_themes(folders: Sequence[Path]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Parsed files by path, and a sentence for each that cannot be read. A folder that is not there has none."""
    found = _read(folders)
    return {path: dict(data) for path, data in found.parsed.items()}, list(found.unreadable.values())


def _read(folders: Sequence[Path]) -> ThemeFiles:
    parsed: dict[str, dict[str, Any]] = {}
    unreadable: dict[str, str] = {}
    for folder in folders:
        try:
            files = sorted(folder.glob("*.toml"))
        except OSError:
            continue
        for file in files:
            try:
                parsed[str(file)] = tomllib.loads(read_text_file(file, _MAX_BYTES))
            except RecursionError:
                unreadable[str(file)] = f"theme {file}: it is nested too deeply"
            except OSError as error:
                unreadable[str(file)] = f"theme {file} cannot be read: {error.strerror}"
            except ValueError as error:
                unreadable[str(file)] = f"theme {file}: {clean_line(str(error), 150)}"
    return ThemeFiles(parsed, unreadable)


class ThemeFolders:
    """Implements ThemeShelf: the shipped themes, which stay as they are, and the user's, which are looked after.

    Polled, and not watched by the kernel: that needs no library, and works on network file systems too.
    """

    def __init__(self, shipped: Path, own: Path, look_every_s: float = _LOOK_EVERY_S) -> None:
        self._shipped = shipped
        self._own = own
        self._look_every_s = look_every_s
        self._seen: _Seen = ()

    def read(self) -> ThemeFiles:
        # Before reading: what changes meanwhile is read once more.
        self._seen = _state_of(self._own)
        return _read([self._shipped, self._own])

    def watch(self, tell: Callable[[ThemeFiles], None]) -> Callable[[], None]:
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(self._look_every_s):
                if _state_of(self._own) != self._seen:
                    tell(self.read())

        # A daemon: a home on a file server that does not answer must not hold up the end.
        threading.Thread(target=look, name="themes", daemon=True).start()
        return ended.set


def _state_of(folder: Path) -> _Seen:
    """Costs a few microseconds a file; a folder that is not there, or cannot be read, is an empty one."""
    try:
        with os.scandir(folder) as entries:
            stats = [(entry.name, entry.stat()) for entry in entries if entry.name.endswith(".toml")]
    except OSError:
        return ()
    return tuple(sorted((name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in stats))
