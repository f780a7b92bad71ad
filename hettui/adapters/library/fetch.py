"""Fetches one file of a model: in parts side by side, broken off and gone on with anywhere, checked before it counts.

What has arrived lies in `.NAME.part` with its record beside it; only a whole file whose sum is right gets its name.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path

from hettui.adapters.files.atomic import make_private, open_private, replace_file
from hettui.adapters.files.json_file import read_json_file
from hettui.adapters.library.hub_http import Changed, Hub
from hettui.adapters.llama.gguf import HeaderReader
from hettui.domain.errors import HettuiError, ModelFileError
from hettui.domain.library.fetching import Identity, Progress, read_progress
from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass
from hettui.domain.text import clean_line
from hettui.domain.units import GIB, MIB, format_bytes

Tell = Callable[[int, int], None]
"""Called on several threads with the bytes that are there and the bytes of all."""
SEGMENT_BYTES = 64 * MIB
SAVE_BYTES = 256 * MIB
"""So much is lost of a fetch at most when the machine goes down; nothing when hettui does."""
PARALLEL = 4
SPARE_BYTES = GIB // 4
"""What shall stay free on the disk."""
_BLOCK_BYTES = 4 * MIB
_RECORD_BYTES = 4 * MIB
_SHA256 = late_pattern(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file."""

    url: str
    target: Path
    size_bytes: int | None = None
    sha256: str | None = None

    @property
    def part(self) -> Path:
        return self.target.with_name(f".{self.target.name}.part")

    @property
    def record(self) -> Path:
        return self.target.with_name(f".{self.target.name}.part.json")


class _Stopped(Exception):
    """Another part has failed, or the user has had enough."""


def fetch(
    hub: Hub,
    wanted: Wanted,
    tell: Tell,
    *,
    parallel: int = PARALLEL,
    segment_bytes: int = SEGMENT_BYTES,
    free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
) -> str | None:
    """The file's SHA-256; None where the hub does not say what it must be. Blocks.

    Raises HettuiError with what is kept; what interrupts it keeps that, too.
    """
    what = clean_line(wanted.target.name, 160)
    identity, ranges = hub.identity(wanted.url, what)
    if wanted.size_bytes is not None and identity.size_bytes != wanted.size_bytes:
        raise HettuiError(
            f"{what}: the hub lists {wanted.size_bytes} bytes and gives {identity.size_bytes}: try again later"
        )
    try:
        make_private(wanted.target.parent)
        progress = _kept(wanted, identity)
        _check_room(wanted, progress, free_bytes)
        if progress.missing(segment_bytes):
            run = _Run(hub, wanted, progress, tell)
            run.all_of(parallel if ranges else 1, segment_bytes if ranges else identity.size_bytes)
        return _finished(wanted, identity, tell)
    except Changed:
        _forget(wanted, identity)
        raise HettuiError(f"{what} was changed at the hub while it was fetched: fetch it again") from None
    except OSError as error:
        raise HettuiError(f"{what} cannot be kept in {wanted.target.parent}: {error.strerror or error}") from None


def _kept(wanted: Wanted, identity: Identity) -> Progress:
    """What an earlier fetch of the very same file has left."""
    found = read_progress(read_json_file(wanted.record, _RECORD_BYTES))
    with contextlib.suppress(OSError):
        size = wanted.part.lstat().st_size
        if found is not None and found.identity.same_as(identity) and all(end <= size for _, end in found.done):
            return Progress(identity, found.done)
    return Progress(identity)


def _check_room(wanted: Wanted, progress: Progress, free_bytes: Callable[[Path], int]) -> None:
    left, free = progress.identity.size_bytes - progress.done_bytes, free_bytes(wanted.target.parent)
    if left + SPARE_BYTES > free:
        raise HettuiError(
            f"{clean_line(wanted.target.name, 160)} needs {format_bytes(left)} more, and {format_bytes(free)} are free "
            f"where {wanted.target.parent} lies: free some space, or name another folder with --to"
        )


