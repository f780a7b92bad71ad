"""A command of hettui without a process of its own: what it says and how it ends, without half a second of imports."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

from hettui.cli import main


def hettui(
    *words: str, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """`environment` is the whole of it; None: that of the tests. What starts processes that outlive it needs one of its
    own: here they would be the tests' children.
    """
    out, err = io.StringIO(), io.StringIO()
    surroundings = mock.patch.dict(os.environ, environment or {}, clear=environment is not None)
    with surroundings, chdir(folder or Path.cwd()), redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(words)
        except SystemExit as ended:
            code = int(ended.code or 0)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())
