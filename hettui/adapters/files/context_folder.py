"""Where llama-server's slots are saved: a private folder, a list of what lies in it, and nothing else of ours.

The files hold conversations, and may be gigabytes. They are written by llama-server, with the umask that
`adapters/processes/local.py` gives it; read by it; and looked at here in parts only.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from hettui.adapters.files.atomic import has_room, make_private, replace_file
from hettui.adapters.files.bounded import read_text_file
from hettui.adapters.files.paths import memory_dir, owned
from hettui.domain.errors import HettuiError
from hettui.domain.patterns import late_pattern
from hettui.domain.slots.saved import Saved, from_text, to_text
from hettui.domain.text import safe_identifier

_LIST = "contexts.json"
_LIST_BYTES = 4 << 20
_NAME = late_pattern(r"slot-\d{1,6}-[0-9a-f]{12}\.ctx")
_ASIDE = late_pattern(r"aside-(?P<host>.+)-(?P<pid>\d{1,10})-[0-9a-f]{8}-\d{1,6}\.ctx")
"""Of a measurement."""
_SUBFOLDER = "hettui-contexts"
_PIECE_BYTES = 64 * 1024
_PIECES = 64
"""Read of a file for its sum: 4 MiB, from its beginning to its end. What a crash or a full disk leaves is found, a
single bit that fell over is not."""
_SPARE_BYTES = 256 << 20
"""Left free on the disk for everybody else."""


class PrivateContextFolder:
    """Implements ContextFolder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def path(self) -> str:
        return str(self._folder)

    def load(self) -> tuple[Saved, ...]:
        try:
            saved = from_text(read_text_file(self._folder / _LIST, _LIST_BYTES))
        except (OSError, ValueError):
            return ()
        return tuple(one for one in saved if _NAME.fullmatch(one.file) and (self._folder / one.file).is_file())

    def keep(self, saved: Sequence[Saved]) -> None:
        # The list first: what it names is there as long as it stands.
        if saved or (self._folder / _LIST).exists():
            replace_file(self._folder / _LIST, to_text(saved).encode(), 0o600)
        named = {one.file for one in saved}
        for path in self._folder.iterdir():
            if _NAME.fullmatch(path.name) and path.name not in named:
                path.unlink(missing_ok=True)

    def new_name(self, slot: int) -> str:
        return f"slot-{slot}-{uuid4().hex[:12]}.ctx"

    def aside_name(self, slot: int) -> str:
        return f"aside-{_host()}-{os.getpid()}-{uuid4().hex[:8]}-{slot}.ctx"

    def sweep(self) -> None:
        """Removes what measurements left that were killed: their files hold conversations, and may be gigabytes."""
        with contextlib.suppress(OSError):
            for path in self._folder.iterdir():
                if (named := _ASIDE.fullmatch(path.name)) and _is_left(named["host"], named["pid"]):
                    path.unlink(missing_ok=True)

    def written(self, file: str) -> tuple[int, str]:
        path = self._folder / file
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "it is no ordinary file", str(path))
        path.chmod(0o600)
        return found.st_size, _sum(path, found.st_size)

    def damage(self, saved: Saved) -> str | None:
        path = self._folder / saved.file
        try:
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode):
                return "it is no ordinary file"
            if found.st_size != saved.size_bytes:
                return f"it has {found.st_size:,} bytes instead of {saved.size_bytes:,}"
            return None if _sum(path, found.st_size) == saved.check else "it is damaged"
        except OSError as error:
            return error.strerror or "it cannot be read"

    def remove(self, file: str) -> None:
        (self._folder / Path(file).name).unlink(missing_ok=True)

    def free_bytes(self) -> int | None:
        try:
            found = os.statvfs(self._folder)
        except OSError:
            return None
        return max(0, found.f_bavail * found.f_frsize - min(_SPARE_BYTES, found.f_blocks * found.f_frsize // 20))

    def model_mark(self, path: str) -> str:
        try:
            found = Path(path).stat()
        except OSError:
            return ""
        return f"{found.st_size}-{found.st_mtime_ns}"


class ContextFolderAdapter:
    """Implements ContextFolders."""

    def clear(self, folder: str | None) -> None:
        place = self._place(folder)
        if owned(place):
            PrivateContextFolder(place).sweep()
            PrivateContextFolder(place).keep(())

    def open(self, folder: str | None) -> PrivateContextFolder:
        place = self._place(folder)
        try:
            make_private(place)
            if not owned(place):
                raise HettuiError(f"the folder {place} belongs to somebody else, or is a link")
            if place.stat().st_mode & 0o077:
                place.chmod(0o700)
        except OSError as error:
            raise HettuiError(f"the folder {place} cannot be made: {error.strerror}") from error
        if not has_room(place, 1):
            raise HettuiError(f"the folder {place} cannot be written")
        opened = PrivateContextFolder(place)
        opened.sweep()
        return opened

    def _place(self, folder: str | None) -> Path:
        if folder is not None:
            return Path(folder) / _SUBFOLDER
        # Below the machine's name: a home may be shared.
        return memory_dir() / "contexts" / _host()


def _host() -> str:
    return safe_identifier(os.uname().nodename, "host")


def _is_left(host: str, pid: str) -> bool:
    """Whoever made it has ended. Those of another machine, where a folder is shared, that one sweeps."""
    if host != _host():
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        pass
    return False


def _sum(path: Path, size: int) -> str:
    """Over pieces of the file, evenly spaced, the first and the last among them."""
    total = hashlib.blake2b(str(size).encode(), digest_size=16)
    step = max(_PIECE_BYTES, (size - _PIECE_BYTES) // (_PIECES - 1) if size > _PIECES * _PIECE_BYTES else _PIECE_BYTES)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        for number in range(min(_PIECES, -(-size // _PIECE_BYTES))):
            total.update(os.pread(descriptor, _PIECE_BYTES, number * step))
    finally:
        os.close(descriptor)
    return total.hexdigest()
