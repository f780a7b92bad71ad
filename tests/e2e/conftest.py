"""The real engine, the real model, and a terminal to look at."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from hettui.adapters.files.paths import cache_dir
from hettui.adapters.library.demo_model import demo_model
from tests.hettui import HETTUI
from tests.patience import patience, pause_s

DEADLINE_S = 30.0


@pytest.fixture(scope="session")
def model() -> Path:
    """SmolLM2, fetched once for all runs."""
    return demo_model(cache_dir(), lambda done, total: None)


@pytest.fixture
def home(tmp_path: Path, model: Path) -> dict[str, str]:
    """An environment with its own configuration, state and temporary files; the model's cache is shared."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LLAMA", "XDG_", "HETTUI", "TMUX"))}
    made = {
        name: str(tmp_path / name.lower())
        for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "TMPDIR")
    }
    for path in made.values():
        Path(path).mkdir()
    return kept | made | {"XDG_CACHE_HOME": str(cache_dir().parent), "TERM": "xterm-256color"}


os.environ["TEST_RUN"] = str(os.getpid())
"""In the environment of everything that these tests start: others may use the machine as well."""


def engine_processes() -> set[int]:
    """Every llama.cpp process of this test run; what has ended and was not reaped yet does not count."""
    found = set()
    for process in psutil.process_iter(["name", "status"]):
        if process.info["name"] not in ("llama-server", "ggml-rpc-server", "rpc-server"):
            continue
        with contextlib.suppress(psutil.Error):
            if process.info["status"] == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get("TEST_RUN") == os.environ["TEST_RUN"]:
                found.add(process.pid)
    return found


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """The test leaves no llama.cpp process that was not there before."""
    before = engine_processes()
    yield
    left = engine_processes() - before
    processes = []
    for pid in left:
        # One that ends by itself meanwhile came too late all the same.
        with contextlib.suppress(psutil.NoSuchProcess):
            processes.append(psutil.Process(pid))
            processes[-1].kill()
    # The next test counts anew.
    psutil.wait_procs(processes, timeout=patience(10))
    assert left == set()


class Terminal:
    """The real screen in tmux, on a server of its own."""

    def __init__(self, name: str, environment: dict[str, str]) -> None:
        self._socket = f"hettui-test-{os.getpid()}-{name}"
        self._environment = environment

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-L", self._socket, "-f", "/dev/null", *arguments]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=True).stdout

    def run(self, *words: str, size: tuple[int, int] = (120, 40), record: Path | None = None) -> None:
        """Starts hettui; what it prints and its exit code stay visible after its end.

        `record` gets every byte that the program writes to its terminal.
        """
        line = " ".join(f"'{word}'" for word in [*HETTUI, *words])
        script = f'sh -c "read _; {line}; echo EXIT=\\$?; exec sleep 1000"'
        self._tmux("new-session", "-d", "-x", str(size[0]), "-y", str(size[1]), script)
        if record is not None:
            self._tmux("pipe-pane", "-o", f"cat > '{record}'")
        self.send("Enter")

    def hettui(self) -> psutil.Process:
        """The program in the pane."""
        shell = psutil.Process(self.pane_pid())
        return next(p for p in shell.children(recursive=True) if "hettui" in " ".join(p.cmdline()))

    def cut(self) -> None:
        """The terminal is gone, as when an SSH connection drops."""
        self._tmux("kill-pane")

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    def send(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def type(self, text: str) -> None:
        self._tmux("send-keys", "-l", text)

    def pane_pid(self) -> int:
        return int(self._tmux("display-message", "-p", "#{pane_pid}"))

    def wait(self, text: str, *, gone: bool = False) -> str:
        """Returns the screen once `text` is on it (or is gone). Fails with the screen when it never is."""
        deadline = time.monotonic() + patience(DEADLINE_S)
        while (begun_s := time.monotonic()) < deadline:
            shown = self.screen()
            if (text in shown) is not gone:
                return shown
            if "EXIT=" in shown:
                break
            time.sleep(pause_s(time.monotonic() - begun_s, 0.05))
        pytest.fail(f"{text!r} {'did not go from' if gone else 'never came to'} the screen:\n{shown}")

    def wait_until(self, condition: Callable[[str], bool]) -> str:
        """Returns the screen once the condition is true of it."""
        deadline = time.monotonic() + patience(DEADLINE_S)
        while not condition(shown := self.screen()):
            assert time.monotonic() < deadline, f"the screen stays as it is:\n{shown}"
            time.sleep(0.05)
        return shown

    def press_until(self, key: str, text: str) -> None:
        """A key again and again, as one scrolls, until `text` is on the screen."""
        deadline = time.monotonic() + patience(DEADLINE_S)
        while text not in (shown := self.screen()):
            assert time.monotonic() < deadline, f"{text!r} never came to the screen:\n{shown}"
            self.send(key)
            time.sleep(0.05)

    def close(self) -> None:
        """Ends the server of this terminal."""
        subprocess.run(["tmux", "-L", self._socket, "kill-server"], capture_output=True, check=False)


@pytest.fixture
def terminal(request: pytest.FixtureRequest, home: dict[str, str]) -> Iterator[Terminal]:
    assert shutil.which("tmux"), "these tests drive the real screen in tmux: install tmux"
    opened = Terminal(str(abs(hash(request.node.name)) % 100_000), home)
    yield opened
    opened.close()
