"""`python -m tests.hettui …` is `python -m hettui …` that looks for its workers' ports where this test run does."""

from __future__ import annotations

import runpy
import sys

from tests import own_ports

HETTUI = [sys.executable, "-m", "tests.hettui"]

if __name__ == "__main__":
    own_ports.keep_to_them()
    runpy.run_module("hettui", run_name="__main__", alter_sys=True)
