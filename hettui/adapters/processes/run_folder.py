"""The runtime folder: which hettui owns the cluster, and what runs.

Ownership is a lock of the kernel's (flock) on a file: it ends with the process that holds it, however that ends. The
record beside it is replaced at once, mode 0600, so whoever reads it sees a whole one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from hettui.adapters.files.atomic import replace_file
from hettui.adapters.files.bounded import read_file
from hettui.adapters.processes import proc
from hettui.domain.cluster.run_state import RunState, from_text, to_text
from hettui.domain.errors import HettuiError

_MAX_BYTES = 4 << 20


class RunFolder:
    """Implements RunStore for the cluster called `name` in one folder."""

    def __init__(self, folder: Path, name: str = "cluster") -> None:
        self._folder = folder
        self.boot_id = proc.boot_id()
        self.path = folder / f"{name}.json"
        self._lock_path = folder / f"{name}.lock"
        self._lock: int | None = None

    @property
    def mark(self) -> str:
        """What the processes of this cluster carry in their environment."""
        return str(self.path)

    # -- ownership -----------------------------------------------------------------------------------------

    def acquire(self) -> bool:
        """Makes this process the owner; False when another one is. Raises HettuiError when no lock can be made."""
        if self._lock is not None:
            return True
        try:
            descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise HettuiError(f"the lock {self._lock_path} cannot be made: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                return False
            raise HettuiError(f"the lock {self._lock_path} cannot be taken: {error.strerror}") from error
        self._lock = descriptor
        with contextlib.suppress(OSError):
            # For people and for the one who comes second; nothing depends on it.
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return True

    def owner(self) -> int | None:
        """The pid of the hettui that holds the lock, where it could write it down; None when nobody holds it."""
        if self._lock is not None:
            return os.getpid()
        try:
            with self._lock_path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    text = file.read(32).strip()
                    return int(text) if text.isdigit() else 0
        except OSError:
            pass
        return None

    def release(self) -> None:
        """Gives the ownership up. The file stays: removing it would let two others each lock one of their own."""
        descriptor, self._lock = self._lock, None
        if descriptor is not None:
            os.close(descriptor)

    def forget(self) -> None:
        """The end of a cluster of one's own: nobody else will ever ask for this name."""
        with contextlib.suppress(OSError):
            self._lock_path.unlink()
        self.release()

    # -- the record ----------------------------------------------------------------------------------------

    def load(self) -> RunState | None:
        try:
            data = read_file(self.path, _MAX_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HettuiError(f"the state file {self.path} cannot be read: {error.strerror}") from error
        try:
            return from_text(data.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise HettuiError(f"the state file {self.path} is damaged: {error}") from error

    def save(self, state: RunState | None) -> None:
        try:
            if state is None:
                self.path.unlink(missing_ok=True)
            else:
                replace_file(self.path, to_text(state).encode("utf-8", "replace"), 0o600)
        except OSError as error:
            raise HettuiError(f"the state file {self.path} cannot be written: {error.strerror}") from error
