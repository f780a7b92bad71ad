"""Writing to disk, for whoever writes: whole or not at all, for the user alone, and never through a link.

A folder for state may be full, read-only, gone, or hold links that lead elsewhere, and the umask may be any. Everything
that hettui writes goes through this file; a test walks the writers.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from pathlib import Path


def replace_file(target: Path, data: bytes, mode: int) -> None:
    """Temporary file, fsync, rename: whoever reads sees the old content or the new one, whatever happens meanwhile.

    A link at the target is replaced, not followed; a folder that was removed meanwhile is made again. Raises OSError;
    the old file is then untouched.
    """
    make_private(target.parent)
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        os.replace(name, target)  # noqa: PTH105 - patched by a test that pulls the plug here
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)  # noqa: PTH108
        raise
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def open_private(path: Path | str, flags: int) -> int:
    """A descriptor of a regular file, made with mode 0600 where it is not there, and brought to it where it is ours.

    Raises OSError for a link, a pipe or a device in its place: what would be written there is somebody else's.
    """
    wanted = flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    # Emptied only once it is known what it is.
    try:
        descriptor = os.open(path, wanted & ~os.O_TRUNC, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "a link is in its place, and is not followed", str(path)) from error
        raise
    try:
        _made_private(descriptor, path)
        if flags & os.O_TRUNC:
            os.ftruncate(descriptor, 0)
        os.set_blocking(descriptor, True)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _made_private(descriptor: int, path: Path | str) -> None:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "something else than a file is in its place", str(path))
    if stat.S_IMODE(found.st_mode) != 0o600 and found.st_uid == os.geteuid():
        os.fchmod(descriptor, 0o600)


def has_room(folder: Path, size_bytes: int) -> bool:
    """Whether so much can be written there now; nothing of it stays."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(size_bytes))
            probe.flush()
    except OSError:
        return False
    return True


def make_private(folder: Path) -> Path:
    """The folder with all that is missing above it, each made with mode 0700, whatever the umask is. Raises OSError."""
    missing = []
    for place in (folder, *folder.parents):
        if place.is_dir():
            break
        missing.append(place)
    for place in reversed(missing):
        with contextlib.suppress(FileExistsError):
            place.mkdir(mode=0o700)
            # What the umask took from us.
            place.chmod(0o700)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    return folder
