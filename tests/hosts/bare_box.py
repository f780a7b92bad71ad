"""`python -m tests.hosts.bare_box [--times 20]`: from a box with only sshd to a worker in use, by one command.

Prints the seconds of `hettui up --push` and whether a worker ran; the box is bare again before each. Needs root.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.hosts import bed as beds
from tests.hosts.driving import configure, hettui, programs_here, settled


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args()
    if (why := beds.missing()) is not None:
        print(why)
        return 2
    good = 0
    with tempfile.TemporaryDirectory() as folder:
        bed = beds.make(Path(folder) / "bed", 8, programs_here())
        try:
            config = configure(bed)
            for number in range(1, options.times + 1):
                begun_s = time.monotonic()
                done = hettui(bed, "up", "--push", config)
                took_s = time.monotonic() - begun_s
                runs = done.returncode == 0 and len(bed.attic.workers()) == 1
                good += runs and took_s <= 60
                last = done.stderr.splitlines()[-1:] if not runs else []
                print(f"{number}: {took_s:.1f} s, {'a worker in use' if runs else last}", flush=True)
                settled(bed)
                hettui(bed, "hosts", "clean", config)
                assert bed.attic.run("find", "/home/me", "-path", "*hettui*").stdout == ""
        finally:
            bed.end()
    print(f"{good} of {options.times} within 60 s")
    return 0 if good == options.times else 1


if __name__ == "__main__":
    sys.exit(main())
