"""`python -m tests.hosts.long_cuts [SECONDS …]`: the line to a host is silent in the middle of an answer, for long.

Three machines on the bed, real llama.cpp. For each length, 3, 30 and 300 seconds unless others are said: a cluster is
started, a long answer is under way, the line is cut and comes back. Printed is what `hettui status` said meanwhile and
afterwards, whether the next start works, and it fails where anything is left after `hettui down`. Needs root.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.hosts import bed as beds
from tests.hosts.bed import HETTUI, Bed
from tests.hosts.driving import hettui, programs_here, settled, spread
from tests.hosts.random_walk import HOSTS, URL

_TOKENS = 1500
"""Of the answer: a quarter of a minute on two cores, and the model may not end it before."""
_BACK_S = 20.0
"""So long the line has been back before anything is asked."""


def first_line(bed: Bed) -> str:
    said = hettui(bed, "status")
    return (said.stdout or said.stderr).strip().splitlines()[0]


def lasting(bed: Bed, path: str) -> None:
    """Answers of this configuration's cluster do not end by themselves."""
    text = bed.desk.run("cat", path).stdout
    more = f'ctx-size = {_TOKENS + 500}\nextra-args = ["--ignore-eos"]'
    bed.desk.write(path, text.replace("ctx-size = 512", more))


def cut(bed: Bed, seconds: float) -> str:
    """What was seen. Raises AssertionError when something is left, or the next start fails."""
    begun = hettui(bed, "up", "cluster.toml")
    assert begun.returncode == 0, begun.stderr
    words = [*HETTUI, "chat", "Count to a thousand in words.", "--max-tokens", str(_TOKENS), *URL]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(bed.desk.enter(words), text=True, **pipes) as talk:  # type: ignore[call-overload]
        assert talk.stdout.read(100), "no answer has begun"
        bed.cut(on=True)
        time.sleep(seconds)
        within = first_line(bed)
        bed.cut(on=False)
        time.sleep(_BACK_S)
        after = first_line(bed)
        ended = talk.poll()
        if ended is None:
            talk.kill()
        said = (talk.communicate()[1] or "").strip().splitlines()
    again = hettui(bed, "up", "cluster.toml")
    assert again.returncode == 0, again.stderr
    settled(bed)
    answer = "went on" if ended is None else f"ended with {ended}: {said[-1] if said else ''}"
    return f"within: {within} · after: {after} · the answer {answer} · the next start: 0 · left: nothing"


def main(words: list[str]) -> int:
    if (why := beds.missing()) is not None:
        print(why)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        bed = beds.make(Path(folder) / "bed", 8, programs_here(), tuple(HOSTS))
        try:
            lasting(bed, spread(bed, HOSTS, str(programs_here())))
            for seconds in map(float, words or ["3", "30", "300"]):
                print(f"{seconds:.0f} s: {cut(bed, seconds)}", flush=True)
        finally:
            bed.end()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
