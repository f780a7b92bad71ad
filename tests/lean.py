"""What a start loads and does, by name and number: no clock says it, so it can be held on any machine.

    python -m tests.lean            says what is more than was written down; in `make check`
    python -m tests.lean --write    writes down what is now: in tests/lean.txt, to be read before it is committed

Written down are the modules that each command imports, those of the screen until its early frame stands and until its
main screen does, how many widgets that has, and how often a key styles and lays out. Of others' packages the names are
enough. Less is fine; more wants a look: import it inside the function that needs it, and name it in `wiring/later.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests import tiny_models

LIST = Path(__file__).with_suffix(".txt")
COMMANDS = ("--version", "--help", "status", "keys", "requests", "devices")
# Each does something every time: another device's explanation may have another number of lines.
KEYS = ("right", "down", "up", "c", "escape", "u")
_SECONDS = 120

_COMMAND = """
import json, os, sys
from hettui.cli import main
out, sys.stdout = sys.stdout, open(os.devnull, "w")
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(json.dumps({"modules": list(sys.modules)}), file=out)
"""

_SCREEN = """
import asyncio, contextlib, json, sys
import hettui.wiring.screen as screen
from hettui.wiring import later

def begin(app):
    "Without a terminal; ends when the main screen stands and the keys are counted."
    found = {}

    def stands():
        found["modules"], found["widgets"] = list(sys.modules), len(app.screen.walk_children())

    async def rest(app, pilot):
        "What a key has set off on threads belongs to it, and not to the next one."
        with contextlib.suppress(WorkerCancelled):
            await app.workers.wait_for_complete()
        await pilot.pause()

    async def drive():
        async with app.run_test(size=(120, 40)) as pilot:
            while not found:
                await asyncio.sleep(0.01)
            await pilot.pause()
            found["keys"] = {}
            # Readings arrive meanwhile: the least of some rounds is the key's own.
            for key in sys.argv[2:] * 12:
                await rest(app, pilot)
                before = dict(counted)
                await pilot.press(key)
                await rest(app, pilot)
                done = [counted[name] - before[name] for name in counted]
                found["keys"][key] = [min(pair) for pair in zip(done, found["keys"].get(key, done))]
            app.exit()

    app._when_shown = stands
    asyncio.run(drive())
    print(json.dumps(found), file=out)

def counting(kind, name):
    "How often it is called."
    known = getattr(kind, name)

    def called(*args, **kwargs):
        counted[name] += 1
        return known(*args, **kwargs)

    counted[name] = 0
    setattr(kind, name, called)

from textual.css.stylesheet import Stylesheet
from textual.worker import WorkerCancelled
from textual._compositor import Compositor
from hettui.ui.app import HettuiApp

out, counted = sys.stdout, {}
counting(Stylesheet, "update_nodes")
counting(Compositor, "reflow")
screen._check_terminal = lambda: None
HettuiApp.run = begin
screen.run_screen(sys.argv[1], None)
"""


_EARLY_FRAME = """
import json, sys
from hettui.adapters.machine.first_terminal import FirstTerminal
from hettui.wiring import screen, start

class Written(BaseException):
    "Nothing else is done."

def take(terminal, text):
    print(json.dumps({"modules": list(sys.modules)}))
    raise Written

class Waited(start.Ahead):
    "What comes after the early frame is not begun."

    def wait(self, seconds):
        self.result()

start.Ahead, screen._check_terminal, FirstTerminal.take = Waited, lambda: None, take
try:
    screen.run_screen(sys.argv[1], None)
except Written:
    pass
"""


def measured() -> dict[str, list[str]]:
    """Of each start, what it loads, and of the screen what it does; sorted."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        env = _home(folder)
        found = {f"hettui {word}": _names(_child(_COMMAND, [word], env)["modules"]) for word in COMMANDS}
        config = str(_config(folder))
        found["hettui CONFIG, until the early frame stands"] = _names(_child(_EARLY_FRAME, [config], env)["modules"])
        told = _child(_SCREEN, [config, *KEYS], env)
    found["hettui CONFIG, until the main screen stands"] = _names(told["modules"])
    found["numbers"] = [f"widgets {told['widgets']}"] + [
        f"{key}: styled {styled}, laid out {laid}" for key, (styled, laid) in told["keys"].items()
    ]
    return found


