"""What to say when hettui itself is at fault: one line, and the trace in a file."""

from __future__ import annotations

import traceback

from hettui.adapters.files.atomic import replace_file
from hettui.adapters.files.paths import state_dir
from hettui.domain.errors import HettuiError
from hettui.domain.text import clean_line


def report(error: Exception) -> str:
    """The line for stderr. The trace goes to a file; where none can be written, the line says less."""
    what = clean_line(f"{type(error).__name__}: {error}", 200)
    try:
        path = state_dir() / "crash.log"
        replace_file(path, "".join(traceback.format_exception(error)).encode("utf-8", "replace"), 0o600)
    except (OSError, HettuiError):
        return f"hettui: internal error, please report it: {what}"
    return f"hettui: internal error, please report it: {what}\nhettui: details are in {path}"
