"""Looks for model files in folders. Bounded: in depth, in entries, in what one name may be; no folder is seen twice.

Links to folders are followed, since models often lie on another disk; a link that leads back is noticed by device
and inode. Only GGUF's header is ever read.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from hettui.adapters.library.ollama import ollama_models
from hettui.adapters.library.path_completion import complete
from hettui.adapters.library.places import usual_places
from hettui.adapters.llama.gguf import read_model
from hettui.domain.library.found import SUFFIX, FoundFile, FoundModel, joined, repository
from hettui.domain.library.places import Completion, ModelPlace
from hettui.domain.model.shape import ModelShape
from hettui.domain.text import clean_line

MAX_DEPTH = 8
"""Folders below a place. Hugging Face needs five of them."""
MAX_ENTRIES = 100_000
"""Of one place: a folder with a whole source tree in it ends somewhere."""


class ModelFiles:
    """Implements ModelFinder."""

    def __init__(self, home: Path, environ: Mapping[str, str], own_cache: Path) -> None:
        self._home = home
        self._environ = environ
        self._own_cache = own_cache

    def places(self, folders: Sequence[str], current: str | None) -> tuple[ModelPlace, ...]:
        return usual_places(self._home, self._environ, self._own_cache, folders, current)

    def look(self, place: ModelPlace, stopped: Callable[[], bool], note: Callable[[str], None]) -> Iterator[FoundModel]:
        if place.layout == "ollama":
            return ollama_models(place, stopped, note)
        return _Walk(place, stopped, note).models()

    def read(self, path: str) -> ModelShape:
        return ModelShape.of(read_model(path))

    def complete(self, typed: str) -> Completion:
        return complete(typed, self._home)


class _Walk:
    """One place, the upper folders first."""

    def __init__(self, place: ModelPlace, stopped: Callable[[], bool], note: Callable[[str], None]) -> None:
        self._place = place
        self._stopped = stopped
        self._note = note
        self._left = MAX_ENTRIES
        self._seen: set[tuple[int, int]] = set()

    def models(self) -> Iterator[FoundModel]:
        waiting: deque[tuple[str, ...]] = deque([()])
        while waiting and not self._stopped():
            below = waiting.popleft()
            folders, files = self._list(below)
            yield from joined(files, self._place.label, self._owner(below))
            deepest = 0 if self._place.layout == "alone" else MAX_DEPTH
            waiting += [(*below, name) for name in folders if len(below) < deepest and self._enters(below, name)]
            if self._left <= 0:
                shown = clean_line(self._place.folder, 200)
                self._note(f"{shown} has more than {MAX_ENTRIES} entries: not all were looked at, name the file itself")
                return

    def _list(self, below: tuple[str, ...]) -> tuple[list[str], list[FoundFile]]:
        """Names of folders and the GGUF files; empty for a folder that was seen before, or cannot be read."""
        folder = os.path.join(self._place.folder, *below)  # noqa: PTH118 - names of others, many of them
        folders, files = [], []
        try:
            status = os.stat(folder)  # noqa: PTH116
            if (status.st_dev, status.st_ino) in self._seen:
                return [], []
            self._seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                for entry in entries:
                    self._left -= 1
                    if self._left <= 0 or self._stopped():
                        break
                    if entry.name.lower().endswith(SUFFIX) and not _is_folder(entry):
                        files.append(_file(entry))
                    elif not entry.name.startswith(".") and _is_folder(entry):
                        folders.append(entry.name)
        except (OSError, ValueError) as error:
            missing = isinstance(error, FileNotFoundError | NotADirectoryError)
            if not missing or (self._place.named and not below):
                reason = getattr(error, "strerror", None) or str(error)
                self._note(f"{clean_line(folder, 200)} cannot be searched: {clean_line(reason, 100)}")
        return sorted(folders), sorted(files, key=lambda file: file.path)

    def _enters(self, below: tuple[str, ...], name: str) -> bool:
        """Of Hugging Face's cache only the snapshots: they are links to the blobs, with names."""
        if self._place.layout != "hub" or len(below) > 1:
            return True
        return bool(repository(name)) if not below else name == "snapshots"

    def _owner(self, below: tuple[str, ...]) -> tuple[str, ...]:
        if self._place.layout == "hub":
            return repository(below[0]) if below else ()
        return below[:2] if self._place.layout == "publishers" and len(below) >= 2 else ()


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _file(entry: os.DirEntry[str]) -> FoundFile:
    try:
        status = entry.stat()
    except OSError as error:
        what = "the link leads nowhere" if entry.is_symlink() else "it cannot be read"
        return FoundFile(entry.path, 0, 0.0, problem=f"{what}: {error.strerror}")
    identity = (status.st_dev, status.st_ino)
    problem = None if stat.S_ISREG(status.st_mode) else "this is no regular file"
    return FoundFile(entry.path, status.st_size, status.st_mtime, identity, problem)
