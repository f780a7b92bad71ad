"""From a fresh start to the end by keys alone, through a real sshd and a line with a delay, each step timed.

    python -m tests.bench.walk                          80x24, 50 ms each way
    python -m tests.bench.walk --delay 0.1 --runs 3

sshd listens on loopback on a port of its own, with keys made for this run; nothing of the user's ssh is read or
written. The terminal is tmux, the client the system's ssh, and `tests.bench.line` delays what goes between the two. The
configuration names three CPU workers and no model; state and settings are empty. llama.cpp and the model are real.
"""

from __future__ import annotations

import argparse
import getpass
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from hettui.adapters.files.paths import cache_dir
from hettui.adapters.library.demo_model import demo_model
from tests.bench.slow_line import Tmux, first_layers
from tests.bench.terminal import load_now, parse_size

CONFIG = """
[serving]
port = 0
ctx-size = 2048
extra-args = ["--predict", "32"]
""" + "".join(
    f'[[devices]]\nname = "{name}"\nid = "cpu"\nvia = "worker"\nthreads = 1\nbudget = "{budget}MiB"\n'
    for name, budget in (("big", 240), ("middle", 180), ("small", 90))
)


@dataclass(frozen=True)
class Step:
    """What is pressed, and when it has been done."""

    name: str
    press: Callable[[Tmux], None]
    seen: Callable[[str, str], bool]
    """By the screen, and the screen before."""


def keys(*names: str) -> Callable[[Tmux], None]:
    return lambda tmux: tmux.send(*names)


def typed(text: str, *then: str) -> Callable[[Tmux], None]:
    def press(tmux: Tmux) -> None:
        tmux.type(text)
        tmux.send(*then)

    return press


def shows(*texts: str) -> Callable[[str, str], bool]:
    return lambda screen, before: all(text in screen for text in texts)


def answers(screen: str, before: str) -> bool:
    return "tok · Esc stops" in screen or "first token" in screen


def a_layer_moved(screen: str, before: str) -> bool:
    return first_layers(screen) == first_layers(before) + 1


def pick_model(model: Path) -> list[Step]:
    """Out of the list of what lies in `~/models`."""
    judged = re.compile(rf"▶ {re.escape(model.stem[:8])}.*fits")
    return [
        Step("m: the models of this machine, judged", keys("m"), lambda screen, _: judged.search(screen) is not None),
        Step("⏎: a plan that fits", keys("Enter"), shows("the plan fits")),
    ]


def steps(model: Path) -> list[Step]:
    return [
        *pick_model(model),
        Step("p ⏎: the planner's fastest plan", keys("p", "Enter"), shows("u goes back")),
        Step("→: a layer moves", keys("Right"), a_layer_moved),
        Step("s: workers and master are ready", keys("s"), shows("● ready")),
        Step("c: the chat", keys("c"), shows("╭")),
        Step("a question, ⏎: the first word", typed("Name three colours", "Enter"), answers),
        Step("the whole answer with its figures", keys(), shows("first token")),
        Step("esc: back to the devices", keys("Escape"), shows("▶1")),
        Step("→: the plan differs from what runs", keys("Right"), shows("the plan differs")),
        Step("a: applied, the master is up again", keys("a"), shows("the plan is what runs")),
        Step("x: all has stopped", keys("x"), shows("s starts it")),
        Step("q: the shell is back", keys("q"), shows("EXIT=0")),
    ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(*argv: str) -> Iterator[subprocess.Popen[bytes]]:
    running = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        yield running
    finally:
        running.terminate()
        running.wait(10)


@contextmanager
def ssh(folder: Path, delay_s: float) -> Iterator[list[str]]:
    """The client's command line to an sshd that runs meanwhile."""
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    there, here = free_port(), free_port()
    (folder / "sshd.conf").write_text(
        f"Port {there}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        "PidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nPrintMotd no\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if sshd is None:
        raise SystemExit("this measures through a real sshd: install openssh-server")
    line = [sys.executable, "-m", "tests.bench.line", "--delay", str(delay_s), "--tcp", f"{here}:{there}"]
    with process(sshd, "-D", "-e", "-f", str(folder / "sshd.conf")), process(*line):
        wait_for_port(here)
        wait_for_port(there)
        yield [
            "ssh", "-F", "/dev/null", "-tt", "-q", "-i", str(folder / "user"), "-p", str(here),
            "-o", f"UserKnownHostsFile={folder}/known", "-o", "StrictHostKeyChecking=no",
            "-o", "IdentitiesOnly=yes", f"{getpass.getuser()}@127.0.0.1",
        ]  # fmt: skip


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def remote_line(folder: Path, model: Path) -> str:
    """What is run over there: an environment of its own, and the exit code after it."""
    made = {name: folder / name.lower() for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")}
    for path in made.values():
        path.mkdir(mode=0o700)
    (folder / "models").mkdir()
    (folder / "models" / model.name).symlink_to(model)
    config = folder / "cluster.toml"
    config.write_text(CONFIG)
    env = {**made, "HOME": folder, "XDG_CACHE_HOME": cache_dir().parent, "PYTHONPATH": Path.cwd(), "LANG": "C.UTF-8"}
    words = " ".join(f"{name}={value}" for name, value in env.items())
    return f"env {words} COLORTERM=truecolor {sys.executable} -m hettui {config}; echo EXIT=$?; sleep 60"


def walk(model: Path, size: tuple[int, int], delay_s: float) -> list[tuple[str, float]]:
    with TemporaryDirectory() as folder, ssh(Path(folder), delay_s) as client:
        start = time.monotonic()
        tmux = Tmux([*client, remote_line(Path(folder), model)], size)
        try:
            first = "ssh, and hettui's first complete screen"
            tmux.seconds_until(lambda screen: "Quit" in screen and "○ stopped" in screen)
            times = [(first, time.monotonic() - start)]
            for step in steps(model):
                before = tmux.screen()

                def seen(screen: str, step: Step = step, before: str = before) -> bool:
                    return step.seen(screen, before)

                step.press(tmux)
                times.append((step.name, tmux.seconds_until(seen)))
                if not seen(tmux.screen()):
                    raise SystemExit(f"{step.name}: never happened:\n{tmux.screen()}")
                # As one who reads what it says.
                time.sleep(0.5)
            return times
        finally:
            tmux.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delay", type=float, default=0.05, help="seconds each way")
    parser.add_argument("--size", type=parse_size, default=(80, 24))
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    model = demo_model(cache_dir(), lambda done, total: None)
    print(load_now())
    runs = [walk(model, options.size, options.delay) for _ in range(options.runs)]
    print(f"{options.size[0]}×{options.size[1]}, {options.delay * 1000:.0f} ms each way, {options.runs} runs\n")
    print("| step | median | slowest |")
    print("|---|---|---|")
    for place, (name, _) in enumerate(runs[0]):
        times = [run[place][1] for run in runs]
        print(f"| {name} | {statistics.median(times):.2f} s | {max(times):.2f} s |")


if __name__ == "__main__":
    main()
