"""The files of this machine's llama.cpp that another machine needs to lend a device: rpc server and libraries."""

from __future__ import annotations

import hashlib
import mmap
import os
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from hettui.adapters.files.cksum import cksum_of
from hettui.domain.errors import EngineError
from hettui.domain.hosts.push import EngineFile, Package
from hettui.domain.llama.build import EngineInfo
from hettui.domain.patterns import late_pattern
from hettui.domain.text import clean_line

_LIBRARY = late_pattern(r"lib[\w.+-]+\.so[\w.]*")
_MASTERS = late_pattern(r"lib(llama|mtmd)\b[\w.-]*")
"""Of the master alone: an rpc server knows only ggml."""
_GLIBC = late_pattern(rb"GLIBC_(\d{1,3})\.(\d{1,3})")
_SUM_CHARS = 16
_MOST_FILES = 64


def package_of(engine: EngineInfo) -> Package:
    """Reads all of it. Raises EngineError where this build has no rpc server, or a file cannot be read."""
    if engine.rpc_server is None:
        raise EngineError(f"there is no ggml-rpc-server beside {engine.server}: build llama.cpp with -DGGML_RPC=ON")
    try:
        program = engine.rpc_server.resolve()
        return _package(program, program.stat().st_mtime_ns)
    except OSError as error:
        raise EngineError(f"{clean_line(str(error.filename), 200)} cannot be read: {error.strerror}") from error


@cache
def _package(program: Path, _stamp: int) -> Package:
    names: dict[str, list[Path]] = defaultdict(list)
    for path in (program, *_libraries(program)):
        names[cksum_of(path)].append(path)
    files = []
    for sum_text, same in names.items():
        crc, _, size = sum_text.partition(".")
        first = same[0]
        aliases = tuple(path.name for path in same[1:])
        files.append(EngineFile(first.name, str(first), int(size), crc, aliases))
    text = "\n".join(f"{file.name} {file.crc} {file.size_bytes} {file.aliases}" for file in files)
    wanted = [version for file in files for version in _glibc(Path(file.path))]
    system = os.uname()
    return Package(
        hashlib.sha256(text.encode()).hexdigest()[:_SUM_CHARS], program.name, tuple(files), system.sysname,
        system.machine, max(wanted, default=None),
    )  # fmt: skip


def _libraries(program: Path) -> list[Path]:
    """Beside the program, or in a `lib` beside its folder, as llama.cpp's build and its packages lay them."""
    for folder in (program.parent, program.parent.parent / "lib"):
        found = sorted(
            path for path in folder.glob("lib*.so*")
            if path.is_file() and _LIBRARY.fullmatch(path.name) and not _MASTERS.fullmatch(path.name)
        )  # fmt: skip
        if any(path.name.startswith("libggml") for path in found):
            return found[:_MOST_FILES]
    return []


def _glibc(path: Path) -> Iterator[tuple[int, int]]:
    """Versions of glibc's symbols that a file names."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        for match in _GLIBC.finditer(text):
            yield int(match[1]), int(match[2])
