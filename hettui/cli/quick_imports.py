"""Modules of the packages that a start is made of, found without a search.

Python's own finder asks every module's folder for its time, makes both names anew and opens the bytecode through three
objects; with five hundred modules that is a tenth of a start. Here a module's source is looked at once and its bytecode
read at once, under the same terms (PEP 552: magic number, time and size of the source). Whatever is not as usual is
left to Python: no bytecode yet, a stale one, one of another kind, a module that is no `.py` file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import MAGIC_NUMBER
from marshal import loads
from types import CodeType, ModuleType

PACKAGES = frozenset({"hettui", "textual", "rich", "asyncio", "platformdirs"})
"""With sources alone in them, each in one folder."""
_PACKAGE = "__init__"
_HEAD_BYTES = 16
_END = f".{sys.implementation.cache_tag}.pyc"
_BY_TIME = MAGIC_NUMBER + bytes(4)
"""How bytecode begins that is checked by its source's time and size."""
_LOW = 0xFFFF_FFFF


def begin() -> None:
    """From now on, once; nothing where bytecode lies elsewhere or is another one."""
    usual = not sys.flags.optimize and sys.pycache_prefix is None and sys.implementation.cache_tag is not None
    if usual and not any(isinstance(finder, QuickFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, QuickFinder())


class QuickFinder:
    """Implements the finder of `sys.meta_path`, of modules within `PACKAGES`."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """None: somebody else may know."""
        if path is None or len(path) != 1 or name.partition(".")[0] not in PACKAGES:
            return None
        tail = name.rpartition(".")[2]
        return _spec(name, path[0], tail) or _spec(name, f"{path[0]}/{tail}", _PACKAGE)


def _spec(name: str, folder: str, stem: str) -> ModuleSpec | None:
    """None: there is no such source."""
    origin = f"{folder}/{stem}.py"
    try:
        status = os.stat(origin)  # noqa: PTH116 - a Path costs as much again
    except OSError:
        return None
    loader = _QuickLoader(name, origin, f"{folder}/__pycache__/{stem}{_END}", status)
    spec = ModuleSpec(name, loader, origin=origin, is_package=stem == _PACKAGE)
    spec.has_location, spec.cached = True, loader.cached
    if spec.submodule_search_locations is not None:
        spec.submodule_search_locations.append(folder)
    return spec


class _QuickLoader(SourceFileLoader):
    def __init__(self, name: str, path: str, cached: str, status: os.stat_result) -> None:
        super().__init__(name, path)
        self.cached = cached
        self._head = b"".join(
            (_BY_TIME, *((int(n) & _LOW).to_bytes(4, "little") for n in (status.st_mtime, status.st_size)))
        )

    def get_code(self, fullname: str) -> CodeType | None:
        try:
            bytecode = os.open(self.cached, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return super().get_code(fullname)
        try:
            data = os.read(bytecode, os.fstat(bytecode).st_size)
        finally:
            os.close(bytecode)
        if not data.startswith(self._head):
            return super().get_code(fullname)
        # As Python itself does: who can write there can write the source, too.
        code: CodeType = loads(memoryview(data)[_HEAD_BYTES:])  # noqa: S302
        return code