class _Run:
    """One fetch on its way."""

    def __init__(self, hub: Hub, wanted: Wanted, progress: Progress, tell: Tell) -> None:
        self._hub, self._wanted, self._tell = hub, wanted, tell
        self._progress = progress
        self._unsaved_bytes = 0
        self._lock = threading.Lock()
        self._stop = hub.stop
        """Another part has failed, or the user has had enough."""
        self._descriptor = -1

    def all_of(self, parallel: int, segment_bytes: int) -> None:
        self._stop.clear()
        self._descriptor = open_private(self._wanted.part, os.O_RDWR | os.O_CREAT)
        try:
            with ThreadPoolExecutor(parallel, thread_name_prefix="fetch") as pool:
                parts = [pool.submit(self._segment, *part) for part in self._progress.missing(segment_bytes)]
                try:
                    wait(parts, return_when=FIRST_EXCEPTION)
                finally:
                    # Also when Ctrl-C interrupts the waiting.
                    self._stop.set()
                    failed = any(part.done() and not part.cancelled() and part.exception() for part in parts)
                    for part in parts:
                        part.cancel()
            if failed:
                raise next(e for part in parts if part.done() and not part.cancelled() and (e := part.exception()))
        except HettuiError as error:
            if isinstance(error, Changed):
                raise
            there = f"{format_bytes(self._progress.done_bytes)} of {format_bytes(self._progress.identity.size_bytes)}"
            raise HettuiError(f"{error}. {there} are kept: the same command goes on from there") from None
        finally:
            try:
                self._save()
            finally:
                os.close(self._descriptor)

    def _segment(self, begin: int, end: int) -> None:
        what = clean_line(self._wanted.target.name, 160)
        with contextlib.suppress(_Stopped):
            self._hub.read(self._wanted.url, begin, end, self._progress.identity, self._take, what)

    def _take(self, place: int, data: bytes) -> None:
        if self._stop.is_set():
            raise _Stopped
        written = 0
        while written < len(data):
            written += os.pwrite(self._descriptor, data[written:], place + written)
        with self._lock:
            self._progress = self._progress.with_range(place, place + len(data))
            self._unsaved_bytes += len(data)
            done, due = self._progress.done_bytes, self._unsaved_bytes >= SAVE_BYTES
            if due:
                self._save()
        self._tell(done, self._progress.identity.size_bytes)

    def _save(self) -> None:
        """Data first: the record must not speak of what is not there."""
        os.fdatasync(self._descriptor)
        self._unsaved_bytes = 0
        replace_file(self._wanted.record, json.dumps(self._progress.as_json()).encode(), 0o600)


def _finished(wanted: Wanted, identity: Identity, tell: Tell) -> str | None:
    """Checks what has arrived, and gives it its name."""
    expected = wanted.sha256 or (identity.etag if _SHA256.fullmatch(identity.etag) else None)
    size = wanted.part.lstat().st_size
    found = file_sha256(wanted.part, tell)
    if size != identity.size_bytes or (expected is not None and found != expected):
        _forget(wanted, identity)
        raise HettuiError(
            f"{clean_line(wanted.target.name, 160)} is not what the hub says (its sum differs): nothing counts as "
            f"fetched; what arrived is in {wanted.part}, and the same command fetches it anew"
        )
    descriptor = os.open(wanted.part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        HeaderReader(wanted.target, partial(os.pread, descriptor), size).read()
    except ModelFileError:
        if expected is None:
            # Nobody vouches for it: a broken one is not kept under a model's name.
            _forget(wanted, identity)
            raise
    finally:
        os.close(descriptor)
    os.replace(wanted.part, wanted.target)  # noqa: PTH105 - as in atomic.py
    wanted.record.unlink(missing_ok=True)
    return found if expected is not None else None


def _forget(wanted: Wanted, identity: Identity) -> None:
    """All is fetched anew the next time; the file stays, as evidence."""
    with contextlib.suppress(OSError):
        replace_file(wanted.record, json.dumps(Progress(identity).as_json()).encode(), 0o600)


def file_sha256(path: Path, tell: Tell) -> str:
    """Of the whole file, in hexadecimal; `tell` hears how much is read. Raises OSError."""
    digest, size, done = hashlib.sha256(), path.stat().st_size, 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            done += len(block)
            tell(done, size)
    return digest.hexdigest()
