"""Which hettui owns the cluster, and what runs: a lock and a record, the same in each of a few folders.

One folder may be taken away while the cluster runs (logout deletes `/run/user/UID`), become full or read-only: the lock
of another is still held, and its record read.

Ownership is a lock of the kernel's (flock) on a file: it ends with the process that holds it, however that ends. The
record beside it is replaced at once, mode 0600, so whoever reads it sees a whole one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hettui.adapters.files.atomic import open_private, replace_file
from hettui.adapters.files.bounded import read_file
from hettui.adapters.files.paths import owned
from hettui.adapters.processes import proc
from hettui.adapters.processes.local import LocalRunner
from hettui.domain.cluster.run_state import RunState, from_text, to_text
from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.errors import HettuiError
from hettui.ports import FoundProcess

_MAX_BYTES = 4 << 20


class RunFolder:
    """Implements RunStore for the cluster called `name`, in one folder and its copies."""

    def __init__(self, folder: Path, name: str = "cluster", *, copies: Sequence[Path] = (), mark: str = "") -> None:
        """`mark`: what the processes of this cluster carry in their environment; else where its record lies."""
        self._name = name
        self._folders = [folder, *copies]
        self.boot_id = proc.boot_id()
        self.path = folder / f"{name}.json"
        self.mark = mark or str(self.path)
        self._locks: dict[Path, int] = {}

    @property
    def folders(self) -> tuple[Path, ...]:
        return tuple(self._folders)

    def look_around(self) -> None:
        """Knows of the folders in which living processes of this cluster were recorded, by whatever other login."""
        for folder in LocalRunner(self.mark).recorded_in():
            if folder not in self._folders and owned(folder):
                self._folders.append(folder)

    def marked(self) -> list[FoundProcess]:
        """Every living process of this cluster, recorded or not."""
        return LocalRunner(self.mark).marked()

    # -- ownership -----------------------------------------------------------------------------------------

    def acquire(self) -> bool:
        """Makes this process the owner; False when another one is. Raises HettuiError when no lock can be made."""
        if self._locks:
            return True
        problem = None
        for folder in self._folders:
            path = folder / f"{self._name}.lock"
            try:
                self._locks[folder] = _locked(path)
            except BlockingIOError:
                self.release()
                return False
            except OSError as error:
                problem = problem or HettuiError(f"the lock {path} cannot be made: {error.strerror}")
        if not self._locks and problem:
            raise problem
        return True

    def owner(self) -> int | None:
        """The pid of the hettui that holds the lock, where it could write it down; None when nobody holds it."""
        if self._locks:
            return os.getpid()
        for folder in self._folders:
            with contextlib.suppress(OSError), (folder / f"{self._name}.lock").open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    text = file.read(32).strip()
                    return int(text) if text.isdigit() else 0
        return None

    def release(self) -> None:
        """Gives the ownership up. The file stays: removing it would let two others each lock one of their own."""
        locks, self._locks = self._locks, {}
        for descriptor in locks.values():
            os.close(descriptor)

    def forget(self) -> None:
        """The end of a cluster of one's own: nobody else will ever ask for this name."""
        for folder in self._folders:
            with contextlib.suppress(OSError):
                (folder / f"{self._name}.lock").unlink()
        self.release()

    def _hold_on(self) -> None:
        """Where a lock's file was taken away with its folder, a new one is locked: nobody else shall."""
        for folder, descriptor in list(self._locks.items()):
            with contextlib.suppress(OSError):
                if os.fstat(descriptor).st_nlink == 0:
                    self._locks[folder] = _locked(folder / f"{self._name}.lock")
                    os.close(descriptor)

    # -- the record ----------------------------------------------------------------------------------------

    def load(self) -> RunState | None:
        """The newest that can be read."""
        found: list[tuple[int, RunState]] = []
        problem = None
        for folder in self._folders:
            path = folder / f"{self._name}.json"
            try:
                found.append(_read(path))
            except FileNotFoundError:
                continue
            except OSError as error:
                problem = HettuiError(f"the state file {path} cannot be read: {error.strerror}")
            except (ValueError, RecursionError) as error:
                problem = HettuiError(f"the state file {path} is damaged: {error}")
        if found:
            newest = max(found, key=lambda one: one[0])[1]
            return newest if newest.processes else None
        if problem:
            raise problem
        return None

    def save(self, state: RunState | None) -> None:
        """Everywhere; one place is enough. What could not be replaced is older than what could, and is not believed."""
        written, problem = self._removed() if state is None else self._written(state)
        self._hold_on()
        if problem and not written:
            raise problem

    def _written(self, state: RunState) -> tuple[int, HettuiError | None]:
        """In how many folders, and the first reason why not in one."""
        written, problem, data = 0, None, to_text(state).encode("utf-8", "replace")
        for folder in self._folders:
            path = folder / f"{self._name}.json"
            try:
                replace_file(path, data, 0o600)
                written += 1
            except OSError as error:
                problem = problem or HettuiError(f"the state file {path} cannot be written: {error.strerror}")
        return written, problem

    def _removed(self) -> tuple[int, HettuiError | None]:
        """As `_written`. Where one cannot be removed, the others get a newer one that says: nothing runs."""
        removed, problem, left = 0, None, None
        for folder in self._folders:
            path = folder / f"{self._name}.json"
            try:
                path.unlink(missing_ok=True)
                removed += 1
            except OSError as error:
                problem = problem or HettuiError(f"the state file {path} cannot be removed: {error.strerror}")
                with contextlib.suppress(OSError, ValueError, RecursionError):
                    left = _read(path)[1]
        if left is not None and removed:
            return self._written(replace(left, state=ClusterState.DOWN, processes=(), problem=None))
        return removed, problem


def _locked(path: Path) -> int:
    """Raises BlockingIOError where another one holds it, OSError where it cannot be made."""
    descriptor = open_private(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    with contextlib.suppress(OSError):
        # For people and for the one who comes second; nothing depends on it.
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _read(path: Path) -> tuple[int, RunState]:
    """When it was written, and what it says. Raises OSError, and ValueError for what is no record."""
    # Its time first: a newer one may take its place meanwhile, and then counts as older than it is.
    written = path.stat().st_mtime_ns
    return written, from_text(read_file(path, _MAX_BYTES).decode("utf-8"))
