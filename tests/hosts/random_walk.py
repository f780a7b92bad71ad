"""`python -m tests.hosts.random_walk [--sequences 100] [--seed N]`: hettui on the bed, whatever happens in any order.

Each sequence begins with nothing, does five things from the table below, and ends with `hettui down`. Then no machine
may have a process or a port that it had not before, and the next start must work. The seed is printed; with it a
sequence is done again. Needs root; about half a minute each.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.hosts import bed as beds
from tests.hosts.bed import HETTUI, Bed
from tests.hosts.driving import hettui, programs_here, settled, spread

LENGTH = 5
HOSTS = {"attic": "attic", "cellar": "cellar"}
URL = ("--url", "http://127.0.0.1:8080")


def start(bed: Bed, dice: random.Random) -> str:
    return _said(hettui(bed, "up", "cluster.toml"))


def stop(bed: Bed, dice: random.Random) -> str:
    return _said(hettui(bed, "down"))


def talk(bed: Bed, dice: random.Random) -> str:
    return _said(hettui(bed, "chat", "Say hello.", "--max-tokens", "4", *URL))


def _cut(seconds: tuple[float, float]) -> Callable[[Bed, random.Random], str]:
    def cut(bed: Bed, dice: random.Random) -> str:
        name, length = dice.choice(list(bed.hosts)), dice.uniform(*seconds)
        bed.cut(on=True, name=name)
        time.sleep(length)
        bed.cut(on=False, name=name)
        return f"{name} was silent for {length:.0f} s"

    return cut


def lose_worker(bed: Bed, dice: random.Random) -> str:
    box = dice.choice(list(bed.hosts.values()))
    for pid in box.workers():
        box.run("kill", "-9", str(pid))
    return box.name


def lose_ssh(bed: Bed, dice: random.Random) -> str:
    bed.desk.run("sh", "-c", "kill -9 $(pgrep -x ssh)")
    return ""


def lose_holders(bed: Bed, dice: random.Random) -> str:
    bed.desk.run("sh", "-c", "kill -9 $(pgrep -f adapters.hosts.hold)")
    return ""


def lose_power(bed: Bed, dice: random.Random) -> str:
    bed.desk.run("sh", "-c", "kill -9 -1")
    if dice.random() < 0.5:
        bed.desk.run("sh", "-c", "rm -rf /run/user/me/hettui")
    return ""


def lose_hettui(bed: Bed, dice: random.Random) -> str:
    """Killed while it starts."""
    with subprocess.Popen(bed.desk.enter([*HETTUI, "up", "cluster.toml"]), stderr=subprocess.DEVNULL) as begun:
        time.sleep(dice.uniform(0.2, 4.0))
        bed.desk.run("sh", "-c", "kill -9 $(pgrep -f 'hettui up')")
        begun.wait()
    return ""


def give_up_slow(bed: Bed, dice: random.Random) -> str:
    """A host that is slow for some seconds: a start is given up there, and perhaps another one, before it is itself."""
    box, times = dice.choice(list(bed.hosts.values())), dice.choice((1, 2))
    slow = dice.uniform(2.0, 6.0)
    box.write(".bashrc", f"sleep {slow:.1f}\n")
    try:
        for _ in range(times):
            with subprocess.Popen(bed.desk.enter([*HETTUI, "up", "cluster.toml"]), stderr=subprocess.DEVNULL) as begun:
                time.sleep(dice.uniform(1.5, slow + 3.0))
                bed.desk.run("pkill", "-INT", "-f", "hettui up")
                begun.wait()
    finally:
        box.run("rm", ".bashrc")
    return f"{box.name}, {times}"


def sshd_again(bed: Bed, dice: random.Random) -> str:
    """All lines of a host are cut, as by a restart of its sshd that ends its sessions."""
    box = dice.choice(list(bed.hosts.values()))
    box.run("sh", "-c", "kill $(pgrep -f 'sshd: me')")
    return box.name


THINGS: dict[str, Callable[[Bed, random.Random], str]] = {
    "start": start, "stop": stop, "talk": talk, "cut for a moment": _cut((1, 8)), "cut for long": _cut((12, 20)),
    "worker killed": lose_worker, "ssh killed": lose_ssh, "holders killed": lose_holders, "power lost": lose_power,
    "hettui killed": lose_hettui, "sshd ends its sessions": sshd_again,
    "given up while slow": give_up_slow,
}  # fmt: skip
LIKELY = {"start": 4, "talk": 2}


def walk(bed: Bed, seed: int) -> list[str]:
    """What was done, in order. Raises AssertionError when something is left."""
    dice = random.Random(seed)
    done: list[str] = []
    names = list(THINGS)
    for number in range(LENGTH):
        name = "start" if number == 0 else dice.choices(names, [LIKELY.get(name, 1) for name in names])[0]
        try:
            said = THINGS[name](bed, dice)
        except Exception as error:
            raise AssertionError(f"{' · '.join(done)} · {name}: {error!r}") from error
        done.append(f"{name} ({said})" if said else name)
    try:
        settled(bed)
    except AssertionError as error:
        raise AssertionError(f"{' · '.join(done)}: left: {error}") from error
    again = hettui(bed, "up", "cluster.toml")
    assert again.returncode == 0, f"{' · '.join(done)}: does not start again: {again.stderr}"
    settled(bed)
    return done


def _said(done: object) -> str:
    code = getattr(done, "returncode", None)
    lines = (getattr(done, "stderr", "") or "").splitlines()
    assert not any("Traceback" in line for line in lines), lines
    return f"{code}" if code == 0 else f"{code}: {lines[-1][:160] if lines else ''}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=100)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    options = parser.parse_args()
    if (why := beds.missing()) is not None:
        print(why)
        return 2
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        bed = beds.make(Path(folder) / "bed", 9, programs_here(), tuple(HOSTS))
        # A copy of the sources can so be walked while others are being worked on.
        bed.desk.env |= {key: os.environ[key] for key in ("PYTHONPATH",) if key in os.environ}
        try:
            spread(bed, HOSTS, str(programs_here()), patience_s=10)
            for seed in range(options.seed, options.seed + options.sequences):
                begun_s = time.monotonic()
                try:
                    said = "good: " + " · ".join(walk(bed, seed))
                except AssertionError as error:
                    failed += 1
                    said = f"FAILED: {error}"
                print(f"seed {seed}, {time.monotonic() - begun_s:.0f} s: {said}", flush=True)
        finally:
            bed.end()
    print(f"{options.sequences - failed} of {options.sequences} good, from seed {options.seed} on")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
