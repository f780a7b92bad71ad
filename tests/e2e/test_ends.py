"""The ends of hettui: what becomes of the cluster, of the terminal, and of the next hettui."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests import in_process
from tests.e2e.conftest import DEADLINE_S, Terminal, engine_processes
from tests.hettui import HETTUI
from tests.patience import patience, until

pytestmark = [pytest.mark.engine, pytest.mark.tmux]

WITH_TTY = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"


def hettui(home: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """A process of its own where it leaves some running."""
    if words[0] in ("up", "demo"):
        return process(home, *words)
    return in_process.hettui(*words, environment=home)


def process(home: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*HETTUI, *words], env=home, capture_output=True, text=True, timeout=patience(60))


def status(home: dict[str, str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(hettui(home, "status", "--json").stdout)
    return found


def configured(home: dict[str, str], model: Path, more: str = "") -> Path:
    path = Path(home["XDG_CONFIG_HOME"]) / "hettui" / "config.toml"
    path.parent.mkdir(exist_ok=True)
    devices = "".join(
        f'[[devices]]\nname = "{n}"\nid = "cpu"\nvia = "worker"\nthreads = 1\nbudget = "400MiB"\n' for n in ("a", "b")
    )
    path.write_text(f'[model]\npath = "{model}"\n[serving]\nport = 0\nctx-size = 512\n{more}\n{devices}')
    return path


def started(terminal: Terminal, *words: str) -> None:
    terminal.run(*words)
    terminal.wait("s starts it")
    terminal.send("s")
    terminal.wait("● ready")


def alone(screen: str) -> str:
    """The process whose lines alone the log pane shows; empty when it shows all."""
    found = re.search(r"(\w+) only", screen)
    return found[1] if found else ""


def show_log_of(terminal: Terminal, process: str) -> None:
    """In the log pane its lines alone: in what order those of several are read after a takeover is chance."""
    shown = ""
    while shown != process:
        terminal.send("f")
        before = shown
        shown = alone(terminal.wait_until(lambda screen, before=before: alone(screen) not in ("", before)))  # type: ignore[misc]


# -- a lost terminal -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cut", "SIGHUP", "SIGKILL"])
def test_the_cluster_outlives_a_lost_terminal_and_is_taken_over(
    terminal: Terminal, home: dict[str, str], nothing_left: None, how: str
) -> None:
    before = engine_processes()
    started(terminal, "demo")
    running = engine_processes() - before
    program = terminal.hettui()
    if how == "cut":
        terminal.cut()
    else:
        program.send_signal(getattr(signal, how))
    until(lambda: not program.is_running() or program.status() == psutil.STATUS_ZOMBIE)
    assert engine_processes() - before == running
    terminal.close()
    assert status(home)["state"] == "ready"
    if how != "cut":
        assert hettui(home, "down").returncode == 0
        return

    # Whatever is opened next: what runs is on the screen, logs and gauges included.
    terminal.run()
    shown = terminal.wait("● ready")
    assert "DEMO" in shown
    assert "middle" in shown
    terminal.wait("the plan is what runs")
    terminal.wait("MiB /")
    terminal.send("g")
    terminal.wait("all 4 processes")
    show_log_of(terminal, "master")
    terminal.wait("update_slots")
    terminal.type("cName three colours")
    terminal.wait("Name three colours")
    terminal.send("Enter")
    terminal.wait("· first token")
    terminal.send("C-q")
    terminal.wait("What shall become of it")
    terminal.send("s")
    terminal.wait("EXIT=0")
    assert engine_processes() == before


def test_on_hangup_stop_stops_it(terminal: Terminal, home: dict[str, str], model: Path, nothing_left: None) -> None:
    before = engine_processes()
    started(terminal, str(configured(home, model, '[ui]\non-hangup = "stop"')))
    program = terminal.hettui()
    terminal.cut()
    until(lambda: not program.is_running())
    assert engine_processes() == before
    assert status(home)["state"] == "stopped"


# -- quitting --------------------------------------------------------------------------------------------------------


def follow(home: dict[str, str], api: str) -> None:
    """`logs -f` shows what comes, one JSON object a line, and ends with Ctrl-C."""
    words = [*HETTUI, "logs", "-f", "-n", "0", "--json"]
    following = subprocess.Popen(words, env=home, stdout=subprocess.PIPE, text=True)
    assert following.stdout is not None
    body = json.dumps({"prompt": "hello", "n_predict": 4}).encode()
    # Until it follows, there is nothing to see of a request; then there is.
    while not select.select([following.stdout], [], [], 1.0)[0]:
        # Our own server.
        urllib.request.urlopen(f"{api}/completion", body, timeout=patience(DEADLINE_S)).read()  # noqa: S310
    line = json.loads(following.stdout.readline())
    assert set(line) == {"process", "line"}
    following.send_signal(signal.SIGINT)
    following.stdout.close()
    assert following.wait(patience(DEADLINE_S)) == 0


def test_left_running_it_is_found_by_status_logs_and_down(
    terminal: Terminal, home: dict[str, str], nothing_left: None
) -> None:
    started(terminal, "demo")
    terminal.send("q")
    terminal.wait("What shall become of it")
    terminal.send("l")
    shown = terminal.wait("EXIT=0")
    assert "the cluster runs on" in shown
    found = status(home)
    assert (found["state"], found["owner_pid"]) == ("ready", None)
    said = hettui(home, "status").stdout
    assert "The cluster is ready at http://127.0.0.1:" in said
    assert "worker middle" in said
    logs = hettui(home, "logs", "--process", "master", "-n", "20")
    assert "master | " in logs.stdout
    assert hettui(home, "logs", "--process", "nobody").returncode == 2
    follow(home, str(found["api"]))
    down = process(home, "down")
    assert (down.returncode, down.stdout) == (0, "Stopped 4 processes.\n"), down.stderr
    assert hettui(home, "down").stdout == "Nothing ran.\n"
    assert hettui(home, "status").returncode == 1


def test_a_configured_answer_is_not_asked_for(
    terminal: Terminal, home: dict[str, str], model: Path, nothing_left: None
) -> None:
    started(terminal, str(configured(home, model, '[ui]\non-exit = "leave"')))
    terminal.send("q")
    terminal.wait("EXIT=0")
    assert status(home)["state"] == "ready"
    assert hettui(home, "down").returncode == 0


def test_a_second_hettui_looks_chats_and_takes_over_when_the_owner_leaves(
    terminal: Terminal, home: dict[str, str], nothing_left: None, tmp_path: Path
) -> None:
    started(terminal, "demo")
    running = engine_processes()
    second = Terminal(f"second-{os.getpid()}", home)
    try:
        second.run()
        shown = second.wait("READ-ONLY")
        assert "● ready" in second.wait("● ready")
        assert "owns the cluster" in second.wait("owns the cluster")
        second.send("x")
        second.send("a")
        assert "READ-ONLY" in shown
        # A spectator reads logs and chats: that is asked of the API.
        second.send("g")
        second.wait("lines · / filters")
        second.type("cName a colour")
        second.wait("Name a colour")
        second.send("Enter")
        second.wait("· first token")
        refused = hettui(home, "down")
        assert refused.returncode == 1
        assert "owns the cluster" in refused.stderr
        assert engine_processes() == running
        terminal.send("q")
        terminal.wait("What shall become of it")
        terminal.send("l")
        terminal.wait("EXIT=0")
        second.wait("has left the cluster running")
        second.send("y")
        second.wait("READ-ONLY", gone=True)
        assert engine_processes() == running
        second.send("Escape")
        second.wait("▶1")
        second.send("x")
        second.wait("○ stopped")
        second.send("q")
        second.wait("EXIT=0")
    finally:
        second.close()


# -- up --------------------------------------------------------------------------------------------------------------


def test_up_starts_it_and_says_so_twice(home: dict[str, str], model: Path, nothing_left: None) -> None:
    path = configured(home, model)
    first = hettui(home, "up", str(path))
    assert first.returncode == 0, first.stderr
    assert "The cluster is ready: http://127.0.0.1:" in first.stdout
    running = engine_processes()
    again = hettui(home, "up", "--json")
    assert json.loads(again.stdout)["state"] == "ready"
    assert engine_processes() == running
    # Half of it dies while nobody looks.
    worker = next(p for p in map(psutil.Process, running) if p.name() == "ggml-rpc-server")
    worker.kill()
    until(lambda: status(home)["state"] == "half dead")
    assert hettui(home, "status").returncode == 1
    third = hettui(home, "up")
    assert third.returncode == 0, third.stderr
    assert status(home)["state"] == "ready"
    assert hettui(home, "down", "--json").stdout == '{"stopped": 3}\n'


def test_an_open_master_without_a_key_is_refused_unless_forced(
    home: dict[str, str], model: Path, nothing_left: None, tmp_path: Path
) -> None:
    path = configured(home, model)
    path.write_text(path.read_text().replace("port = 0", 'port = 0\nhost = "0.0.0.0"'))
    refused = hettui(home, "up", str(path))
    assert refused.returncode == 2
    assert "without a key" in refused.stderr
    key = tmp_path / "key"
    key.write_text("sk-1\n")
    key.chmod(0o644)
    path.write_text(path.read_text().replace("port = 0", f'port = 0\napi-key-file = "{key}"'))
    readable = hettui(home, "up", str(path))
    assert readable.returncode == 2
    assert "chmod 600" in readable.stderr
    key.chmod(0o600)
    up = hettui(home, "up", str(path))
    assert up.returncode == 0, up.stderr
    # Without being told which: the one that runs, with its key.
    answer = hettui(home, "chat", "Name three colours.", "--max-tokens", "8", "--json")
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["answer"]
    assert hettui(home, "down").returncode == 0


def test_up_that_is_interrupted_leaves_nothing(home: dict[str, str], model: Path, nothing_left: None) -> None:
    run = subprocess.Popen([*HETTUI, "up", str(configured(home, model))], env=home, stderr=subprocess.PIPE, text=True)
    until(lambda: len(engine_processes()) >= 2)
    run.send_signal(signal.SIGTERM)
    _, said = run.communicate(timeout=patience(30))
    assert run.returncode == 128 + signal.SIGTERM
    assert "nothing was left running" in said
    assert engine_processes() == set()


def test_a_demo_that_was_killed_is_swept_up(home: dict[str, str], nothing_left: None) -> None:
    run = subprocess.Popen([*HETTUI, "demo", "--headless"], env=home, stdout=subprocess.DEVNULL)
    until(lambda: len(engine_processes()) >= 4)
    run.kill()
    run.wait()
    left = {pid for pid in engine_processes() if "--list-devices" not in psutil.Process(pid).cmdline()}
    assert left
    assert hettui(home, "demo", "--headless").returncode == 0
    assert engine_processes() & left == set()


# -- terminals that misbehave ----------------------------------------------------------------------------------------


class Pty:
    """hettui on a terminal of our own that can stop reading."""

    def __init__(self, home: dict[str, str], *command: str) -> None:
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (40, 120))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.seen = b""
        self.program = subprocess.Popen(
            [sys.executable, "-c", WITH_TTY, *command], stdin=slave, stdout=slave, stderr=slave, env=home,
            start_new_session=True,
        )  # fmt: skip

    def read(self, wait_s: float = 0.05) -> bytes:
        """Everything so far, with what is there now."""
        while select.select([self.master], [], [], wait_s)[0]:
            try:
                self.seen += os.read(self.master, 65536)
            except OSError:
                break
        return self.seen

    def wait(self, text: bytes) -> None:
        deadline = time.monotonic() + patience(DEADLINE_S)
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen[-3000:]
            self.read()

    def end(self) -> int:
        """Reads on until the program has ended."""
        until(lambda: self.read(0.02) is not None and self.program.poll() is not None)
        self.read()
        return self.program.returncode

    def close(self) -> None:
        if self.program.poll() is None:
            self.program.kill()
            self.program.wait()
        for descriptor in (self.master, self.slave):
            with contextlib.suppress(OSError):
                os.close(descriptor)


@pytest.fixture
def on_pty(home: dict[str, str]) -> Iterator[Callable[..., Pty]]:
    opened: list[Pty] = []

    def run(*command: str) -> Pty:
        opened.append(Pty(home, *command))
        return opened[-1]

    yield run
    for one in opened:
        one.close()


def assert_clean(terminal: Pty) -> None:
    """Main screen, cursor, no mouse, and the line discipline of before."""
    assert terminal.seen.rindex(b"\x1b[?1049l") > terminal.seen.rindex(b"\x1b[?1049h")
    assert terminal.seen.rindex(b"\x1b[?25h") > terminal.seen.rindex(b"\x1b[?25l")
    assert terminal.seen.rindex(b"\x1b[?1003l") > terminal.seen.rindex(b"\x1b[?1003h")
    assert termios.tcgetattr(terminal.slave) == terminal.before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_terminal_is_clean_after_a_signal(
    on_pty: Callable[..., Pty], number: signal.Signals, nothing_left: None
) -> None:
    terminal = on_pty(*HETTUI, "demo")
    # Of the whole screen: what the early frame leaves is looked at in tests/wiring/test_early_frame.py.
    terminal.wait(b"stopped")
    terminal.program.send_signal(number)
    assert terminal.end() == 128 + number, terminal.seen[-2500:]
    assert_clean(terminal)


def test_a_stalled_terminal_cannot_keep_hettui_from_ending(
    on_pty: Callable[..., Pty], home: dict[str, str], nothing_left: None
) -> None:
    terminal = on_pty(*HETTUI, "demo")
    terminal.wait(b"starts it")
    os.write(terminal.master, b"s")
    until(lambda: status(home)["state"] == "ready")
    # From here on nobody reads: keys that repaint everything fill the terminal's buffer, and the screen's loop stands.
    for _ in range(60):
        with contextlib.suppress(BlockingIOError):
            os.set_blocking(terminal.master, False)
            os.write(terminal.master, b"?\x1b" * 20)
        time.sleep(0.02)
    terminal.program.send_signal(signal.SIGTERM)
    until(lambda: terminal.program.poll() is not None)
    assert terminal.program.returncode == 128 + signal.SIGTERM
    assert engine_processes() == set()
    assert termios.tcgetattr(terminal.slave) == terminal.before
    assert status(home)["state"] == "stopped"


CRASHING = """
import sys
from tests import own_ports
own_ports.keep_to_them()
from hettui.ui.screens.main import MainScreen
def broken(self):
    secret = "sk-in-a-local"
    raise RuntimeError("drawing failed \\x1b]0;EVIL\\x07")
