"""Starts the screen again and again beside three busy processes a core: every first frame is whole, nothing is thrown.

    python -m tests.faults.crowded_starts                 a hundred starts
    python -m tests.faults.crowded_starts --starts 20 --seed 7

Every other start is given keys before anything is drawn: panes are opened while their parts are still being made. What
is pressed and the sizes come from the seed that is printed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from hettui.adapters.files.paths import cache_dir
from hettui.adapters.library.demo_model import demo_model
from tests.bench.start import Program, missing_of, programs
from tests.bench.terminal import Terminal, load_now, plain
from tests.patience import patience

_KEYS = (b"l", b"e", b"c", b"b", b"p", b"\x1b[C", b"\x1b[B", b"z")
"""Panes, plans, the slider: whatever may be told something before it is there."""
_WRONG = (b"Traceback", b"NoMatches", b"internal error")
_FRAME_S, _END_S = 30.0, 15.0


@contextmanager
def crowd(count: int) -> Iterator[None]:
    # They end with us, however that comes.
    code = f"import os\nwhile os.getppid() == {os.getpid()}: pass"
    busy = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def one_start(program: Program, size: tuple[int, int], keys: bytes) -> str | None:
    """What was wrong; None: nothing."""
    terminal = Terminal(program.argv, size, program.env)
    written, status, missing = b"", None, list(program.marks)
    frame_by = time.monotonic() + patience(_FRAME_S)
    pressed = not keys
    answered = program.key is None or bool(keys)
    while missing and terminal.alive and time.monotonic() < frame_by:
        if terminal.read(0.1):
            written = terminal.tail
            missing = [] if keys else missing_of(written, missing)
        if not missing and not answered and program.key is not None:
            # The early frame is whole, too: the screen behind it has the keyboard.
            terminal.send(program.key[0])
            missing, answered = [(program.key[1],)], True
        if not pressed and written:
            # The screen is not there yet: its first bytes only switch the terminal's modes.
            terminal.send(keys)
            pressed = True
            terminal.spend(patience(2.0))
    end_by = time.monotonic() + patience(_END_S)
    with contextlib.suppress(OSError):
        # Out of whatever was opened; a pane's prompt takes a q as text.
        terminal.send(b"\x1b")
        terminal.spend(0.2)
        terminal.send(b"\x1bq" if keys else b"q")
    while status is None and time.monotonic() < end_by:
        terminal.read(0.1)
        pid, ended = os.waitpid(terminal.pid, os.WNOHANG)
        if pid:
            status = os.waitstatus_to_exitcode(ended)
        elif keys:
            with contextlib.suppress(OSError):
                terminal.send(b"\x1b")
                terminal.spend(0.3)
                terminal.send(b"q")
    while terminal.read(0):
        pass
    terminal._ended = status is not None
    tail = terminal.tail
    terminal.close(b"q")
    said = [word.decode() for word in _WRONG if word in tail]
    if said:
        return f"{', '.join(said)}: {plain(tail)[-1500:].decode(errors='replace')}"
    if missing and not keys:
        return f"{missing} not drawn; the last was {plain(tail)[-500:]!r}"
    return None if status == 0 else f"ended with {status}; the last was {plain(tail)[-500:]!r}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--busy", type=int, default=3 * (os.cpu_count() or 1), help="busy processes beside it")
    options = parser.parse_args()
    choose = random.Random(options.seed)
    model = demo_model(cache_dir(), lambda done, total: None)
    print(f"seed {options.seed}; {load_now()}", flush=True)
    wrong = 0
    with TemporaryDirectory() as folder, crowd(options.busy):
        kinds = programs(Path(folder), model)[1:]
        for number in range(options.starts):
            program, size = choose.choice(kinds), choose.choice([(80, 24), (120, 40), (200, 60)])
            keys = b"".join(choose.choices(_KEYS, k=4)) if number % 2 else b""
            problem = one_start(program, size, keys)
            wrong += problem is not None
            if problem or number % 10 == 9:
                print(f"{number + 1}: {program.name} {size} {keys!r}: {problem or 'whole'}", flush=True)
    print(f"{options.starts} starts, {wrong} wrong; {load_now()}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
