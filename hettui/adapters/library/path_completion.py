"""Completes a path that is being typed: folders and GGUF files, as a shell would."""

from __future__ import annotations

import os
from pathlib import Path

from hettui.domain.library.found import SUFFIX
from hettui.domain.library.places import Completion
from hettui.domain.text import clean_line

MAX_CANDIDATES = 200
_MAX_ENTRIES = 20_000


def complete(typed: str, home: Path) -> Completion:
    """What `typed` can become. Hidden names only when a dot is typed; capitals count only where one is typed."""
    if typed == "~":
        return Completion("~/", ("~/",))
    folder, slash, begun = typed.rpartition("/")
    shown = folder + slash
    where = str(home) + folder[1:] if folder == "~" or folder.startswith("~/") else folder
    try:
        names = _names(where or ("/" if slash else "."), begun)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return Completion(typed, problem=f"{clean_line(shown or '.', 200)}: {clean_line(reason, 100)}")
    if not names:
        return Completion(typed)
    first, last = min(names), max(names)
    common = first[: next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))]
    # With other capitals than typed nothing may get lost: `Mod` stays when `model` and `MODEL` are there.
    text = shown + common if len(common) >= len(begun) else typed
    candidates = tuple(shown + name for name in names[:MAX_CANDIDATES])
    return Completion(text, candidates, len(names) - len(candidates))


def _names(folder: str, begun: str) -> list[str]:
    """Folders first, each with its slash. Names that cannot be typed or shown are left out."""
    folders, files = [], []
    plain = begun == begun.lower()
    with os.scandir(folder) as entries:
        for count, entry in enumerate(entries):
            if count >= _MAX_ENTRIES:
                break
            name = entry.name
            if not (name.lower() if plain else name).startswith(begun) or name != clean_line(name):
                continue
            if name.startswith(".") and not begun.startswith("."):
                continue
            try:
                is_folder = entry.is_dir()
            except OSError:
                continue
            if is_folder:
                folders.append(name + "/")
            elif name.lower().endswith(SUFFIX):
                files.append(name)
    return [*sorted(folders), *sorted(files)]