MainScreen.action_even = broken
from hettui.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_an_exception_in_the_screen_leaves_cluster_and_terminal_whole(
    on_pty: Callable[..., Pty], home: dict[str, str], nothing_left: None
) -> None:
    terminal = on_pty(sys.executable, "-c", CRASHING, "demo")
    terminal.wait(b"starts it")
    os.write(terminal.master, b"s")
    until(lambda: terminal.read() and status(home)["state"] == "ready")
    os.write(terminal.master, b"=")
    assert terminal.end() == 1
    assert_clean(terminal)
    assert b"internal error, please report it: RuntimeError: drawing failed" in terminal.seen
    assert b"EVIL" not in terminal.seen
    assert b"sk-in-a-local" not in terminal.seen
    assert b"the cluster runs on" in terminal.seen
    crash = Path(home["XDG_STATE_HOME"]) / "hettui" / "crash.log"
    assert crash.stat().st_mode & 0o777 == 0o600
    assert "sk-in-a-local" not in crash.read_text().replace('secret = "sk-in-a-local"', "")
    assert status(home)["state"] == "ready"
    assert hettui(home, "down").returncode == 0


def test_a_model_that_is_gone_does_not_hide_what_runs(
    terminal: Terminal, home: dict[str, str], model: Path, tmp_path: Path, nothing_left: None
) -> None:
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(model.read_bytes())
    assert hettui(home, "up", str(configured(home, copy))).returncode == 0
    copy.unlink()
    terminal.run()
    terminal.wait("● ready")
    terminal.send("x")
    terminal.wait("copy.gguf does not exist")
    until(lambda: status(home)["state"] == "stopped")
    terminal.send("q")
    terminal.wait("EXIT=0")


def test_a_home_that_cannot_be_written_and_no_runtime_folder(
    home: dict[str, str], model: Path, tmp_path: Path, nothing_left: None
) -> None:
    config = configured(home, model)
    blocked = tmp_path / "blocked"
    blocked.write_text("no folder")
    bare = {k: v for k, v in home.items() if k != "XDG_RUNTIME_DIR"} | {"XDG_STATE_HOME": str(blocked)}
    up = hettui(bare, "up", str(config))
    assert up.returncode == 0, up.stderr
    assert status(bare)["state"] == "ready"
    logs = list(Path(home["TMPDIR"]).glob("hettui-*/logs/*.log"))
    assert len(logs) == 3
    assert {path.stat().st_mode & 0o777 for path in logs} == {0o600}
    assert hettui(bare, "down").returncode == 0
    assert blocked.read_text() == "no folder"
