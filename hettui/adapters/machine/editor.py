"""The user's own editor, as a shell's `ctrl+x ctrl+e` and git use it: on the terminal, on a file that is gone after."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hettui.adapters.files.atomic import replace_file
from hettui.adapters.files.bounded import read_text_file
from hettui.domain.errors import UsageError
from hettui.domain.text import clean, clean_line
from hettui.domain.units import MIB

_MOST_BYTES = MIB
_NAMES = ("VISUAL", "EDITOR")


class UserEditor:
    """`edit` has the terminal, and blocks until the editor has ended."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Raises UsageError where none is set, or it is not there."""
        name = next((name for name in _NAMES if environ.get(name, "").strip()), None)
        if name is None:
            raise UsageError("no editor is set: leave hettui, export EDITOR=nano (or vim, emacs …), and start it again")
        try:
            self._words = shlex.split(environ[name])
        except ValueError as error:
            raise UsageError(f"${name} cannot be read: {error}") from None
        if not self._words or shutil.which(self._words[0]) is None:
            raise UsageError(f"${name} is {clean_line(environ[name], 80)}: there is no such program")

    def edit(self, text: str) -> str:
        """What the text has become. Raises UsageError; the text is then as it was."""
        program = clean_line(self._words[0], 80)
        # Ctrl-C is the editor's. A handler and no SIG_IGN: the child does not inherit it.
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            with tempfile.TemporaryDirectory(prefix="hettui-") as folder:
                file = Path(folder) / "prompt.md"
                replace_file(file, text.encode("utf-8", "replace"), 0o600)
                code = subprocess.run([*self._words, str(file)], check=False).returncode
                if code:
                    raise UsageError(f"{program} ended with {code}: the prompt is as it was")
                edited = read_text_file(file, _MOST_BYTES, "replace")
        except OSError as error:
            raise UsageError(f"{program}: {error.strerror or error}; the prompt is as it was") from None
        finally:
            with contextlib.suppress(ValueError):
                signal.signal(signal.SIGINT, before)
        return clean(edited).rstrip("\n")
