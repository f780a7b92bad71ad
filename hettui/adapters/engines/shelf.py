"""Where finished engines lie: a folder each, with its record, put there whole or not at all; which one is in use."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from hettui.adapters.files.atomic import make_private, replace_file
from hettui.adapters.files.bounded import read_text_file
from hettui.adapters.files.json_file import read_json_file
from hettui.domain.engines.recipe import in_order
from hettui.domain.engines.record import (
    EngineRecord,
    InUse,
    checked_name,
    in_use_text,
    read_in_use,
    read_record,
    record_text,
)
from hettui.domain.errors import HettuiError
from hettui.domain.llama.build import ChosenEngine
from hettui.domain.patterns import late_pattern
from hettui.domain.text import clean_line

RECORD = "engine.json"
_IN_USE = "in-use.json"
_BACKEND = late_pattern(r"libggml-(cuda|hip|vulkan|sycl|cpu)\b")
_MOST_BYTES = 64 * 1024
_MOST_ENGINES = 200
_LEFT_S = 24 * 3600.0
_MOST_FILES = 20_000


class Shelf:
    """The engines below one folder, which need not be there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def records(self) -> list[EngineRecord]:
        """Those that are whole, by name; what has no sound record is no engine."""
        try:
            names = sorted(entry.name for entry in os.scandir(self.folder) if entry.is_dir(follow_symlinks=False))
        except OSError:
            return []
        found = (self.record(name) for name in names[:_MOST_ENGINES] if not name.startswith("."))
        return [record for record in found if record is not None]

    def record(self, name: str) -> EngineRecord | None:
        try:
            return read_record(read_text_file(self.folder / name / RECORD, _MOST_BYTES), name)
        except (OSError, ValueError):
            return None

    def engine(self, record: EngineRecord, environ: Mapping[str, str]) -> ChosenEngine:
        """With absolute paths; what the loader is told already stays behind ours."""
        home = self.folder / record.name
        env = []
        for key, value in record.env:
            folders = [str(home / part) for part in value.split(":")]
            before = [environ[key]] if environ.get(key) else []
            env.append((key, ":".join([*folders, *before])))
        return ChosenEngine(record.name, home / record.server, tuple(env))

    def in_use(self) -> InUse:
        return read_in_use(read_json_file(self.folder / _IN_USE, _MOST_BYTES))

    def choose(self, in_use: InUse) -> None:
        """Raises HettuiError."""
        try:
            replace_file(self.folder / _IN_USE, in_use_text(in_use).encode(), 0o600)
        except OSError as error:
            raise HettuiError(f"{self.folder} cannot be written: {error.strerror}") from None

    def chosen(self, environ: Mapping[str, str]) -> ChosenEngine | None:
        """The one in use; one whose record is gone is still named, so that nobody runs another one unawares."""
        name = self.in_use().name
        if name is None:
            return None
        record = self.record(name)
        if record is None:
            return ChosenEngine(name, self.folder / name / "bin" / "llama-server")
        return self.engine(record, environ)

    @contextlib.contextmanager
    def new(self) -> Iterator[Path]:
        """A private folder beside the engines, in which one is put together; it is gone afterwards."""
        try:
            make_private(self.folder)
            self._sweep()
            folder = Path(tempfile.mkdtemp(prefix=".new-", dir=self.folder))
        except OSError as error:
            raise HettuiError(f"{self.folder} cannot be written: {error.strerror}") from None
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _sweep(self) -> None:
        """What hettuis that were killed have left; a young one may be another's work."""
        for prefix in (".new-", ".old-"):
            for left in self.folder.glob(f"{prefix}*"):
                with contextlib.suppress(OSError):
                    if time.time() - left.lstat().st_mtime > _LEFT_S:
                        shutil.rmtree(left, ignore_errors=True)

    def place(self, new: Path, record: EngineRecord) -> Path:
        """Gives it its name in one step; one that has the name already goes. Raises HettuiError."""
        target, old = self.folder / checked_name(record.name), self.folder / f".old-{os.getpid()}-{record.name}"
        try:
            replace_file(new / RECORD, record_text(record).encode(), 0o600)
            if target.exists():
                target.rename(old)
            new.rename(target)
        except OSError as error:
            with contextlib.suppress(OSError):
                if old.exists() and not target.exists():
                    old.rename(target)
            raise HettuiError(f"{target} cannot be made: {error.strerror}: nothing was changed") from None
        finally:
            if target.exists():
                shutil.rmtree(old, ignore_errors=True)
        return target

    def remove(self, name: str) -> None:
        """Out of sight in one step, and then away. Raises HettuiError."""
        gone = self.folder / f".old-{os.getpid()}-{name}"
        try:
            (self.folder / name).rename(gone)
            shutil.rmtree(gone)
        except OSError as error:
            raise HettuiError(f"{clean_line(name, 80)} cannot be removed: {error.strerror}") from None

    def size_bytes(self, name: str) -> int:
        return size_of(self.folder / name)

    def pids(self, record: EngineRecord) -> list[int]:
        """This user's processes that run out of the engine's folder."""
        home = os.path.realpath((self.folder / record.name / record.server).parent)
        found = []
        for entry in os.listdir("/proc") if Path("/proc/self/exe").exists() else ():  # noqa: PTH208
            if entry.isdigit():
                with contextlib.suppress(OSError):
                    program = os.readlink(f"/proc/{entry}/exe")  # noqa: PTH115
                    found += [int(entry)] if program.startswith(home + os.sep) else []
        return found


def size_of(folder: Path) -> int:
    """Bytes of the files below, each counted once; links are not followed."""
    seen: dict[tuple[int, int], int] = {}
    count = 0
    for root, _, names in os.walk(folder):
        for name in names:
            count += 1
            with contextlib.suppress(OSError):
                found = os.lstat(os.path.join(root, name))  # noqa: PTH118
                if stat.S_ISREG(found.st_mode):
                    seen[(found.st_dev, found.st_ino)] = found.st_size
        if count > _MOST_FILES:
            break
    return sum(seen.values())


def backends_beside(server: Path) -> tuple[str, ...]:
    """By the libraries that lie beside it."""
    found = {match[1] for path in server.parent.glob("libggml-*.so*") if (match := _BACKEND.match(path.name))}
    return in_order(sorted(found)) if found else ()


def copy_binaries(source: Path, target: Path) -> None:
    """Programs, libraries and the links between them out of a build's folder. Raises OSError."""
    make_private(target)
    for entry in sorted(os.scandir(source), key=lambda one: one.name):
        to = target / entry.name
        if entry.is_symlink():
            link = os.readlink(entry.path)  # noqa: PTH115
            if os.sep not in link:
                to.symlink_to(link)
        elif entry.is_file(follow_symlinks=False):
            shutil.copyfile(entry.path, to, follow_symlinks=False)
            to.chmod(0o700)
