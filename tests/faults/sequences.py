"""Random command sequences on the real engine: after each command the process table holds what the record says.

`python -m tests.faults.sequences --count 200 --seed 1` prints a line for each sequence; one that fails prints its seed
and its commands, and runs again with `--count 1 --seed THAT`.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from hettui.adapters.files.paths import cache_dir
from hettui.adapters.library.demo_model import demo_model
from hettui.adapters.processes.proc import start_time
from tests.faults.rig import Rig

COMMANDS = (
    "start", "start", "apply", "apply at once", "stop", "stop at once", "kill worker", "kill master", "kill a worker "
    "while loading", "freeze", "chat", "quit", "leave", "kill hettui", "kill hettui while starting",
)  # fmt: skip
RESTING = ("DOWN", "READY", "FAILED")
TOTAL_LAYERS = 31


def split(choice: random.Random) -> list[int]:
    """Any layers, sometimes none for a device, sometimes some for the host."""
    first = choice.randint(0, TOTAL_LAYERS)
    second = choice.randint(0, TOTAL_LAYERS - first)
    third = TOTAL_LAYERS - first - second - choice.choice((0, 0, min(3, TOTAL_LAYERS - first - second)))
    return [first, second, third]


class Sequence:
    """One run from one seed."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self._rig = rig
        self._choice = random.Random(seed)
        self.done: list[str] = []

    def run(self) -> list[str]:
        """The commands that were run. Raises AssertionError with what is wrong."""
        self._rig.reopen()
        for _ in range(self._choice.randint(4, 9)):
            command = self._choice.choice(COMMANDS)
            self.done.append(command)
            self._step(command)
            if not self._rig.open:
                if self._choice.random() < 0.3:
                    self._damage()
                self.done.append("reopen")
                self._rig.reopen()
            self._settle()
            self._rig.check()
        self.done.append("stop")
        self._rig.ask("stop")
        self._settle()
        self._rig.check()
        assert self._rig.table() == {}
        assert self._rig.record() is None
        self._rig.close("quit")
        return self.done

    def _settle(self) -> None:
        """At rest, and it has noticed who is dead."""
        self._rig.ask("settle")
        self._rig.until(lambda r: r["state"] in RESTING and all(pid and start_time(pid) for pid in r["pids"].values()))
        self._rig.ask("settle")

    def _step(self, command: str) -> None:
        rig, choice = self._rig, self._choice
        pids = rig.ask("look")["pids"]
        workers = sorted(pid for name, pid in pids.items() if pid and name.startswith("worker"))
        match command:
            case "start" | "apply":
                rig.ask("start", layers=split(choice))
            case "apply at once":
                rig.ask("start", layers=split(choice), wait=False)
                time.sleep(choice.random() * 0.5)
                rig.ask("start", layers=split(choice))
            case "stop":
                rig.ask("stop")
            case "stop at once":
                rig.ask("start", layers=split(choice), wait=False)
                time.sleep(choice.random())
                rig.ask("stop")
            case "kill worker" if workers:
                rig.kill(choice.choice(workers))
            case "kill master" if pids.get("master"):
                rig.kill(pids["master"])
            case "kill a worker while loading":
                rig.ask("start", layers=split(choice), wait=False)
                found = rig.until(lambda r: r["state"] in ("LOADING", "READY", "FAILED"))["pids"]
                living = sorted(pid for name, pid in found.items() if pid and name.startswith("worker"))
                if living:
                    rig.kill(choice.choice(living))
            case "freeze" if workers:
                pid = choice.choice(workers)
                rig.kill(pid, signal.SIGSTOP)
                time.sleep(0.4)
                rig.kill(pid, signal.SIGCONT)
            case "chat":
                rig.ask("chat")
                time.sleep(choice.random() * 0.5)
            case "quit" | "leave":
                rig.close(command)
            case "kill hettui":
                rig.close("kill")
            case "kill hettui while starting":
                rig.ask("start", layers=split(choice), wait=False)
                time.sleep(choice.random() * 1.2)
                rig.close("kill")

    def _damage(self) -> None:
        """While no hettui watches, something of the cluster ends."""
        living = sorted(self._rig.table())
        if living:
            self.done.append("kill one meanwhile")
            self._rig.kill(self._choice.choice(living))


def run_one(folder: Path, model: Path, seed: int) -> list[str]:
    """One sequence in a folder of its own; whatever happens nothing is left running."""
    rig = Rig(folder, model)
    sequence = Sequence(rig, seed)
    try:
        return sequence.run()
    except BaseException as error:
        error.add_note(f"seed {seed}: {' · '.join(sequence.done)}")
        raise
    finally:
        rig.clear()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    model = demo_model(cache_dir(), lambda done, total: None)
    failed, begun = [], time.monotonic()
    for seed in range(options.seed, options.seed + options.count):
        with tempfile.TemporaryDirectory(prefix="hettui-sequence-") as folder:
            started = time.monotonic()
            try:
                done = run_one(Path(folder), model, seed)
            except (AssertionError, OSError) as error:
                failed.append(seed)
                print(f"{seed}: FAILED: {error}: {error.__notes__}", flush=True)
            else:
                print(f"{seed}: {time.monotonic() - started:.1f} s: {' · '.join(done)}", flush=True)
    passed = options.count - len(failed)
    print(f"{passed} of {options.count} passed in {time.monotonic() - begun:.0f} s; failed: {failed or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
