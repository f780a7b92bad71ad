"""The kernel's files about another machine's cards, as a folder here: who reads our own cards reads those, too.

What the host sends is hostile: a path is taken when all of its parts are plain names below `devices` or `module`, a
text up to the size of a page, and of both no more than any machine has.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hettui.adapters.files.atomic import make_private, replace_file
from hettui.adapters.files.paths import run_dirs
from hettui.domain.errors import HettuiError
from hettui.domain.patterns import late_pattern

_PART = late_pattern(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,63}")
_NODE = late_pattern(r"card[0-9]{1,3}")
_DRIVERS = ("amdgpu", "i915", "xe")
_ROOTS = ("devices", "module")
_MOST_FILES, _MOST_PARTS, _MOST_CHARS = 2000, 16, 4096
_HEXADECIMAL = late_pattern(r"(?:[0-9a-f]{2}){1,512}")


class CardMirror:
    """Made with the first card; on the memory disk of this login. One thread writes; readers see each file whole."""

    def __init__(self) -> None:
        self.root: Path | None = None
        """With `sys` and `proc` in it."""
        self.cards = 0
        """How many were told of: another number means that there are others to be looked for."""
        self.blocks = 0
        """Readings that have come whole. From the first one on all files are there: what a reader finds out when it
        begins does not change any more."""
        self._files: dict[int, Path] = {}

    def take(self, words: Sequence[str]) -> None:
        """One marked line. What it does not understand is left out."""
        with contextlib.suppress(OSError, ValueError, HettuiError):
            match words:
                case ["done"]:
                    self.blocks += 1
                case ["drm", node, device, real, driver]:
                    self._card(node, device, real, driver)
                case ["path", number, path] if len(self._files) < _MOST_FILES and number.isdecimal():
                    self._files[int(number)] = self._below(path)
                case ["f", number, *text] if number.isdecimal() and int(number) in self._files:
                    replace_file(
                        self._files[int(number)], " ".join(text)[:_MOST_CHARS].replace("|", "\n").encode(), 0o600
                    )
                case ["table", path, text] if _HEXADECIMAL.fullmatch(text):
                    replace_file(self._below(path), bytes.fromhex(text), 0o600)

    def close(self) -> None:
        if self.root is not None:
            shutil.rmtree(self.root, ignore_errors=True)
            self.root = None

    def _below(self, path: str) -> Path:
        """Raises ValueError for a path that no card has."""
        parts = path.split("/")
        if len(parts) > _MOST_PARTS or parts[0] not in _ROOTS or not all(map(_PART.fullmatch, parts)):
            raise ValueError(path)
        if self.root is None:
            folder = run_dirs()[-1] / "cards"
            make_private(folder)
            self.root = Path(tempfile.mkdtemp(dir=folder))
        return self.root.joinpath("sys", *parts)

    def _card(self, node: str, device: str, real: str, driver: str) -> None:
        folder, place = self._below(device), self._below(real)
        if driver not in _DRIVERS or not _NODE.fullmatch(node) or place.parent.parent != folder or place.name != node:
            raise ValueError(node)
        assert self.root is not None  # noqa: S101 - _below has made it
        sys = self.root / "sys"
        drivers, nodes = sys / "bus" / "pci" / "drivers" / driver, sys / "class" / "drm"
        for made in (place, drivers, nodes):
            make_private(made)
        for link, target in ((folder / "driver", drivers), (place / "device", folder), (nodes / node, place)):
            link.unlink(missing_ok=True)
            link.symlink_to(target)
        self.cards += 1