def _home(folder: Path) -> dict[str, str]:
    home = {f"XDG_{name}": str(folder / name.lower()) for name in ("CONFIG_HOME", "STATE_HOME", "CACHE_HOME")}
    (folder / "run").mkdir(mode=0o700)
    return os.environ | home | {"XDG_RUNTIME_DIR": str(folder / "run"), "TERM": "xterm-256color"}


def _config(folder: Path) -> Path:
    model = tiny_models.write(folder, "dense")
    devices = "".join(
        f'[[devices]]\nname = "card {n}"\nid = "cpu"\nvia = "worker"\nthreads = 1\nbudget = "100MiB"\n' for n in "123"
    )
    path = folder / "cluster.toml"
    path.write_text(f'[model]\npath = "{model}"\n[serving]\nport = 0\nctx-size = 512\n{devices}')
    return path


def _child(code: str, words: Sequence[str], env: Mapping[str, str]) -> dict[str, Any]:
    argv = [sys.executable, "-c", code, *words]
    # Of its own: the screen ends where the terminal of whoever runs this hangs up.
    own = subprocess.DEVNULL
    done = subprocess.run(argv, env=env, stdin=own, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        sys.exit(f"{words}: {done.stderr[-2000:]}")
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def _names(modules: Sequence[str]) -> list[str]:
    """Every module of hettui's; of others those that cost something."""
    return sorted(name for name in modules if name.partition(".")[0] == "hettui") + sorted(_DEAR & set(modules))


_DEAR = {
    "anyio", "argparse", "asyncio", "email.message", "h11", "http.client", "httpcore", "httpx", "inspect", "logging",
    "markdown_it", "platformdirs", "psutil", "pygments", "rich.console", "rich.markdown", "sqlite3", "ssl",
    "subprocess", "textual", "tomlkit", "tomllib",
}  # fmt: skip
"""More than a few milliseconds. Without the driver's library, which is there on some machines only."""


def read() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in LIST.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            names = found.setdefault(line.removeprefix("# "), [])
        elif line:
            names.append(line)
    return found


def more(now: Mapping[str, Sequence[str]], known: Mapping[str, Sequence[str]]) -> list[str]:
    """Sentences about what was not written down."""
    wrong = []
    for start, names in now.items():
        if start == "numbers":
            wrong += [f"{name}: {_known(name, known.get(start, ()))} is written down" for name in _larger(names, known)]
            continue
        for name in sorted(set(names) - set(known.get(start, ()))):
            wrong.append(f"{start} imports {name}: import it late, or write it down (python -m tests.lean --write)")
    return wrong


def _numbers(line: str) -> list[int]:
    return [int(word.strip(",")) for word in line.split() if word.strip(",").isdecimal()]


def _known(line: str, known: Sequence[str]) -> str:
    head = line.split()[0]
    return next((one for one in known if one.split()[0] == head), "nothing")


def _larger(lines: Sequence[str], known: Mapping[str, Sequence[str]]) -> list[str]:
    written = known.get("numbers", ())
    pairs = [(line, _numbers(_known(line, written))) for line in lines]
    return [line for line, most in pairs if not most or any(a > b for a, b in zip(_numbers(line), most, strict=True))]


def main(words: Sequence[str]) -> int:
    now = measured()
    if list(words) == ["--write"]:
        LIST.write_text("\n\n".join(f"# {start}\n" + "\n".join(names) for start, names in now.items()) + "\n")
        return 0
    # What a start does is the same each time; of a key's numbers a busy machine may have spoiled every round.
    wrong = more(now, read()) and more(measured(), read())
    print("\n".join(wrong) if wrong else "A start loads and does no more than is written down.")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
