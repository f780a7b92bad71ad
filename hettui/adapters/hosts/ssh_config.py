"""The hosts that ~/.ssh/config names. What ssh makes of them is ssh's own matter."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from hettui.adapters.files.bounded import read_text_file
from hettui.domain.text import clean_line

_MOST_BYTES = 256 * 1024
_MOST_FILES, _MOST_HOSTS, _DEEPEST = 32, 64, 4
_NOT_LITERAL = set("*?!")


def aliases(home: Path) -> list[str]:
    """In their order, each once: names without wildcards. Those at which nobody but git logs in are left out. What
    cannot be read names nothing."""
    found: dict[str, bool] = {}
    for names, user in _blocks(home / ".ssh" / "config", home, [_MOST_FILES], 0):
        for name in names:
            usable = user != "git" and not set(name) & _NOT_LITERAL and not name.startswith("-") and name.isprintable()
            if usable and clean_line(name) == name:
                found.setdefault(name, True)
    return list(found)[:_MOST_HOSTS]


def _blocks(path: Path, home: Path, files_left: list[int], depth: int) -> Iterator[tuple[list[str], str]]:
    """The names of each `Host` line, and the user of its block."""
    files_left[0] -= 1
    if files_left[0] < 0 or depth > _DEEPEST:
        return
    try:
        text = read_text_file(path, _MOST_BYTES, "replace")
    except OSError:
        return
    names: list[str] = []
    user = ""
    for line in text.splitlines():
        key, words = _words(line)
        if key in ("host", "match"):
            yield names, user
            names, user = (words if key == "host" else []), ""
        elif key == "user" and words:
            user = words[0]
        elif key == "include":
            for pattern in words:
                for included in _included(pattern, home):
                    yield from _blocks(included, home, files_left, depth + 1)
    yield names, user


def _words(line: str) -> tuple[str, list[str]]:
    """`Key value…` or `Key=value…`; the key in lower case."""
    key, _, rest = line.strip().partition("=" if "=" in line.split(" ", 1)[0] else " ")
    if not key or key.startswith("#"):
        return "", []
    try:
        return key.strip().lower(), shlex.split(rest.strip().removeprefix("=").strip(), comments=True)
    except ValueError:
        return "", []


def _included(pattern: str, home: Path) -> list[Path]:
    if pattern.startswith("~/"):
        pattern = str(home / pattern[2:])
    base = Path("/") if pattern.startswith("/") else home / ".ssh"
    try:
        return sorted(base.glob(pattern.lstrip("/")))[:_MOST_FILES]
    except (ValueError, OSError, NotImplementedError):
        return []
