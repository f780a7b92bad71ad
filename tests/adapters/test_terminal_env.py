"""What this machine's terminal says, asked in a program of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hettui.adapters.machine.terminal_env import this_terminal
from hettui.domain.screen.terminal import colour_depth, glyphs

_ASK = (
    "from hettui.adapters.machine.terminal_env import this_terminal as t;"
    "from hettui.domain.screen.terminal import colour_depth as c, glyphs as g; print(c(t()), g(t()))"
)


def asked(**environ: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "PYTHONPATH")}
    return subprocess.run(
        [sys.executable, "-c", _ASK], env=kept | environ, capture_output=True, text=True
    ).stdout.strip()


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        # Python writes LC_CTYPE=C.UTF-8 into its own environment there.
        ({"TERM": "xterm-256color", "LANG": "C"}, "256 ascii"),
        ({"TERM": "xterm-256color", "LANG": "C.UTF-8"}, "256 unicode"),
        ({"TERM": "xterm", "LC_ALL": "C.UTF-8"}, "16 unicode"),
        ({"TERM": "vt100"}, "none ascii"),
        ({"TERM": "nobody-knows-it", "LANG": "C.UTF-8"}, "16 unicode"),
        ({"LANG": "C.UTF-8"}, "16 unicode"),
    ],
)
def test_as_started(environ: dict[str, str], said: str) -> None:
    assert asked(**environ) == said


def test_of_this_process() -> None:
    terminal = this_terminal()
    assert colour_depth(terminal) in ("truecolor", "256", "16", "none")
    assert glyphs(terminal) in ("unicode", "console", "ascii")
