"""Builds an engine on this machine for the cards that are here, and runs the demo on it: for a machine with a GPU.

    python -m tests.truth.own_engine [SOURCE.tar.gz] [arguments of hettui engine build]

The source package is unpacked where pip would have put it, for a machine without an index. The same command goes on
where it was broken off: `timeout 540 …` again and again is a way to build within a limit. Prints what each step took.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from hettui.adapters.engines.source import source_of, unpack
from hettui.adapters.files.paths import cache_path
from hettui.domain.engines.recipe import read_build


def main(words: list[str]) -> int:
    archive = Path(words.pop(0)) if words and words[0].endswith(".tar.gz") else None
    named = words[0] if words and not words[0].startswith("-") else None
    folder = cache_path() / "engines" / f"b{read_build(named)}"
    if archive is not None and source_of(folder) is None:
        unpack(archive, folder / "source")
    for command in (["engine", "build", "--use", *words], ["engine", "list"], ["demo", "--headless", "--json"]):
        began_s = time.monotonic()
        code = subprocess.run([sys.executable, "-m", "hettui", *command], check=False).returncode
        print(f"hettui {' '.join(command)}: exit code {code} after {time.monotonic() - began_s:.0f} s", flush=True)
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
