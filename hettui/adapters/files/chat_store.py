"""Conversations as JSON files below the state folder, one folder for each model, mode 0600, replaced atomically."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
from pathlib import Path

from hettui.adapters.files.atomic import make_private, open_private, replace_file
from hettui.adapters.files.json_file import read_json_file
from hettui.domain.chat.conversation import Conversation, from_json, to_json
from hettui.domain.text import clean
from hettui.ports import KeptPrompts

_MAX_BYTES = 32 << 20
_MAX_ALL_BYTES = 64 << 20
"""Of all conversations with one model together: the newest are taken, the others stay where they are."""
_MAX_PROMPTS = 1000
_PROMPTS = "prompts.json"
_EXPORT_TRIES = 1000


class ChatFolder:
    """Implements ChatStore."""

    def __init__(self, folder: Path, exports: Path) -> None:
        """`exports`: where files for the user go; `folder` itself when it cannot be written."""
        self._folder = folder
        self._exports = exports

    def conversations(self, model: str) -> list[Conversation]:
        found = []
        for path in _newest(self._of(model)):
            if path.name != _PROMPTS and (data := read_json_file(path, _MAX_BYTES)) is not None:
                conversation = from_json(path.stem, data)
                if conversation is not None and conversation.exchanges:
                    found.append(conversation)
        return sorted(found, key=lambda c: (c.changed or c.created, c.key), reverse=True)

    def save(self, conversation: Conversation) -> None:
        _write(self._made(conversation.model) / f"{_word(conversation.key)}.json", to_json(conversation))

    def remove(self, conversation: Conversation) -> None:
        (self._of(conversation.model) / f"{_word(conversation.key)}.json").unlink(missing_ok=True)

    def prompts(self, model: str) -> KeptPrompts:
        data = read_json_file(self._of(model) / _PROMPTS, _MAX_BYTES)
        if not isinstance(data, dict):
            return KeptPrompts()
        draft, history = data.get("draft"), data.get("history")
        kept = history if isinstance(history, list) else []
        return KeptPrompts(
            clean(draft) if isinstance(draft, str) else "",
            tuple(clean(p) for p in kept[-_MAX_PROMPTS:] if isinstance(p, str) and p.strip()),
        )

    def save_prompts(self, model: str, prompts: KeptPrompts) -> None:
        _write(self._made(model) / _PROMPTS, {"draft": prompts.draft, "history": list(prompts.history)})

    def copy(self, text: str) -> str:
        path = self._folder / "last-copy.txt"
        replace_file(path, text.encode("utf-8", errors="replace"), 0o600)
        return str(path)

    def export(self, name: str, text: str) -> str:
        try:
            return self._export(self._exports, name, text)
        except OSError:
            return self._export(make_private(self._folder), name, text)

    @staticmethod
    def _export(folder: Path, name: str, text: str) -> str:
        stem, suffix = Path(name).stem, Path(name).suffix
        for number in range(_EXPORT_TRIES):
            path = folder / (f"{_word(stem)}{f'-{number}' if number else ''}{suffix}")
            try:
                # A new file, or none: what is there is somebody's, and a link would lead elsewhere.
                descriptor = open_private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            except FileExistsError:
                continue
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(text)
            except OSError:
                # Half of it would look like all of it.
                path.unlink(missing_ok=True)
                raise
            return str(path)
        raise OSError(f"{folder} holds {_EXPORT_TRIES} files of this name")

    def _of(self, model: str) -> Path:
        """A folder that people can read and that no two models share."""
        digest = hashlib.sha256(model.encode(errors="replace")).hexdigest()[:8]
        return self._folder / f"{_word(model)}-{digest}"

    def _made(self, model: str) -> Path:
        folder = self._of(model)
        return make_private(folder)


def _word(text: str) -> str:
    """A file name without surprises."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:60] or "unnamed"


def _newest(folder: Path) -> list[Path]:
    """The files that are small enough together, from the newest on."""
    stats = []
    for path in folder.glob("*.json"):
        with contextlib.suppress(OSError):
            status = path.stat()
            stats.append((status.st_mtime_ns, status.st_size, path))
    left, found = _MAX_ALL_BYTES, []
    for _, size, path in sorted(stats, reverse=True):
        if size <= min(left, _MAX_BYTES):
            left -= size
            found.append(path)
    return found


def _write(path: Path, data: object) -> None:
    """Raises OSError, also for what would be too large to be read again."""
    text = json.dumps(data, ensure_ascii=False, indent=1).encode("utf-8", errors="replace")
    if len(text) > _MAX_BYTES:
        raise OSError(errno.EFBIG, f"it is larger than {_MAX_BYTES >> 20} MiB: start a new conversation", str(path))
    replace_file(path, text, 0o600)
